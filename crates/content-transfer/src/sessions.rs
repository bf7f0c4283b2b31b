//! Remembers unfinished uploads in a directory, so that another process can continue them.

use crate::{Error, Result};
use content_store::{Digest, Reference};
use registry_client::UploadSession;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest file of a session that is read, in bytes.
const LIMIT: u64 = 64 << 10;
/// Registries forget sessions long before.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Unfinished uploads, one file for each blob and repository. The files may hold secrets of the registry, so only their owner may read them.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    directory: PathBuf,
}

/// An upload as it is kept. What it is for is part of it, in case two of them have the same file name.
#[derive(Serialize, Deserialize)]
struct Kept {
    repository: String,
    digest: Digest,
    session: UploadSession,
}

impl Sessions {
    /// Opens the directory, making it when it is not there, and removes what is too old to be continued.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        atomic_file::create_dir(directory, 0o700).map_err(fault("create", directory))?;
        for entry in fs::read_dir(directory).map_err(fault("list", directory))?.flatten() {
            let age =
                entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > MAX_AGE) {
                // Whoever comes next tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// The upload of this blob to the repository of `image`; none while another process works on it.
    pub(crate) fn claim(&self, image: &Reference, digest: &Digest) -> Result<Option<Claim>> {
        let repository = format!("{}/{}", image.registry(), image.repository());
        let name = Digest::of(format!("{repository}@{digest}").as_bytes()).hex();
        let (path, lock) = (self.directory.join(format!("{name}.json")), self.directory.join(format!("{name}.lock")));
        let Some(file) = try_lock(&lock).map_err(fault("lock", &lock))? else { return Ok(None) };
        Ok(Some(Claim { repository, digest: *digest, path, lock, _file: file }))
    }
}

/// The right to continue one upload.
#[derive(Debug)]
pub(crate) struct Claim {
    repository: String,
    digest: Digest,
    path: PathBuf,
    lock: PathBuf,
    _file: File,
}

impl Claim {
    /// The session that was saved last. One that cannot be read is as good as none.
    pub(crate) fn load(&self) -> Option<UploadSession> {
        let bytes = atomic_file::read_limited(&self.path, LIMIT).ok().flatten()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        (kept.repository == self.repository && kept.digest == self.digest).then_some(kept.session)
    }

    /// Saves where the upload is.
    pub(crate) fn save(&self, session: &UploadSession) -> Result<()> {
        let kept = Kept { repository: self.repository.clone(), digest: self.digest, session: session.clone() };
        let bytes = serde_json::to_vec(&kept).map_err(io::Error::from).map_err(fault("write", &self.path))?;
        atomic_file::write(&self.path, &bytes, 0o600).map_err(fault("write", &self.path))
    }

    /// Forgets the session: the blob is there, or the registry does not know it any more.
    pub(crate) fn forget(&self) {
        // What stays is asked for once more and then forgotten.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked: whoever opened it before looks whether it is still the one of that name.
        let _ = fs::remove_file(&self.lock);
    }
}

/// The locked file of this name; none when somebody else has it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = atomic_file::open_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let ours = file.metadata()?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {} // Its owner took it away before it was locked.
        }
    }
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Sessions { act, path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_session_is_kept_for_its_blob_and_repository_and_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(&directory.path().join("uploads")).unwrap();
        let (image, digest): (Reference, _) = ("host:5000/team/app:1".parse().unwrap(), Digest::of(b"blob"));
        let session = UploadSession::new("/v2/upload?secret=1", 7);
        let claim = sessions.claim(&image, &digest).unwrap().unwrap();
        assert!(claim.load().is_none());
        claim.save(&session).unwrap();
        assert!(sessions.claim(&image, &digest).unwrap().is_none(), "one upload is continued once");
        let path = claim.path.clone();
        drop(claim);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&sessions.directory).unwrap().permissions().mode() & 0o777, 0o700);
        let again = sessions.claim(&image.with_tag("2").unwrap(), &digest).unwrap().unwrap();
        assert_eq!(again.load(), Some(session), "tags share the repository");
        let other = sessions.claim(&"host:5000/team/other".parse().unwrap(), &digest).unwrap().unwrap();
        assert!(other.load().is_none());
        fs::write(&path, "{").unwrap();
        assert!(again.load().is_none(), "what cannot be read is none");
        again.forget();
        drop((again, other));
        assert_eq!(fs::read_dir(&sessions.directory).unwrap().count(), 0);
    }

    #[test]
    fn sessions_of_long_ago_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [("old.json", MAX_AGE + Duration::from_secs(60)), ("new.json", Duration::ZERO)] {
            let file = File::create(directory.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        Sessions::open(directory.path()).unwrap();
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["new.json"]);
    }
}

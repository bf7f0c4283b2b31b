//! Writes a blob over several requests, under an identifier that its writer chose; it survives the writer's end.

use crate::error::{Error, Result};
use crate::{Blob, Digest, Store, durable, reader};
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const UPLOAD_PREFIX: &str = "upload-";
const PENDING_PREFIX: &str = "pending-";
/// An upload that nobody continued for this long is removed with the garbage; a fresh blob is protected for as long.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// The bytes that arrived so far. Dropping it keeps them for the next attempt.
///
/// Unlike [`crate::PartialBlob`] it does not hold a collection of garbage off while it is written: its file is never garbage before it
/// was left alone for a day.
#[derive(Debug)]
#[must_use = "the blob appears only with commit"]
pub struct Upload {
    store: Store,
    file: File,
    path: PathBuf,
    offset: u64,
}

impl Store {
    /// Starts an upload.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`]; an identifier other than up to 64 ASCII letters and digits is refused so, too.
    pub fn start_upload(&self, id: &str) -> Result<Upload> {
        let path = self.upload_path(id).ok_or_else(|| {
            Error::file("create an upload in", &self.paths.ingest, io::ErrorKind::InvalidFilename.into())
        })?;
        let fail = |source| Error::file("create", &path, source);
        File::create_new(&path).map_err(fail)?;
        self.open_upload(&path)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))
    }

    /// The upload with this identifier, at its end; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while somebody else writes it; [`Error::File`].
    pub fn upload(&self, id: &str) -> Result<Option<Upload>> {
        self.upload_path(id).map_or(Ok(None), |path| self.open_upload(&path))
    }

    fn upload_path(&self, id: &str) -> Option<PathBuf> {
        let is_sound = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_sound.then(|| self.paths.ingest.join(format!("{UPLOAD_PREFIX}{id}")))
    }

    fn open_upload(&self, path: &Path) -> Result<Option<Upload>> {
        let fail = |act| move |source| Error::file(act, path, source);
        let mut file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(fail("open"))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => return Err(fail("lock")(source)),
        }
        // Whoever had the lock before may have made a blob of the file, which must not change any more.
        let ours = file.metadata().map_err(fail("read"))?;
        if !fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(None);
        }
        let offset = file.seek(SeekFrom::End(0)).map_err(fail("read"))?;
        Ok(Some(Upload { store: self.clone(), file, path: path.to_path_buf(), offset }))
    }

    /// Keeps the blob for a day although no name reaches it, whether it is here already or comes later.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`].
    pub fn protect(&self, digest: &Digest) -> Result<()> {
        let path = self.pending_path(digest);
        File::create(&path).map(drop).map_err(|source| Error::file("create", &path, source))
    }

    /// Ends what [`Store::protect`] began, for example because a name reaches the blob.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn unprotect(&self, digest: &Digest) -> Result<()> {
        remove(&self.pending_path(digest))
    }

    fn pending_path(&self, digest: &Digest) -> PathBuf {
        self.paths.ingest.join(format!("{PENDING_PREFIX}{}", digest.hex()))
    }

    /// The blobs that are protected now.
    pub(crate) fn protected(&self) -> Result<Vec<Digest>> {
        let fail = |source| Error::file("list", &self.paths.ingest, source);
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.paths.ingest).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            let digest = name.strip_prefix(PENDING_PREFIX).and_then(|hex| Digest::from_hex(hex).ok());
            digests.extend(digest.filter(|_| self.is_live_upload(&name)));
        }
        Ok(digests)
    }

    /// Whether a file in `ingest/` is an upload or protects a blob, and is not older than a day.
    pub(crate) fn is_live_upload(&self, name: &str) -> bool {
        let modified = || fs::metadata(self.paths.ingest.join(name)).and_then(|metadata| metadata.modified());
        (name.starts_with(UPLOAD_PREFIX) || name.starts_with(PENDING_PREFIX))
            && modified().is_ok_and(|time| time.elapsed().map_or(true, |age| age < MAX_AGE))
    }
}

impl Upload {
    /// How many bytes are here; the next write continues after them.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Verifies all bytes and makes the blob appear, [protected](Store::protect) until a name reaches it.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] when the bytes are others (they are thrown away), [`Error::NoSpace`] or [`Error::File`].
    pub fn commit(mut self, expected: &Digest) -> Result<Blob> {
        let fail = |act, source| Error::file(act, &self.path, source);
        self.file.seek(SeekFrom::Start(0)).map_err(|source| fail("read", source))?;
        let found = reader::hash(&mut self.file, expected.algorithm()).map_err(|source| fail("read", source))?;
        if found != *expected {
            remove(&self.path)?;
            return Err(Error::Mismatch { expected: *expected, found: Box::new(found), size: self.offset });
        }
        let _guard = self.store.shared_guard()?;
        self.store.protect(&found)?;
        let path = self.store.blob_path_to_write(&found)?;
        durable::publish(&self.file, &self.path, &path)?;
        Ok(Blob { digest: found, size: self.offset })
    }

    /// Throws the bytes away.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn cancel(self) -> Result<()> {
        remove(&self.path)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes).map_err(|source| Error::file("write", &self.path, source))?;
        self.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, source)),
        _ => Ok(()),
    }
}

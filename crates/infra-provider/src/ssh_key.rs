//! Creates, reads and removes the key pair that opens the hosts of a cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use tokio::task::spawn_blocking;

use crate::{Error, Result};

/// The largest key file that is read, in bytes; an ed25519 key has about 400.
const SIZE_LIMIT: u64 = 16 * 1024;

/// The public half of a cluster's key pair, and where the private half lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterKey {
    /// The file with the private key.
    pub(crate) private: PathBuf,
    /// The line for `authorized_keys`, without a line end.
    pub(crate) authorized: String,
}

/// As [`load_or_make`], beside the runtime; the path is absolute.
pub(crate) async fn ensure(state_dir: &Path, cluster: &str) -> Result<ClusterKey> {
    let state_dir = std::path::absolute(state_dir).map_err(|_| Error::StatePath { path: state_dir.to_owned() })?;
    let cluster = cluster.to_owned();
    let made = spawn_blocking(move || load_or_make(&state_dir, &cluster)).await;
    made.map_err(|_| Error::Interrupted { act: "making the cluster's key" })?
}

/// As [`remove`], beside the runtime.
pub(crate) async fn forget(state_dir: &Path) -> Result<()> {
    let state_dir = state_dir.to_owned();
    let removed = spawn_blocking(move || remove(&state_dir)).await;
    removed.map_err(|_| Error::Interrupted { act: "removing the cluster's key" })?
}

/// Reads the pair below `state_dir`, or makes one and keeps it there (`ssh/id_ed25519`, mode 0600, and `.pub`).
fn load_or_make(state_dir: &Path, cluster: &str) -> Result<ClusterKey> {
    let private = private_path(state_dir);
    let key = match read(&private)? {
        Some(text) => PrivateKey::from_openssh(&text)
            .and_then(|key| if key.is_encrypted() { Err(ssh_key::Error::Encrypted) } else { Ok(key) })
            .map_err(|source| Error::KeyUnreadable { path: private.clone(), source: source.into() })?,
        None => {
            let key = make(cluster)?;
            let text =
                key.to_openssh(LineEnding::LF).map_err(|error| Error::KeyMaking { reason: error.to_string() })?;
            write(&private, text.as_bytes(), 0o600)?;
            key
        }
    };
    let authorized = key.public_key().to_openssh().map_err(|error| Error::KeyMaking { reason: error.to_string() })?;
    let public = private.with_extension("pub");
    if read(&public)?.as_deref().map(str::trim) != Some(authorized.as_str()) {
        write(&public, format!("{authorized}\n").as_bytes(), 0o644)?;
    }
    Ok(ClusterKey { private, authorized })
}

/// Whether a pair was made below `state_dir`.
#[cfg(feature = "ali-cloud")]
pub(crate) fn exists(state_dir: &Path) -> bool {
    private_path(state_dir).exists()
}

/// Removes the pair and, when nothing else is in it, its directory.
fn remove(state_dir: &Path) -> Result<()> {
    let private = private_path(state_dir);
    for path in [private.with_extension("pub"), private] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::File { act: "remove", path, source });
            }
            _ => {}
        }
    }
    // Somebody else's files in it are a reason to leave it, not to fail.
    let _ = fs::remove_dir(state_dir.join("ssh"));
    Ok(())
}

fn private_path(state_dir: &Path) -> PathBuf {
    state_dir.join("ssh").join("id_ed25519")
}

fn make(cluster: &str) -> Result<PrivateKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::KeyMaking { reason: format!("no random numbers: {error}") })?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    seed.fill(0);
    PrivateKey::new(pair, format!("sealer cluster {cluster}"))
        .map_err(|error| Error::KeyMaking { reason: error.to_string() })
}

fn read(path: &Path) -> Result<Option<String>> {
    let failed = |source| Error::File { act: "read", path: path.to_owned(), source };
    let bytes = atomic_file::read_limited(path, SIZE_LIMIT).map_err(failed)?;
    // What is no text is no key either; the parser says so.
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = |source| Error::File { act: "write", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(path);
    atomic_file::create_dir(directory, 0o700).and_then(|()| atomic_file::write(path, content, mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_pair_is_made_once_and_private() {
        let state = tempfile::tempdir().unwrap();
        let first = load_or_make(state.path(), "shop").unwrap();
        assert_eq!(mode(&first.private), 0o600);
        assert_eq!(mode(&state.path().join("ssh")), 0o700);
        assert!(first.authorized.starts_with("ssh-ed25519 ") && first.authorized.ends_with("sealer cluster shop"));
        assert_eq!(fs::read_to_string(first.private.with_extension("pub")).unwrap().trim(), first.authorized);
        assert_eq!(load_or_make(state.path(), "shop").unwrap(), first);

        let other = tempfile::tempdir().unwrap();
        assert_ne!(load_or_make(other.path(), "shop").unwrap().authorized, first.authorized);
    }

    #[test]
    fn a_lost_public_half_comes_back() {
        let state = tempfile::tempdir().unwrap();
        let first = load_or_make(state.path(), "shop").unwrap();
        fs::remove_file(first.private.with_extension("pub")).unwrap();
        fs::write(state.path().join("ssh/id_ed25519.pub.new"), "left by a crash").unwrap();
        assert_eq!(load_or_make(state.path(), "shop").unwrap(), first);
        assert!(first.private.with_extension("pub").exists());
    }

    #[test]
    fn something_else_in_its_place_is_named_and_kept() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("ssh")).unwrap();
        let path = state.path().join("ssh/id_ed25519");
        fs::write(&path, "not a key").unwrap();
        let message = load_or_make(state.path(), "shop").unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }

    #[test]
    fn removing_is_repeatable_and_spares_strangers() {
        let state = tempfile::tempdir().unwrap();
        load_or_make(state.path(), "shop").unwrap();
        remove(state.path()).unwrap();
        remove(state.path()).unwrap();
        assert!(!state.path().join("ssh").exists());

        load_or_make(state.path(), "shop").unwrap();
        fs::write(state.path().join("ssh/config"), "").unwrap();
        remove(state.path()).unwrap();
        assert_eq!(fs::read_dir(state.path().join("ssh")).unwrap().count(), 1);
    }
}

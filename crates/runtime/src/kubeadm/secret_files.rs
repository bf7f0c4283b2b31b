//! How do secrets get into files and out of them?

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use secret::Secret;

use super::certificates::{self, Certified};
use crate::Error;

/// No secret file is larger.
const LIMIT: u64 = 64 * 1024;

/// Reads a file; `None` when there is none.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Secret>, Error> {
    let failed = |source| Error::SecretFile { act: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    let read = file.take(LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
    let text = Secret::from(text);
    if read as u64 > LIMIT {
        return Err(Error::SecretDamaged { path: path.to_owned(), reason: "is too large".to_owned() });
    }
    Ok(Some(text))
}

/// Reads a file that must be there.
pub(crate) fn required(path: &Path) -> Result<Secret, Error> {
    let missing = || Error::SecretDamaged { path: path.to_owned(), reason: "is missing".to_owned() };
    read_secret(path)?.ok_or_else(missing)
}

/// Reads `<name>.crt` and `<name>.key`, which must belong together.
pub(crate) fn certified(directory: &Path, name: &str) -> Result<Certified, Error> {
    let path = directory.join(format!("{name}.crt"));
    let certificate = required(&path)?.expose().to_owned();
    let key = required(&directory.join(format!("{name}.key")))?;
    let certified = Certified { certificate, key };
    if certificates::belong_together(&certified) {
        Ok(certified)
    } else {
        Err(Error::SecretDamaged { path, reason: format!("does not belong to {name}.key beside it") })
    }
}

/// Writes a file that only its owner may read: temporary file beside it, fsync, rename, fsync of the directory.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::SecretFile { act: "write", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed)
}

/// Makes a directory and its parents, for their owner only.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::SecretFile { act: "make", path: path.to_owned(), source })
}

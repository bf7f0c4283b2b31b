//! Reads and writes the files of secrets: for their owner only, each atomically.

use std::path::Path;

use secret::Secret;

use crate::Error;
use crate::certificates::{self, Certified};

/// No secret file is larger, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Reads a file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, Error> {
    let failed = |source| Error::SecretFile { act: "read", path: path.to_owned(), source };
    let corrupt = |reason: &str| Error::SecretCorrupt { path: path.to_owned(), reason: reason.to_owned() };
    match atomic_file::read_limited(path, LIMIT) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.into())),
            Err(_) => Err(corrupt("is no text")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Err(corrupt("is too large")),
        Err(error) => Err(failed(error)),
    }
}

/// Reads a file that must be there.
pub(super) fn required(path: &Path) -> Result<Secret, Error> {
    let missing = || Error::SecretCorrupt { path: path.to_owned(), reason: "is missing".to_owned() };
    read(path)?.ok_or_else(missing)
}

/// Reads `<name>.crt` and `<name>.key`, which must belong together.
pub(super) fn certified(directory: &Path, name: &str) -> Result<Certified, Error> {
    let path = directory.join(format!("{name}.crt"));
    let certificate = required(&path)?.expose().to_owned();
    let key = required(&directory.join(format!("{name}.key")))?;
    let certified = Certified { certificate, key };
    if certificates::belong_together(&certified) {
        Ok(certified)
    } else {
        Err(Error::SecretCorrupt { path, reason: format!("does not belong to {name}.key beside it") })
    }
}

/// Writes `<name>.crt` and `<name>.key`.
pub(super) fn write_certified(directory: &Path, name: &str, certified: &Certified) -> Result<(), Error> {
    write(&directory.join(format!("{name}.crt")), certified.certificate.as_bytes())?;
    write(&directory.join(format!("{name}.key")), certified.key.expose().as_bytes())
}

/// Writes a file that only its owner may read.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::SecretFile { act: "write", path: path.to_owned(), source };
    atomic_file::write(path, content, 0o600).map_err(failed)
}

/// Makes a directory and its parents, for their owner only.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::SecretFile { act: "make", path: path.to_owned(), source };
    atomic_file::create_dir(path, 0o700).map_err(failed)
}

//! Files that appear whole or not at all, with this crate's errors.

use crate::error::{Error, Result};
use atomic_file::TemporaryFile;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Other users of the machine may read content.
const INDEX_MODE: u32 = 0o644;
/// Likewise, and nobody else may change it, whatever the umask is.
const BLOB_MODE: u32 = 0o644;
/// Likewise for directories.
const DIRECTORY_MODE: u32 = 0o755;
/// What is not finished is nobody else's to read.
const PRIVATE_MODE: u32 = 0o700;

/// Replaces `path` with `bytes`.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic_file::write(path, bytes, INDEX_MODE).map_err(|source| Error::file("write", path, source))
}

/// Makes the open file at `from` the blob at `to`, with the mode of blobs.
pub(crate) fn publish(file: &File, from: &Path, to: &Path) -> Result<()> {
    let published = file.set_permissions(Permissions::from_mode(BLOB_MODE));
    published.and_then(|()| atomic_file::persist(file, from, to)).map_err(|source| Error::file("write", to, source))
}

/// Makes what happened to the entries of `directory` survive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    atomic_file::sync_dir(directory).map_err(|source| Error::file("sync", directory, source))
}

/// Creates `directory` and its parents; entries that were made are synced.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    atomic_file::create_dir(directory, DIRECTORY_MODE).map_err(|source| Error::file("create", directory, source))
}

/// As [`create_directory`], for the owner alone.
pub(crate) fn create_private_directory(directory: &Path) -> Result<()> {
    atomic_file::create_dir(directory, PRIVATE_MODE).map_err(|source| Error::file("create", directory, source))
}

/// Creates a file of a name that nobody else uses, removed on drop unless it is persisted.
pub(crate) fn create_temporary(directory: &Path, prefix: &str) -> Result<TemporaryFile> {
    TemporaryFile::create(directory, prefix, BLOB_MODE)
        .map_err(|source| Error::file("create a file in", directory, source))
}

//! Atomic files with this crate's errors.

use std::path::Path;

use crate::error::{Error, Result};

/// Replaces the file. Missing directories are made.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    atomic_file::create_dir(directory, 0o755).map_err(Error::file("create", directory))?;
    atomic_file::write(path, bytes, 0o600).map_err(Error::file("write", path))
}

/// Makes renames in the directory survive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    atomic_file::sync_dir(directory).map_err(Error::file("flush", directory))
}

//! How does a small file appear whole or not at all, also after a power cut?

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes the file beside its place, flushes it, and renames it there. Missing directories are made.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(Error::file("write", path))?;
    file.write_all(bytes).map_err(Error::file("write", path))?;
    file.as_file().sync_data().map_err(Error::file("write", path))?;
    file.persist(path).map_err(|error| Error::File { act: "write", path: path.to_owned(), source: error.error })?;
    sync_directory(directory)
}

/// Makes renames in the directory survive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::file("flush", directory))
}

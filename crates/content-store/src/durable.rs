//! Files that appear whole or not at all.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How the temporary files of [`replace`] start; names of objects and blobs never do.
pub(crate) const REPLACE_PREFIX: &str = ".new";

/// Replaces `path` with `bytes`: temporary file beside it, fsync, rename, fsync of the directory.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let (mut file, temporary) = create_unique(directory, REPLACE_PREFIX)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(temporary.path(), path));
    match written {
        Ok(()) => temporary.keep(),
        Err(source) => return Err(Error::file("write", path, source)),
    }
    sync_directory(directory)
}

/// Makes what happened to the entries of `directory` survive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(|source| Error::file("sync", directory, source))
}

/// Creates `directory` and its parents; entries that were made are synced.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|source| Error::file("create", directory, source))?;
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Creates a file of a name that nobody else uses, `PREFIX-<process>-<time>-<count>`, removed on drop unless kept.
pub(crate) fn create_unique(directory: &Path, prefix: &str) -> Result<(File, Temporary)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
        let path = directory.join(format!("{prefix}-{}-{time:x}-{count}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, Temporary { path, kept: false })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::file("create", &path, source)),
        }
    }
}

/// A file that is removed when the value is dropped, unless [`Temporary::keep`] was called.
#[derive(Debug)]
#[must_use]
pub(crate) struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file was renamed, or shall stay.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a failure here; the next opening of the store tidies up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

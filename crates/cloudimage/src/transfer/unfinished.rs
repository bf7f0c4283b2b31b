//! Names of archives until they are whole. What killed commands left under such names is removed by the next.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use atomic_file::{TEMPORARY_PREFIX, TemporaryFile};

use crate::builder::cache::is_abandoned;
use crate::error::{Error, Result};
use crate::remove::{WorkDirectory, remove_directory};

/// Length of what makes such a name unique.
const RANDOM: usize = 6;

/// A file beside `path` that becomes it. Made to be handed on, as far as the umask allows it.
pub(super) fn file(path: &Path) -> io::Result<TemporaryFile> {
    let mut file = TemporaryFile::create(parent(path), &swept_prefix(path), 0o666)?;
    // Says that it is being written. Where there are no locks, what is left stays.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// A directory beside `path` that becomes it, and its lock.
pub(super) fn directory(path: &Path) -> Result<(WorkDirectory, File)> {
    let directory = WorkDirectory::with_mode(parent(path), &swept_prefix(path), 0o777)?;
    let lock = File::open(directory.path()).map_err(Error::file("write", path))?;
    let _ = lock.try_lock();
    Ok((directory, lock))
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What these names begin with. Those that nobody writes are removed.
fn swept_prefix(path: &Path) -> String {
    let name: String = path.file_name().unwrap_or_default().to_string_lossy().chars().take(50).collect();
    let prefix = format!(".{name}{TEMPORARY_PREFIX}");
    for entry in fs::read_dir(parent(path)).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_ours =
            name.to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(|rest| rest.len() == RANDOM);
        // A pipe would be waited for, and a link is not ours.
        let is_plain = entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_dir());
        if is_ours && is_plain && is_abandoned(&path) {
            // It is in nobody's way; the next command tries again.
            let _ = if path.is_dir() { remove_directory(&path) } else { fs::remove_file(&path) };
        }
    }
    prefix
}

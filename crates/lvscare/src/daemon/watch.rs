//! Finds out whether a file has changed since it was last read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::config::LIMIT;
use crate::{Error, Result};

/// A file that is looked at again and again. Replacing it as a whole (rename) and writing into it are both seen.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What tells two versions of a file apart without reading them.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

impl Watched {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another than the one last seen here. A file that is not there is none.
    pub(super) fn changed(&mut self) -> bool {
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| stamp(&metadata));
        let changed = stamp != self.seen;
        self.seen = stamp;
        changed
    }
}

/// Reads a file that is never larger than [`LIMIT`].
pub(super) fn read(path: &Path) -> Result<String> {
    let failed = |source| Error::Io { act: format!("read {}", path.display()), source };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > LIMIT {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {LIMIT} bytes"))));
    }
    Ok(text)
}

fn stamp(metadata: &Metadata) -> Stamp {
    let (changed, modified) = ((metadata.ctime(), metadata.ctime_nsec()), (metadata.mtime(), metadata.mtime_nsec()));
    (metadata.dev(), metadata.ino(), metadata.size(), changed.0, changed.1, modified.0, modified.1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writing_replacing_and_removing_are_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let mut watched = Watched::new(&path);
        assert!(!watched.changed());
        fs::write(&path, "one").unwrap();
        assert!(watched.changed() && !watched.changed());
        // Same length, within the same tick of the clock: only the inode differs.
        fs::write(directory.path().join("next"), "two").unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        assert!(watched.changed() && !watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed() && !watched.changed());
    }

    #[test]
    fn files_have_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(&path, vec![b' '; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().starts_with("cannot read "));
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), "text");
    }
}

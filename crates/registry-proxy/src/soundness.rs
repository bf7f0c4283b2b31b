//! Which blobs were already compared with their digest, and how did it end?

use content_store::Digest;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
pub(crate) struct Soundness {
    known: Mutex<HashMap<Digest, (FileVersion, bool)>>,
}

impl Soundness {
    /// Whether this file was found sound, or damaged; `None` when it was not read yet.
    pub(crate) fn get(&self, digest: &Digest, version: FileVersion) -> Option<bool> {
        self.known().get(digest).filter(|(seen, _)| *seen == version).map(|(_, is_sound)| *is_sound)
    }

    pub(crate) fn set(&self, digest: Digest, version: FileVersion, is_sound: bool) {
        let mut known = self.known();
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(digest, (version, is_sound));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, (FileVersion, bool)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Remembers which blobs were compared with their digest, and the result.

use content_store::{BlobFile, Digest, Error as ContentError, FileVersion};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Enough for the blobs of several clusters; then it starts over.
const LIMIT: usize = 16_384;

/// How long a blob that was right is sent without being read: a disk that loses bits is noticed this much later.
const FRESH: Duration = Duration::from_secs(3600);

/// Remembers, per blob, the version of the file that was read, whether its bytes were right, and when that was.
#[derive(Debug, Default)]
pub(super) struct Integrity {
    known: Mutex<HashMap<Digest, (FileVersion, bool, Instant)>>,
    /// Blobs that are being read, so that many requests at once read them once.
    gates: Mutex<HashMap<Digest, Arc<Gate>>>,
}

type Gate = tokio::sync::Mutex<()>;

/// A blob that was compared with its digest.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) file: BlobFile,
    pub(super) is_intact: bool,
    /// Whether it was found out just now.
    pub(super) is_new: bool,
}

impl Integrity {
    /// Whether the bytes of this file were right; `None` when it was not read yet.
    pub(super) fn get(&self, file: &BlobFile) -> Option<bool> {
        let known = lock(&self.known);
        known.get(&file.digest()).filter(|(seen, ..)| *seen == file.version()).map(|(_, is_intact, _)| *is_intact)
    }

    /// Whether the bytes of this file were right not long ago: they may be sent as they are.
    pub(super) fn is_fresh(&self, file: &BlobFile) -> bool {
        let known = lock(&self.known);
        known
            .get(&file.digest())
            .is_some_and(|(seen, is_intact, when)| *seen == file.version() && *is_intact && when.elapsed() < FRESH)
    }

    pub(super) fn set(&self, file: &BlobFile, is_intact: bool) {
        let mut known = lock(&self.known);
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(file.digest(), (file.version(), is_intact, Instant::now()));
    }

    /// Compares the blob with its digest, unless that was done before. An error means that it could not be read.
    pub(super) async fn check(&self, file: BlobFile) -> io::Result<Checked> {
        if let Some(is_intact) = self.get(&file) {
            return Ok(Checked { file, is_intact, is_new: false });
        }
        let digest = file.digest();
        let gate = lock(&self.gates).entry(digest).or_default().clone();
        let _turn = gate.lock().await;
        if let Some(is_intact) = self.get(&file) {
            return Ok(Checked { file, is_intact, is_new: false });
        }
        let read = tokio::task::spawn_blocking(move || verify(file)).await;
        if let Ok(Ok((file, is_intact))) = &read {
            self.set(file, *is_intact);
        }
        lock(&self.gates).remove(&digest);
        let (file, is_intact) = read.map_err(io::Error::other)??;
        Ok(Checked { file, is_intact, is_new: true })
    }
}

fn verify(mut file: BlobFile) -> io::Result<(BlobFile, bool)> {
    match file.verify() {
        Ok(()) => Ok((file, true)),
        Err(ContentError::Corrupt { .. }) => Ok((file, false)),
        Err(error) => Err(error.into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Events of a push or pull, and how far an archive is.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use content_store::Digest;
use content_transfer::{Event, Placed};
use serde::Serialize;

/// Bytes of one blob between two events about it.
const TELL_EVERY: u64 = 1 << 20;

/// Something that happened in a push or pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum TransferEvent {
    /// The image is known, and what of it is moved.
    Image {
        /// The whole name.
        name: String,
        /// The digest of its index.
        digest: Digest,
        /// Blobs of the chosen platforms.
        blobs: usize,
        /// Their size in bytes.
        bytes: u64,
    },
    /// A blob makes progress; the last one has an outcome.
    Blob {
        /// The blob.
        digest: Digest,
        /// How many of its bytes are at the other end. It never goes back.
        bytes: u64,
        /// Its size in bytes.
        size: u64,
        /// How many bytes went over the network for it, also those that went twice.
        moved: u64,
        /// How it got to the other end, once it is there.
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<BlobOutcome>,
    },
    /// Something the user should know that does not stop the work.
    Warning {
        /// What, in one sentence.
        message: String,
    },
}

/// How a blob got to the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BlobOutcome {
    /// It was moved over the network.
    Moved,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was there.
    Present,
}

/// Is told what a push or pull does; must return quickly.
pub type TransferEvents<'a> = &'a (dyn Fn(TransferEvent) + Send + Sync);

/// Hears how many bytes of an archive are read or written, and how many there are if that is known; must return quickly.
pub type ArchiveProgress<'a> = &'a (dyn Fn(u64, Option<u64>) + Sync);

/// Counts bytes that go through it, and tells after each piece of [`TELL_EVERY`].
pub(super) struct Telling<'a, T> {
    inner: T,
    untold: u64,
    tell: &'a dyn Fn(u64),
}

impl<'a, T> Telling<'a, T> {
    /// `tell` hears how many bytes came since it was called last.
    pub(super) fn new(inner: T, tell: &'a dyn Fn(u64)) -> Self {
        Self { inner, untold: 0, tell }
    }
}

impl<T: Write> Write for Telling<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.untold += count as u64;
        if self.untold >= TELL_EVERY {
            (self.tell)(std::mem::take(&mut self.untold));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Translates what a transfer tells: not too often, and nothing that goes back.
pub(super) struct Teller<'a> {
    sizes: HashMap<Digest, u64>,
    told: Mutex<HashMap<Digest, u64>>,
    totals: Mutex<Totals>,
    events: TransferEvents<'a>,
}

/// What was fetched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) moved_blobs: usize,
    pub(super) moved_bytes: u64,
    pub(super) present_bytes: u64,
}

impl<'a> Teller<'a> {
    /// For blobs of these sizes.
    pub(super) fn new(sizes: HashMap<Digest, u64>, events: TransferEvents<'a>) -> Self {
        Self { sizes, told: Mutex::default(), totals: Mutex::default(), events }
    }

    /// What whole blobs came to.
    pub(super) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of a transfer in either direction.
    pub(super) fn tell(&self, event: Event) {
        match event {
            Event::Blob { digest, bytes, fetched, done } => {
                let outcome = done.then_some(if fetched == 0 { BlobOutcome::Present } else { BlobOutcome::Moved });
                self.blob(digest, bytes, self.sizes.get(&digest).copied().unwrap_or(bytes), fetched, outcome);
            }
            Event::Upload { digest, bytes, size, sent, placed } => {
                let outcome = placed.map(|placed| match placed {
                    Placed::Mounted => BlobOutcome::Mounted,
                    Placed::Present => BlobOutcome::Present,
                    _ => BlobOutcome::Moved,
                });
                self.blob(digest, bytes, size, sent, outcome);
            }
            _ => {}
        }
    }

    fn blob(&self, digest: Digest, bytes: u64, size: u64, moved: u64, outcome: Option<BlobOutcome>) {
        // Told while the lock is held, so that no number overtakes another.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.get(&digest).copied();
        let bytes = bytes.max(before.unwrap_or(0));
        if outcome.is_none() && before.is_some_and(|before| bytes < before + TELL_EVERY) {
            return;
        }
        told.insert(digest, bytes);
        if let Some(outcome) = outcome {
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.moved_bytes += moved;
            match outcome {
                BlobOutcome::Moved => totals.moved_blobs += 1,
                _ => totals.present_bytes += size,
            }
        }
        (self.events)(TransferEvent::Blob { digest, bytes, size, moved, outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_never_goes_back() {
        let digest = Digest::of(b"blob");
        let told = Mutex::new(Vec::new());
        let keep = |event| {
            if let TransferEvent::Blob { bytes, .. } = event {
                told.lock().expect("no panic").push(bytes);
            }
        };
        let teller = Teller::new(HashMap::from([(digest, 9 << 20)]), &keep);
        // A source that was cut, another that gave wrong bytes, so that it began again.
        for bytes in [0, 2 << 20, 3 << 20, 0, 1 << 20, 4 << 20] {
            teller.tell(Event::Blob { digest, bytes, fetched: bytes, done: false });
        }
        teller.tell(Event::Blob { digest, bytes: 9 << 20, fetched: 9 << 20, done: true });
        assert_eq!(told.into_inner().expect("no panic"), [0, 2 << 20, 3 << 20, 4 << 20, 9 << 20]);
    }
}

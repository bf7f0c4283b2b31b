//! Shows the progress of a push or pull: a line for the image, one for each blob under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sealer_core::Event;
use sealer_core::cloudimage::{BlobOutcome, TransferEvent};

use super::Mode;
use super::screen::Screen;
use crate::output::images::familiar;
use crate::output::layout::columns;
use crate::output::units;

/// Key of the line of the image.
const IMAGE: &str = "image";
/// Smaller blobs are not worth a line that stays.
const NOTABLE: u64 = 1_000_000;

/// Shows the progress of a push or pull.
#[derive(Debug)]
pub(crate) struct TransferProgress {
    screen: Screen,
    transfer: Transfer,
}

impl TransferProgress {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { screen: Screen::new(mode), transfer: Transfer::default() }
    }

    /// Takes an event, from any thread.
    pub(crate) fn event(&self, event: &Event) {
        if !self.screen.takes(event) {
            return;
        }
        match event {
            Event::Transfer { transfer } => self.transfer.show(&self.screen, transfer),
            Event::Warning { message } => self.screen.warning(message),
            _ => {}
        }
    }

    /// Removes what is still shown.
    pub(crate) fn finish(&self) {
        self.screen.clear();
    }
}

/// The lines of one transfer, on whatever screen it is shown.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    current: Mutex<Option<Current>>,
}

/// The image under way.
#[derive(Debug)]
struct Current {
    name: String,
    size: u64,
    started: Instant,
    blobs: BTreeMap<String, Blob>,
}

/// A blob under way or done.
#[derive(Debug)]
struct Blob {
    started: Instant,
    bytes: u64,
    moved: u64,
}

impl Transfer {
    pub(super) fn show(&self, screen: &Screen, event: &TransferEvent) {
        match event {
            TransferEvent::Image { name, bytes, .. } => {
                let (name, size) = (familiar(name), *bytes);
                *self.current() = Some(Current { name, size, started: Instant::now(), blobs: BTreeMap::new() });
            }
            TransferEvent::Blob { digest, bytes, size, moved, outcome } => {
                self.blob(screen, &digest.to_string(), (*bytes, *size, *moved), *outcome);
            }
            TransferEvent::Warning { message } => screen.warning(message),
            _ => {}
        }
    }

    fn blob(&self, screen: &Screen, digest: &str, (bytes, size, moved): (u64, u64, u64), outcome: Option<BlobOutcome>) {
        let mut current = self.current();
        let Some(current) = current.as_mut() else { return };
        let new = || Blob { started: Instant::now(), bytes: 0, moved: 0 };
        let blob = current.blobs.entry(digest.to_owned()).or_insert_with(new);
        (blob.bytes, blob.moved) = (bytes, moved);
        let elapsed = blob.started.elapsed();
        let short: String = digest.rsplit(':').next().unwrap_or(digest).chars().take(12).collect();
        let left = format!("        {short}");
        let rate = units::rate(moved, elapsed);
        match outcome {
            None if bytes > 0 => {
                let middle = format!("{}  {rate}", units::progress(bytes, size));
                screen.set(digest, &columns(screen.room(), &left, &middle, ""));
            }
            None => {}
            Some(outcome) => {
                screen.unset(digest);
                let (middle, right) = match outcome {
                    BlobOutcome::Moved => (format!("{:>7}  {rate}", units::bytes(size)), units::duration(elapsed)),
                    BlobOutcome::Mounted => (units::bytes(size), "mounted".to_owned()),
                    _ => (String::new(), String::new()),
                };
                if !middle.is_empty() && size >= NOTABLE {
                    screen.line(&columns(screen.width(), &left, &middle, &right));
                }
            }
        }
        let sum = |part: fn(&Blob) -> u64| current.blobs.values().map(part).sum::<u64>();
        let of = units::progress(sum(|blob| blob.bytes), current.size);
        let middle = format!("{of}  {}", units::rate(sum(|blob| blob.moved), current.started.elapsed()));
        screen.set(IMAGE, &columns(screen.room(), &current.name, &middle, ""));
        if sum(|blob| blob.bytes) == current.size {
            screen.unset(IMAGE);
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How far a command is that reads or moves bytes.

use std::time::Instant;

use sealer_core::Event;

use super::Mode;
use super::screen::Screen;
use crate::output::units;

/// One line with the bytes that are done, while it lasts.
#[derive(Debug)]
pub(crate) struct BytesProgress {
    screen: Screen,
    started: Instant,
}

const LINE: &str = "bytes";

impl BytesProgress {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { screen: Screen::new(mode), started: Instant::now() }
    }

    /// Shows an event.
    pub(crate) fn event(&self, event: &Event) {
        if !self.screen.takes(event) {
            return;
        }
        let (bytes, total) = match event {
            Event::Verify { bytes, total } => (*bytes, Some(*total)),
            Event::Archive { bytes, total } => (*bytes, *total),
            Event::Warning { message } => return self.screen.warning(message),
            _ => return,
        };
        let done = total.map_or_else(|| units::bytes(bytes), |total| units::progress(bytes, total));
        self.screen.set(LINE, &format!("{done}  {}", units::rate(bytes, self.started.elapsed())));
    }
}

impl Drop for BytesProgress {
    fn drop(&mut self) {
        self.screen.unset(LINE);
    }
}

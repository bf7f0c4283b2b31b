//! The lines on the terminal: those that are updated in place, and those that stay.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use sealer_core::Event;

use super::Mode;
use crate::output::layout::{RIGHT, WIDEST, visible};
use crate::output::{say, say_labelled, units};

/// Lines that change in place while something lives, above them those that stay.
#[derive(Debug)]
pub(super) struct Screen {
    mode: Mode,
    width: usize,
    bars: MultiProgress,
    living: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Screen {
    pub(super) fn new(mode: Mode) -> Self {
        let width = match mode {
            // The last column stays free: some terminals wrap when it is written.
            Mode::Terminal => usize::from(Term::stderr().size().1).saturating_sub(1).clamp(40, WIDEST),
            _ => WIDEST,
        };
        Self { mode, width, bars: MultiProgress::new(), living: Mutex::default() }
    }

    /// Columns of a line.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Columns of a line that lives, left of the time that it shows by itself.
    pub(super) fn room(&self) -> usize {
        self.width.saturating_sub(RIGHT + 1)
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.mode == Mode::Terminal
    }

    /// Whether events are for people; if for programs, they are printed here.
    pub(super) fn takes(&self, event: &Event) -> bool {
        if self.mode == Mode::Json {
            say(&serde_json::to_string(event).unwrap_or_default());
        }
        matches!(self.mode, Mode::Terminal | Mode::Lines)
    }

    /// Shows or changes a line that lives; only on a terminal.
    pub(super) fn set(&self, key: &str, text: &str) {
        if !self.is_terminal() {
            return;
        }
        let room = self.room();
        let mut living = self.living();
        let bar = living.entry(key.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::no_length().with_style(style(room)));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(visible(text).into_owned());
    }

    /// Takes a living line away.
    pub(super) fn unset(&self, key: &str) {
        if let Some(bar) = self.living().remove(key) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    /// Prints a line that stays.
    pub(super) fn line(&self, text: &str) {
        self.shown(|| say(text.trim_end()));
    }

    fn shown(&self, print: impl FnOnce()) {
        if self.is_terminal() { self.bars.suspend(print) } else { print() }
    }

    /// Says something to people from wherever an interrupt is noticed.
    pub(super) fn teller(&self) -> impl Fn(&str) + Send + 'static {
        let (mode, bars) = (self.mode, self.bars.clone());
        move |text| match mode {
            Mode::Terminal => bars.suspend(|| say(text)),
            Mode::Lines => say(text),
            Mode::Json | Mode::Silent => {}
        }
    }

    /// Whether events are printed for programs.
    pub(super) fn is_for_programs(&self) -> bool {
        self.mode == Mode::Json
    }

    /// Does something on the terminal while no line changes there.
    pub(super) fn suspender(&self) -> impl Fn(&mut dyn FnMut()) + Send + Sync + 'static {
        let bars = self.bars.clone();
        move |act| bars.suspend(act)
    }

    /// Prints a remark.
    pub(super) fn warning(&self, text: &str) {
        let label = Style::new().for_stderr().yellow().bold().apply_to("warning");
        self.shown(|| say_labelled(&label, text.trim_end()));
    }

    /// Takes all living lines away.
    pub(super) fn clear(&self) {
        for bar in std::mem::take(&mut *self.living()).into_values() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn living(&self) -> MutexGuard<'_, BTreeMap<String, ProgressBar>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text, and at the right how long it lives.
fn style(room: usize) -> ProgressStyle {
    let template = ProgressStyle::with_template(&format!("{{msg:{room}!}} {{time}}"));
    template.unwrap_or_else(|_| ProgressStyle::default_spinner()).with_key(
        "time",
        |state: &ProgressState, out: &mut dyn Write| {
            // Writing to indicatif's buffer cannot fail.
            let _ = write!(out, "{:>RIGHT$}", units::duration(state.elapsed()));
        },
    )
}

//! Shows the progress of a build: one line per instruction, one per carried image that is fetched.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sealer_core::Event;
use sealer_core::cloudimage::{BuildEvent, StepOutcome};

use super::Mode;
use super::screen::Screen;
use super::transfer::Transfer;
use crate::output::layout::{columns, printable, shorten};
use crate::output::units;

/// Key of the line of the instruction under way.
const STEP: &str = "step";

/// Shows the progress of a build.
#[derive(Debug)]
pub(crate) struct BuildProgress {
    screen: Screen,
    verbose: bool,
    current: Mutex<Current>,
    pull: Transfer,
}

/// What is under way.
#[derive(Debug)]
struct Current {
    line: String,
    started: Instant,
    images: BTreeMap<String, Instant>,
}

impl BuildProgress {
    pub(crate) fn new(mode: Mode, verbose: bool) -> Self {
        let current = Current { line: String::new(), started: Instant::now(), images: BTreeMap::new() };
        Self { screen: Screen::new(mode), verbose, current: Mutex::new(current), pull: Transfer::default() }
    }

    /// Takes an event, from any thread.
    pub(crate) fn event(&self, event: &Event) {
        if !self.screen.takes(event) {
            return;
        }
        match event {
            Event::Build { build } => self.show(build),
            Event::Warning { message } => self.screen.warning(message),
            _ => {}
        }
    }

    /// Removes what is still shown.
    pub(crate) fn finish(&self) {
        self.screen.clear();
    }

    fn show(&self, event: &BuildEvent) {
        match event {
            BuildEvent::Platform { platform, .. } => self.screen.line(platform),
            BuildEvent::Step { index, total, keyword, arguments } => self.begin(*index, *total, keyword, arguments),
            BuildEvent::Output { line, .. } => self.output(&printable(line)),
            BuildEvent::StepDone { outcome, .. } => self.end(outcome),
            BuildEvent::Warning { message } => self.screen.warning(message),
            BuildEvent::Pull { pull } => self.pull.show(&self.screen, pull),
            BuildEvent::Images { named: 0, in_archives: 0, inherited: 0 } => {}
            BuildEvent::Images { named, in_archives, inherited } => {
                let parts = [(*named, "to fetch"), (*in_archives, "in archives"), (*inherited, "from the base")];
                let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
                self.screen.line(&format!("images  {}", parts.collect::<Vec<_>>().join(", ")));
            }
            BuildEvent::Image { name, bytes, total, fetched, done } => {
                self.image(name, *bytes, *total, *fetched, *done)
            }
            _ => {}
        }
    }

    fn begin(&self, index: usize, total: usize, keyword: &str, arguments: &str) {
        let digits = total.to_string().len();
        let arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!("[{index:>digits$}/{total}] {keyword:<5} {arguments}");
        self.screen.set(STEP, &shorten(&line, self.screen.room()));
        let mut current = self.current();
        current.line = line;
        current.started = Instant::now();
    }

    fn output(&self, line: &str) {
        if self.verbose {
            self.screen.line(&format!("      | {line}"));
        } else {
            let room = self.screen.room();
            let step = shorten(&self.current().line, room / 2);
            let rest = room.saturating_sub(step.chars().count() + 3);
            self.screen.set(STEP, &format!("{step} | {}", shorten(line, rest)));
        }
    }

    fn end(&self, outcome: &StepOutcome) {
        let (line, elapsed) = {
            let current = self.current();
            (current.line.clone(), current.started.elapsed())
        };
        let (middle, right) = outcome_text(outcome);
        let right = right.map_or_else(|| units::duration(elapsed), str::to_owned);
        self.screen.unset(STEP);
        self.screen.line(&columns(self.screen.width(), &line, &middle, &right));
    }

    fn image(&self, name: &str, bytes: u64, total: Option<u64>, fetched: u64, done: bool) {
        let started = *self.current().images.entry(name.to_owned()).or_insert_with(Instant::now);
        let elapsed = started.elapsed();
        let rate = units::rate(fetched, elapsed);
        if done {
            self.screen.unset(name);
            let (middle, right) = match fetched {
                0 => (units::bytes(bytes), "local".to_owned()),
                _ => (format!("{:>7}  {rate}", units::bytes(bytes)), units::duration(elapsed)),
            };
            self.screen.line(&columns(self.screen.width(), &format!("        {name}"), &middle, &right));
        } else {
            let of = total.map_or_else(|| units::bytes(bytes), |total| units::progress(bytes, total));
            let room = self.screen.room();
            self.screen.set(name, &columns(room, &format!("        {name}"), &format!("{of}  {rate}"), ""));
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of an instruction, and a word that says more than the time it took.
fn outcome_text(outcome: &StepOutcome) -> (String, Option<&'static str>) {
    match outcome {
        StepOutcome::Base { size: 0, carried_images: 0 } => (String::new(), Some("")),
        StepOutcome::Base { size, carried_images } => {
            let carried = match carried_images {
                0 => String::new(),
                count => format!(", {}", units::count(*count, "carried image")),
            };
            (format!("{}{carried}", units::bytes(*size)), Some("local"))
        }
        StepOutcome::Layer { digest: None, archived_images: 0, cached, .. } => {
            ("nothing changed".to_owned(), cached.then_some("cached"))
        }
        StepOutcome::Layer { files, size, cached, archived_images, .. } => {
            let files = units::count(usize::try_from(*files).unwrap_or(usize::MAX), "file");
            let images = units::count(*archived_images, "image");
            let text = match (files.as_str(), archived_images) {
                (_, 0) => format!("{files}, {}", units::bytes(*size)),
                ("0 files", _) => images,
                _ => format!("{files}, {}, {images}", units::bytes(*size)),
            };
            (text, cached.then_some("cached"))
        }
        StepOutcome::Recorded => (String::new(), Some("recorded")),
        _ => (String::new(), None),
    }
}

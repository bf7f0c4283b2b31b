//! What is shown while work goes on: one line per thing that lives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sealer_core::cloudimage::{BuildEvent, StepOutcome};
use sealer_core::infra_provider::ProviderEvent;
use sealer_core::{Event, runtime};

use super::{say, units};

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines that are updated in place.
    Terminal,
    /// One line for each thing that is finished.
    Lines,
    /// Every event as a JSON line.
    Json,
    /// Nowhere.
    Silent,
}

/// Shows the progress of a change to a cluster: one line per host.
#[derive(Debug)]
pub(crate) struct ClusterProgress {
    mode: Mode,
    verbose: bool,
    bars: MultiProgress,
    hosts: Mutex<BTreeMap<String, ProgressBar>>,
}

impl ClusterProgress {
    pub(crate) fn new(mode: Mode, verbose: bool) -> Self {
        Self { mode, verbose, bars: MultiProgress::new(), hosts: Mutex::new(BTreeMap::new()) }
    }

    /// Takes an event, from any thread.
    pub(crate) fn event(&self, event: &Event) {
        match self.mode {
            Mode::Silent => {}
            Mode::Json => say(&serde_json::to_string(event).unwrap_or_default()),
            Mode::Terminal | Mode::Lines => self.show(event),
        }
    }

    /// Removes what is still shown.
    pub(crate) fn finish(&self) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in std::mem::take(&mut *hosts).into_values() {
            bar.finish_and_clear();
        }
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Phase { name, detail, millis } => self.line(&row(name, detail, Some(*millis))),
            Event::Provider { provider } => self.provider(provider),
            Event::Step { step } => self.step(step),
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            _ => {}
        }
    }

    fn provider(&self, event: &ProviderEvent) {
        match event {
            ProviderEvent::Creating { host, address } => self.update(&address.to_string(), &format!("creating {host}")),
            ProviderEvent::Restarting { host, address } => {
                self.update(&address.to_string(), &format!("restarting {host}"))
            }
            ProviderEvent::Ready { host, address, failed_units } => {
                let failed = if failed_units.is_empty() {
                    String::new()
                } else {
                    format!(", failed units: {}", failed_units.join(" "))
                };
                self.line(&row(&address.to_string(), &format!("host {host} is ready{failed}"), None));
            }
            ProviderEvent::Released { host, address } => {
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                self.line(&row(&address, &format!("host {host} is gone"), None));
            }
            _ => {}
        }
    }

    fn step(&self, event: &runtime::Event) {
        match event {
            runtime::Event::Resuming { done, total } => {
                self.line(&format!("resuming: {done} of {total} steps are done"))
            }
            runtime::Event::Started { host, title, .. } => self.update(&host.to_string(), title),
            runtime::Event::Moving { host, progress, .. } => {
                let moved = format!("content  {} / {}", units::bytes(progress.done), units::bytes(progress.total));
                self.update(&host.to_string(), &moved);
            }
            runtime::Event::Output { host, line, .. } => self.line(&row(&host.to_string(), &format!("| {line}"), None)),
            runtime::Event::Finished { host, title, millis, .. } => self.finished(*host, title, *millis),
            runtime::Event::Failed { host, title, .. } => {
                self.line(&row(&host.to_string(), &format!("{title}: failed"), None))
            }
            _ => {}
        }
    }

    fn finished(&self, host: IpAddr, title: &str, millis: u64) {
        // On a terminal only what took its time is worth a line of its own.
        if self.mode == Mode::Lines || self.verbose || millis >= 1000 {
            self.line(&row(&host.to_string(), title, Some(millis)));
        }
    }

    fn update(&self, name: &str, message: &str) {
        if self.mode != Mode::Terminal {
            return;
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = hosts.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(spinner());
            bar.set_prefix(format!("{name:<15}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(message.to_owned());
    }

    fn line(&self, text: &str) {
        if self.mode == Mode::Terminal {
            self.bars.suspend(|| say(text));
        } else {
            say(text);
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template(" {prefix} {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// One line: what it concerns, what happened, and how long it took on the right.
fn row(name: &str, text: &str, millis: Option<u64>) -> String {
    let time = millis.map(|millis| units::duration(Duration::from_millis(millis))).unwrap_or_default();
    format!(" {name:<15} {text:<58} {time:>6}").trim_end().to_owned()
}

/// Shows the progress of a build: one line per instruction, one per carried image that is fetched.
#[derive(Debug)]
pub(crate) struct BuildProgress {
    mode: Mode,
    verbose: bool,
    bars: MultiProgress,
    current: Mutex<Current>,
}

/// The instruction under way.
#[derive(Debug)]
struct Current {
    line: String,
    started: Instant,
    bars: BTreeMap<String, ProgressBar>,
}

impl BuildProgress {
    pub(crate) fn new(mode: Mode, verbose: bool) -> Self {
        let current = Current { line: String::new(), started: Instant::now(), bars: BTreeMap::new() };
        Self { mode, verbose, bars: MultiProgress::new(), current: Mutex::new(current) }
    }

    /// Takes an event, from any thread.
    pub(crate) fn event(&self, event: &Event) {
        match (self.mode, event) {
            (Mode::Silent, _) => {}
            (Mode::Json, event) => say(&serde_json::to_string(event).unwrap_or_default()),
            (_, Event::Build { build }) => self.show(build),
            _ => {}
        }
    }

    /// Removes what is still shown.
    pub(crate) fn finish(&self) {
        for bar in std::mem::take(&mut self.current().bars).into_values() {
            bar.finish_and_clear();
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, event: &BuildEvent) {
        match event {
            BuildEvent::Step { index, total, keyword, arguments } => {
                let line = format!("[{index}/{total}] {keyword:<5} {}", shorten(arguments, 44));
                self.update("step", &line);
                let mut current = self.current();
                current.line = line;
                current.started = Instant::now();
            }
            BuildEvent::Output { line, .. } if self.verbose || self.mode == Mode::Lines => {
                self.line(&format!("      | {line}"))
            }
            BuildEvent::Output { line, .. } => {
                self.update("step", &format!("{}  {}", self.current().line.clone(), shorten(line, 60)))
            }
            BuildEvent::StepDone { outcome, .. } => {
                let (line, elapsed) = {
                    let current = self.current();
                    (current.line.clone(), current.started.elapsed())
                };
                self.remove("step");
                self.line(&format!("{line:<58} {:<34} {:>6}", outcome_text(outcome), units::duration(elapsed)));
            }
            BuildEvent::Warning { message } => self.line(&format!("warning: {message}")),
            BuildEvent::Images { named, in_archives, inherited } => {
                self.line(&format!(" images     {named} named, {in_archives} in archives, {inherited} from the base"));
            }
            BuildEvent::Image { name, bytes, done: true, .. } => {
                self.remove(name);
                self.line(&format!("            {name:<46} {:>9}", units::bytes(*bytes)));
            }
            BuildEvent::Image { name, bytes, total, .. } => {
                let total = total.map(|total| format!(" / {}", units::bytes(total))).unwrap_or_default();
                self.update(name, &format!("{name}  {}{total}", units::bytes(*bytes)));
            }
            _ => {}
        }
    }

    fn update(&self, name: &str, message: &str) {
        if self.mode != Mode::Terminal {
            return;
        }
        let mut current = self.current();
        let bar = current.bars.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(message.to_owned());
    }

    fn remove(&self, name: &str) {
        if let Some(bar) = self.current().bars.remove(name) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        let text = text.trim_end();
        if self.mode == Mode::Terminal { self.bars.suspend(|| say(text)) } else { say(text) }
    }
}

fn outcome_text(outcome: &StepOutcome) -> String {
    match outcome {
        StepOutcome::Base { size, carried_images } => {
            format!("{}, {}", units::bytes(*size), units::count(*carried_images, "carried image"))
        }
        StepOutcome::Layer { digest: None, archived_images: 0, .. } => "nothing changed".to_owned(),
        StepOutcome::Layer { files, size, cached, archived_images, .. } => {
            let files = units::count(usize::try_from(*files).unwrap_or(usize::MAX), "file");
            let archived = if *archived_images == 0 {
                String::new()
            } else {
                format!(", {}", units::count(*archived_images, "image"))
            };
            let cached = if *cached { "  cached" } else { "" };
            format!("{files}, {}{archived}{cached}", units::bytes(*size))
        }
        StepOutcome::Recorded => "recorded".to_owned(),
        _ => String::new(),
    }
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        text.to_owned()
    } else {
        text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
    }
}

//! Prints everything. No other module writes to the terminal.
//!
//! Results go to standard output, progress and errors to standard error.

mod applications;
mod cluster;
mod diagnostics;
mod images;
mod layout;
mod lvscare;
mod plan;
mod progress;
mod registries;
mod template;
mod tools;
mod units;

use std::io::{IsTerminal, Write};

use console::{Style, Term};
use serde::Serialize;

use crate::arguments::{Arguments, Command, Format};
use crate::exit::Failure;
use crate::settings;

pub(crate) use images::ImageColumns;
pub(crate) use progress::{BuildProgress, BytesProgress, ClusterProgress, TransferProgress};

/// Columns of a failure where no terminal says how wide it is.
const LINE: usize = 120;

/// Prints results, progress and failures in the wanted form.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
    verbose: bool,
    /// Whether the reader can follow a hint.
    hints: bool,
}

impl Printer {
    /// A printer for what these arguments ask for.
    pub(crate) fn new(arguments: &Arguments, format: Format) -> Self {
        let format = if arguments.global.json { Format::Json } else { format };
        // What runs on a host is read by a sealer elsewhere, which has hints of its own.
        let hints = !matches!(arguments.command, Command::Host(_));
        Self { format, quiet: arguments.global.quiet, verbose: arguments.global.verbose, hints }
    }

    /// A printer with the settings that another one's [`Self::manner`] gave.
    pub(crate) fn like((is_json, quiet): (bool, bool)) -> Self {
        let format = if is_json { Format::Json } else { Format::Text };
        Self { format, quiet, verbose: false, hints: true }
    }

    /// What [`Self::like`] needs: whether it prints JSON, and whether it is quiet.
    pub(crate) fn manner(&self) -> (bool, bool) {
        (self.is_json(), self.quiet)
    }

    fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result: `line` for people, `value` for programs.
    pub(crate) fn done(&self, line: &str, value: &impl Serialize) -> Result<(), Failure> {
        if self.is_json() { self.json(value) } else { write_out(&format!("{line}\n")) }
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        write_bytes(bytes)
    }

    fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let failed = |error: serde_json::Error| Failure::Output { path: "the result".to_owned(), source: error.into() };
        let mut text = serde_json::to_string_pretty(value).map_err(failed)?;
        text.push('\n');
        write_out(&text)
    }

    /// Shows the progress of a build.
    pub(crate) fn build_progress(&self) -> BuildProgress {
        BuildProgress::new(self.mode(), self.verbose)
    }

    /// Shows how far a command is that reads bytes.
    pub(crate) fn bytes_progress(&self) -> BytesProgress {
        BytesProgress::new(self.mode())
    }

    /// Shows the progress of a change to a cluster.
    pub(crate) fn cluster_progress(&self) -> ClusterProgress {
        ClusterProgress::new(self.mode(), self.verbose)
    }

    /// Shows the progress of a push or pull.
    pub(crate) fn transfer_progress(&self) -> TransferProgress {
        TransferProgress::new(self.mode())
    }

    fn mode(&self) -> progress::Mode {
        if self.is_json() {
            progress::Mode::Json
        } else if self.quiet {
            progress::Mode::Silent
        } else if std::io::stderr().is_terminal() && !settings::terminal_is_dumb() {
            progress::Mode::Terminal
        } else {
            progress::Mode::Lines
        }
    }

    /// Prints the events of the lvscare daemon, one line for each change.
    pub(crate) fn care_events(&self) -> impl FnMut(sealer_core::lvscare::Event) + Send + 'static {
        let mode = self.mode();
        move |event| {
            if let Some(line) = lvscare::event_line(&event, mode) {
                say(&line);
            }
        }
    }

    /// A remark on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_json() && !self.quiet {
            say(text);
        }
    }

    /// An event of a workflow that shows no progress: warnings for people, everything for programs.
    pub(crate) fn event(&self, event: &sealer_core::Event) {
        match event {
            event if self.is_json() => say(&serde_json::to_string(event).unwrap_or_default()),
            sealer_core::Event::Warning { message } => self.warn(message),
            _ => {}
        }
    }

    /// A warning on standard error.
    pub(crate) fn warn(&self, text: &str) {
        if !self.is_json() && !self.quiet {
            let label = Style::new().for_stderr().yellow().bold().apply_to("warning");
            say_labelled(&label, text);
        }
    }

    /// Columns of a line of a result; without end where it does not go to a terminal.
    fn room(&self) -> usize {
        let term = Term::stdout();
        if term.is_term() { usize::from(term.size().1) } else { usize::MAX }
    }

    /// Prints why a command failed and what to do next.
    pub(crate) fn failure(&self, failure: &Failure, hint: Option<&str>) {
        if self.is_json() {
            let value = diagnostics::as_json(failure, hint);
            say(&serde_json::json!({ "error": value }).to_string());
            return;
        }
        let width = if std::io::stderr().is_terminal() { usize::from(Term::stderr().size().1) } else { LINE };
        write_error(&diagnostics::render(failure, console::colors_enabled_stderr(), width));
        if let Some(hint) = hint.filter(|_| self.hints) {
            let label = Style::new().for_stderr().cyan().bold().apply_to("hint");
            say_labelled(&label, hint);
        }
    }
}

/// Writes a line to standard error, with control characters written out.
pub(crate) fn say(text: &str) {
    write_error(&layout::visible(text));
}

/// Writes a line that begins with a coloured word.
fn say_labelled(label: &impl std::fmt::Display, text: &str) {
    write_error(&format!("{label}: {}", layout::visible(text)));
}

fn write_error(text: &str) {
    // A closed standard error is no reason to stop working.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes what a registry tells about itself to standard error, where its journal is.
pub(crate) fn registry_event(event: &sealer_core::registry_proxy::Event) {
    use sealer_core::registry_proxy::Event;
    match event {
        Event::Corrupt { digest, path } => say(&format!("{digest} is corrupt and is not served: {}", path.display())),
        Event::Failed { request, reason } => say(&format!("{request} failed: {reason}")),
        Event::Serving { address } => say(&format!("serving on {address}")),
        Event::Forwarding { address } => say(&format!("forward proxy on {address}")),
        Event::Stale { image, reason } => say(&format!("{image} is answered from the cache: {reason}")),
        Event::Moved { image, upstream, from, to } => say(&format!("{image} moved on {upstream}: {from} -> {to}")),
        Event::Upstream { upstream, reason } => say(&format!("upstream {upstream} failed: {reason}")),
        Event::Collected { blobs, bytes } => {
            let blobs = units::count(usize::try_from(*blobs).unwrap_or(usize::MAX), "blob");
            say(&format!("garbage collected: {blobs}, {}", units::bytes(*bytes)));
        }
        Event::Request(access) => {
            let line = serde_json::json!({
                "time": time::UtcDateTime::now().format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
                "peer": access.peer, "user": access.user, "method": access.method, "path": access.path,
                "status": access.status, "sent": access.sent, "agent": access.agent,
                "seconds": access.duration.as_secs_f64(),
            });
            // Who reads the log may go; the registry stays.
            let _ = write_bytes(format!("{line}\n").as_bytes());
        }
        _ => {}
    }
}

/// Writes text to standard output, with control characters written out.
fn write_out(text: &str) -> Result<(), Failure> {
    write_bytes(layout::visible(text).as_bytes())
}

fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Output { path: "standard output".to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

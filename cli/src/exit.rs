//! Maps failures to exit codes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use sealer_core::{Class, Error};

use crate::hints;
use crate::output::Printer;
use crate::tips;

/// Exit codes; `docs/reference/exit-codes.md` is generated from this table.
pub(crate) const CODES: [(u8, &str); 6] = [
    (0, "done"),
    (1, "failed"),
    (2, "wrong usage or input; nothing was done"),
    (3, "preflight findings; nothing was changed"),
    (4, "partly done; run the same command again"),
    (130, "interrupted"),
];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A workflow failed.
    #[error(transparent)]
    Core(#[from] Error),
    /// A Kubefile has errors; kept with its text, to show the lines.
    #[error("{} errors in {file}", .errors.len())]
    Kubefile { file: String, text: String, errors: sealer_core::kubefile::Errors },
    /// A Clusterfile has errors; kept with its text, to show the lines.
    #[error("{} errors in {file}", .errors.len())]
    Clusterfile { file: String, text: String, errors: sealer_core::clusterfile::Errors },
    /// Hosts were left out that could not be reached; the rest is done.
    #[error("{} left out: {}", if .0.len() == 1 { "1 host was".to_owned() } else { format!("{} hosts were", .0.len()) }, .0.iter().map(|(host, reason)| format!("{host} ({reason})")).collect::<Vec<_>>().join("; "))]
    LeftOut(BTreeMap<IpAddr, String>),
    /// Blobs of images are damaged; which they are was printed.
    #[error("{} damaged", if *.0 == 1 { "1 blob is".to_owned() } else { format!("{} blobs are", .0) })]
    Damaged(usize),
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A file that the user named cannot be read.
    #[error("cannot read {path}: {source}")]
    Input { path: String, source: std::io::Error },
    /// A result cannot be written.
    #[error("cannot write {path}: {source}")]
    Output { path: String, source: std::io::Error },
    /// The user interrupted work that leaves nothing partially done.
    #[error("interrupted; nothing was {0}")]
    Interrupted(&'static str),
    /// This process could not be set up.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Kubefile { .. } | Self::Clusterfile { .. } | Self::Usage(_) | Self::Input { .. } => 2,
            Self::Core(error) => match error.class() {
                Class::Usage => 2,
                Class::Preflight => 3,
                Class::Partly => 4,
                Class::Interrupted => 130,
                _ => 1,
            },
            Self::LeftOut(_) => 4,
            Self::Output { .. } | Self::Start(_) | Self::Damaged(_) => 1,
            Self::Interrupted(_) => 130,
        }
    }
}

/// Prints a failure and returns its exit code.
pub(crate) fn report(failure: &Failure, printer: &Printer) -> ExitCode {
    printer.failure(failure, hints::hint(failure).as_deref());
    ExitCode::from(failure.code())
}

/// Prints what the argument parser says; help and version are no failures.
pub(crate) fn usage(error: clap::Error) -> ExitCode {
    let error = tips::with_tip(error);
    // Whoever closed the stream does not want to read it.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Ends the process in the middle of its work: the user asked twice. State is written atomically, so this loses nothing.
pub(crate) fn at_once() -> ! {
    #[expect(clippy::exit, reason = "the user insists; there is nothing to unwind")]
    std::process::exit(130)
}

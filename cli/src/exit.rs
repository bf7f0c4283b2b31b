//! Which exit code and which hint does a failure get?

use std::process::ExitCode;

use sealer_core::{Class, Error};

use crate::output::{Printer, diagnostics};

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
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A local file or stream failed.
    #[error("cannot {act} {path}: {source}")]
    File { act: &'static str, path: String, source: std::io::Error },
    /// This process could not be set up.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Kubefile { .. } | Self::Clusterfile { .. } | Self::Usage(_) => 2,
            Self::Core(error) => match error.class() {
                Class::Usage => 2,
                Class::Preflight => 3,
                Class::Partly => 4,
                Class::Interrupted => 130,
                _ => 1,
            },
            Self::File { .. } | Self::Start(_) => 1,
        }
    }
}

/// Prints a failure and returns its exit code.
pub(crate) fn report(failure: &Failure, printer: &Printer) -> ExitCode {
    printer.failure(failure, hint(failure).as_deref());
    let code = failure.code();
    if code == 3 {
        printer.note("exit 3");
    }
    ExitCode::from(code)
}

/// Prints what the argument parser says; help and version are no failures.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// What to do next.
fn hint(failure: &Failure) -> Option<String> {
    let Failure::Core(error) = failure else { return None };
    let hint = match error {
        Error::Preflight(_) => return None,
        Error::Unfinished { .. } => "mend the cause and run the same command again: it goes on where it stopped",
        Error::Connect(_) => "see `--user`, `--passwd`, `--pk` and `--port`, or the `ssh` section of the Clusterfile",
        Error::ForeignHosts { cluster, .. } => {
            return Some(format!("name these hosts again, or `sealer delete -c {cluster}` first"));
        }
        Error::NoCluster { .. } => "`ls` that directory to see which clusters there are",
        Error::Busy { .. } => "wait for it to finish, or end it",
        Error::NoProvider { .. } => "give addresses with `--masters` and `--nodes`, or `--provider CONTAINER`",
        Error::DynamicBinary { .. } => "use the static binary of `cargo xtask dist`",
        _ => return diagnostics::hint(error),
    };
    Some(hint.to_owned())
}

/// Ends the process in the middle of its work: the user asked twice. State is written so that this loses nothing.
pub(crate) fn at_once() -> ! {
    #[expect(clippy::exit, reason = "the user insists; there is nothing to unwind")]
    std::process::exit(130)
}

//! Executes the program again as a daemon, without the memory that reading its command line took.
//!
//! Whoever only needs it at the start has most of this program in memory: parser, help, other commands. So the process
//! reads its arguments, checks them, and executes its own program again under the same process id, with the outcome in
//! a variable. Where that is not possible it goes on as it is.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use sealer_core::Error;
use sealer_core::lvscare::daemon::{CareRequest, care};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Failure};
use crate::output::Printer;
use crate::{interrupt, one_thread, settings};

/// What the first life tells the second.
#[derive(Serialize, Deserialize)]
struct Told {
    request: CareRequest,
    manner: (bool, bool),
}

/// Executes this program again, as a daemon and nothing else. Returns only when that is not possible.
pub(super) fn begin_anew(request: &CareRequest, printer: &Printer) {
    let told = Told { request: request.clone(), manner: printer.manner() };
    let Ok(told) = serde_json::to_string(&told) else { return };
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let _ = command.args(arguments).env(settings::TOLD, told).exec();
}

/// The whole of a process that [`begin_anew`] executed; `None` when this is none.
pub(crate) fn second_life() -> Option<ExitCode> {
    let told = settings::told()?;
    // A variable that somebody else set does not turn other commands into this one.
    if !std::env::args().any(|argument| argument == "care") {
        return None;
    }
    let told: Told = serde_json::from_str(&told).ok()?;
    let printer = Printer::like(told.manner);
    let done = one_thread().map_err(Failure::from).and_then(|runtime| runtime.block_on(keep(&told.request, &printer)));
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, &printer),
    })
}

/// Cares until stopped, or once.
pub(super) async fn keep(request: &CareRequest, printer: &Printer) -> Result<(), Failure> {
    let supervisor = settings::supervisor()?;
    let cancel = CancellationToken::new();
    let stop = interrupt::stop(cancel.clone());
    let done = care(request, supervisor, interrupt::hangups()?, cancel.clone(), Box::new(printer.care_events())).await;
    stop.abort();
    if request.once && cancel.is_cancelled() {
        return Err(Failure::Interrupted("finished"));
    }
    Ok(done.map_err(Error::from)?)
}

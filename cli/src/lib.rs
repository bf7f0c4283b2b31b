//! The sealer command line: parses arguments, calls the workflows of `sealer-core`, prints what happened.
//!
//! Vendors who build their own installer wrap [`run`] or take [`command`] as a starting point;
//! what sealer does is in `sealer-core`, this crate only composes and prints.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     sealer::main()
//! }
//! ```

mod arguments;
mod commands;
mod exit;
mod hints;
mod interrupt;
mod output;
pub mod reference;
mod settings;
mod tips;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches;
use sealer_core::Sealer;

use crate::arguments::Arguments;
pub use crate::arguments::command;
use crate::output::Printer;
use crate::settings::Session;

// What a vendor's program needs besides.
pub use sealer_core;

/// Parses the arguments of this process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(done) = commands::lvscare::second_life() {
        return done;
    }
    perform_all(std::env::args_os(), &|sealer| sealer, true)
}

/// Parses `arguments` (the first is the program's name), does what they say, and returns the exit code.
pub fn run<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    run_with(arguments, &|sealer| sealer)
}

/// As [`run`], with what a vendor brings: `extend` adds providers and runtimes before any command uses them.
pub fn run_with<I, T>(arguments: I, extend: &(dyn Fn(Sealer) -> Sealer + Sync)) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    perform_all(arguments, extend, false)
}

fn perform_all<I, T>(arguments: I, extend: &(dyn Fn(Sealer) -> Sealer + Sync), is_whole: bool) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    // The original has some commands below `alpha`, too.
    if arguments.len() > 2 && arguments[1] == "alpha" {
        arguments.remove(1);
    }
    if arguments.len() < 2 {
        // On standard output, as help that was asked for.
        output::say(command().render_help().to_string().trim_end());
        return ExitCode::from(2);
    }
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| {
        let parsed = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command()));
        Ok((parsed?, arguments::format(&matches)))
    });
    let (mut arguments, format) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return exit::usage(error),
    };
    arguments.global.old.apply();
    arguments.global.verbose |= arguments.global.old.debug;
    let printer = Printer::new(&arguments, format);
    arguments.global.old.tell(&printer);
    let session = Session { global: arguments.global, printer, extend, is_whole };
    match perform(arguments.command, &session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure, &session.printer),
    }
}

fn perform(command: arguments::Command, session: &Session<'_>) -> Result<(), exit::Failure> {
    let runtime = if command.is_small() { one_thread() } else { many_threads() }?;
    let done = runtime.block_on(commands::dispatch(command, session));
    // Blocking work that is still under way must not delay the end of an interrupted command.
    runtime.shutdown_background();
    done
}

/// For what runs as long as the machine and waits most of the time.
pub(crate) fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn many_threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

//! Builds cargo commands: all with the same target and settings, so that they share what is compiled.

use std::process::Command;

use crate::dist;
use crate::program::program;
use crate::tidy::repository;

/// A cargo command that compiles, started by `words` such as `cargo` or `nice cargo`.
fn compiling(words: &[&str], arguments: &[&str], target: &str) -> Command {
    let mut command = program(words[0]);
    command.current_dir(repository()).args(&words[1..]);
    let (subcommand, rest) = arguments.split_at(1);
    command.args(subcommand).args(["--target", target]).args(rest);
    dist::settings(&mut command);
    command
}

/// A cargo command that compiles.
pub(super) fn command(arguments: &[&str], target: &str) -> Command {
    compiling(&["cargo"], arguments, target)
}

/// A cargo command that compiles in the time which tests beside it leave over.
pub(super) fn background(arguments: &[&str], target: &str) -> Command {
    compiling(&["nice", "-n", "19", "cargo"], arguments, target)
}

//! Starts other programs, and turns their failures into errors.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// A program to be run; arguments are added by the usual methods of [`Command`].
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Runs with the terminal's own input and output; fails unless the exit status is zero.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|source| start_error(command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Program { line: line(command), status: status.to_string(), output: String::new() })
}

/// Runs silently; the output is part of the error when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs silently and returns standard output as text, without the final line end.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let text = String::from_utf8(output.stdout)
        .map_err(|error| Error::Shape { what: format!("output of `{}`", line(command)), found: error.to_string() })?;
    Ok(text.trim_end().to_string())
}

/// Runs silently; says whether it succeeded. A program that cannot be started did not.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where the shell would find `name`; also looks into the directories of system programs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The command as one would type it, for messages.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs one of our shell recipes.
pub(crate) fn recipe(script: &Path) -> Command {
    let mut command = program("bash");
    command.arg(script);
    command
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| start_error(command, source))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Error::Program {
        line: line(command),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&text).into_owned(),
    })
}

fn start_error(command: &Command, source: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_status_and_its_words() {
        let error = run_quietly(program("sh").args(["-c", "echo no space left >&2; exit 3"])).expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no space left"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = read(&mut program("no-such-program-here")).expect_err("there is none");
        assert!(error.to_string().contains("no-such-program-here"));
        assert!(find("no-such-program-here").is_none() && find("sh").is_some());
    }
}

//! Finds out how a login becomes root: it is root, or `sudo` lets it, with or without a password.

use std::time::Duration;

use secret::Secret;

use super::launch::{Launch, Privilege};
use super::process::{self, Transport};
use super::{Command, Output};
use crate::Error;
use crate::text::last_lines;

/// Why `sudo` does not make us root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SudoProblem {
    /// There is no `sudo`.
    #[error("sudo is not installed there; log in as root, or install sudo")]
    Missing,
    /// It asks for a password and we have none.
    #[error(
        "sudo asks for a password and none was given; give the user's password, or allow sudo without one (NOPASSWD)"
    )]
    PasswordNeeded,
    /// The password that we have is not accepted.
    #[error("sudo refuses the password")]
    PasswordRefused,
    /// The user may not use it.
    #[error("the user may not use sudo for everything; add the user to the sudo (or wheel) group")]
    NotAllowed,
    /// It wants a terminal.
    #[error("sudo wants a terminal; remove `requiretty` from the host's sudoers")]
    TerminalNeeded,
    /// It failed in another way.
    #[error("sudo fails: {0}")]
    Failed(String),
}

/// Asks the host how its login becomes root.
pub(super) async fn probe(
    transport: &dyn Transport,
    user: &str,
    password: Option<&Secret>,
) -> Result<Privilege, Error> {
    let host = transport.address();
    let output = ask(transport, &Privilege::Root).await?;
    match uid(&output) {
        Some(Ok(0)) => return Ok(Privilege::Root),
        Some(Ok(_)) => {}
        Some(Err(noise)) => {
            return Err(Error::NoisyLogin { host, user: user.to_owned(), noise });
        }
        None => {
            let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
            return Err(Error::NoShell { host, user: user.to_owned(), detail: last_lines(said, 3) });
        }
    }
    let refused = |problem| Error::Sudo { host, user: user.to_owned(), problem };
    let output = ask(transport, &Privilege::Sudo).await?;
    if uid(&output) == Some(Ok(0)) {
        return Ok(Privilege::Sudo);
    }
    let found = problem(&output);
    let (SudoProblem::PasswordNeeded, Some(password)) = (&found, password) else {
        return Err(refused(found));
    };
    let privilege = Privilege::SudoPassword(password.clone());
    let output = ask(transport, &privilege).await?;
    if uid(&output) == Some(Ok(0)) { Ok(privilege) } else { Err(refused(problem(&output))) }
}

async fn ask(transport: &dyn Transport, privilege: &Privilege) -> Result<Output, Error> {
    let command = Command {
        script: "echo sealer-uid=$(id -u)".into(),
        timeout: Some(Duration::from_secs(30)),
        ..Command::default()
    };
    let mut launch = Launch::of(transport.address(), &command, privilege, false)?;
    // The answers of sudo are read in English.
    launch.line = launch.line.replacen("exec ", "exec env LC_ALL=C ", 1);
    process::run_launch(transport, &launch, &command, 64 << 10).await
}

/// The user id told; `Err` holds what login scripts said before it.
fn uid(output: &Output) -> Option<Result<u32, String>> {
    let text = String::from_utf8_lossy(&output.stdout);
    let (before, after) = text.split_once("sealer-uid=")?;
    let uid = after.trim().parse().ok()?;
    Some(if before.is_empty() { Ok(uid) } else { Err(last_lines(before.as_bytes(), 1)) })
}

fn problem(output: &Output) -> SudoProblem {
    let text = String::from_utf8_lossy(&output.stderr);
    let says = |part: &str| text.contains(part);
    if says("must have a tty") || says("a terminal is required") && says("requiretty") {
        SudoProblem::TerminalNeeded
    } else if says("not in the sudoers") || says("may not run sudo") || says("is not allowed to") {
        SudoProblem::NotAllowed
    } else if says("incorrect password") || says("try again") || says("no password was provided") {
        SudoProblem::PasswordRefused
    } else if says("password is required") {
        SudoProblem::PasswordNeeded
    } else if output.code == Some(127) || says("No such file") || says("not found") {
        SudoProblem::Missing
    } else {
        SudoProblem::Failed(last_lines(&output.stderr, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, stderr: &str) -> Output {
        Output { code: Some(code), stderr: stderr.into(), ..Output::default() }
    }

    #[test]
    fn answers_of_sudo_are_understood() {
        for (output, expected) in [
            (said(1, "sudo: a password is required\n"), SudoProblem::PasswordNeeded),
            (
                said(1, "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n"),
                SudoProblem::PasswordRefused,
            ),
            (said(1, "kim is not in the sudoers file.\n"), SudoProblem::NotAllowed),
            (
                said(1, "Sorry, user kim is not allowed to execute '/bin/sh -c ...' as root on h.\n"),
                SudoProblem::NotAllowed,
            ),
            (said(1, "sudo: sorry, you must have a tty to run sudo\n"), SudoProblem::TerminalNeeded),
            (said(127, "env: 'sudo': No such file or directory\n"), SudoProblem::Missing),
            (said(1, "sudo: unable to allocate pty\n"), SudoProblem::Failed("sudo: unable to allocate pty".into())),
        ] {
            assert_eq!(problem(&output), expected);
        }
    }

    #[test]
    fn a_login_that_talks_is_noticed() {
        let output = Output { stdout: b"Welcome!\nsealer-uid=0\n".to_vec(), ..Output::default() };
        assert_eq!(uid(&output), Some(Err("Welcome!".into())));
        let output = Output { stdout: b"sealer-uid=1000\n".to_vec(), ..Output::default() };
        assert_eq!(uid(&output), Some(Ok(1000)));
        assert_eq!(uid(&Output::default()), None);
    }
}

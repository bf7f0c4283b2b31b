//! How is one host reached: run, upload, read on it.

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod files;
pub mod known_hosts;
mod launch;
pub mod local;
mod privilege;
mod process;
pub mod ssh;
#[cfg(any(test, feature = "testing"))]
pub mod transcript;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use privilege::SudoProblem;

pub(crate) use files::hex;
pub(crate) use launch::quote;

use crate::Error;

/// One host that can be reached. Commands run as root: an implementation for another user wraps them by sudo.
#[async_trait]
pub trait Remote: Send + Sync + std::fmt::Debug {
    /// The host's address, as the Clusterfile names it.
    fn address(&self) -> IpAddr;

    /// Runs a command to its end; output is kept up to a limit (the last bytes win).
    ///
    /// # Errors
    ///
    /// When the command could not be started or its end not be learned; not when it exits with another code than 0.
    async fn run(&self, command: &Command) -> Result<Output, Error>;

    /// Starts a command and joins its standard input and output to a byte stream.
    ///
    /// # Errors
    ///
    /// When the command could not be started.
    async fn stream(&self, command: &Command) -> Result<Session, Error>;

    /// Writes a small file atomically (temporary file beside it, fsync, rename), owner root.
    ///
    /// # Errors
    ///
    /// When the host refuses it, with its reason.
    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error>;

    /// Sends a local file; does nothing when the host already has it with the same sha256 and mode.
    /// Returns the bytes sent. `progress` is called with bytes sent so far.
    ///
    /// # Errors
    ///
    /// When reading, sending or verifying fails.
    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error>;

    /// Reads a file of at most `limit` bytes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it is larger than the limit or cannot be read.
    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;
}

/// A command for `/bin/sh` on a host.
#[derive(Clone, Default)]
pub struct Command {
    /// The shell script; must not contain secrets.
    pub script: String,
    /// Environment variables; must not contain secrets.
    pub env: BTreeMap<String, String>,
    /// Bytes for standard input; may be secret, never shown.
    pub stdin: Option<Vec<u8>>,
    /// How long the command may take; `None` for no limit.
    pub timeout: Option<Duration>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("script", &self.script).field("env", &self.env).finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Name of the signal that ended it, without `SIG`.
    pub signal: Option<String>,
    /// Standard output (the last 4 MiB).
    pub stdout: Vec<u8>,
    /// Standard error (the last 1 MiB).
    pub stderr: Vec<u8>,
}

impl Output {
    /// How the command ended, for a person: `exit code 1` or `signal KILL`.
    #[must_use]
    pub fn status(&self) -> String {
        match (self.code, &self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }
}

/// The last lines of a command's output that say something, without control characters.
pub(crate) fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> =
        text.lines().rev().map(printable).filter(|line| !line.is_empty()).take(count).collect();
    lines.reverse();
    lines.join("\n")
}

/// A line as it may be shown on a terminal: no escape sequences, not endless.
pub(crate) fn printable(line: &str) -> String {
    let mut shown = String::new();
    let mut characters = line.trim_end().chars();
    while let Some(character) = characters.next() {
        match character {
            // ESC [ parameters letter
            '\u{1b}' => drop(characters.by_ref().skip_while(|c| *c == '[').find(|c| c.is_ascii_alphabetic())),
            '\t' => shown.push_str("    "),
            character if character.is_control() => {}
            character => shown.push(character),
        }
        if shown.len() > 2_000 {
            shown.push('…');
            break;
        }
    }
    shown
}

/// A running command whose standard input and output are a byte stream.
///
/// Shutting down or dropping `io` ends the command's input. Output must be read as it comes: when 32 MiB wait to be
/// read, other commands on the same host wait too, so do not await one of them before reading on.
pub struct Session {
    /// Its standard input and output.
    pub io: Box<dyn Duplex>,
    /// Resolves when the command has ended; carries standard error (last 64 KiB).
    pub end: tokio::task::JoinHandle<Result<Output, Error>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A byte stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_shown_are_the_last_ones_without_control_characters() {
        let output = b"one\ntwo\r\n\n\x1b[1;31mthree\x1b[0m\x07\n\xff\n   \n";
        assert_eq!(last_lines(output, 2), "three\n\u{fffd}");
        assert_eq!(last_lines(output, 9), "one\ntwo\nthree\n\u{fffd}");
        assert!(printable(&"x".repeat(9_000)).len() < 3_000);
    }

    #[tokio::test]
    async fn the_stand_in_keeps_the_contract_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let remote = transcript::Transcript::new(IpAddr::from([10, 0, 0, 1]));
        contract::files(&remote, "/somewhere", &directory.path().join("local")).await;
    }
}

//! Commands, how they end, and the streams of those that are still running.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::Error;

/// A command for `/bin/sh` on a host.
#[derive(Clone, Default)]
#[non_exhaustive]
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

impl Command {
    /// A script without input and without a time limit.
    #[must_use]
    pub fn new(script: impl Into<String>) -> Self {
        Self { script: script.into(), ..Self::default() }
    }

    /// The same command with these bytes as its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The same command, ended by its host after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("script", &self.script).field("env", &self.env).finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// A command that ended by itself.
    #[must_use]
    pub fn exited(code: i32, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Self {
        Self { code: Some(code), signal: None, stdout: stdout.into(), stderr: stderr.into() }
    }

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

/// A running command whose standard input and output are a byte stream.
///
/// Shutting down or dropping `io` ends the command's input. Output must be read as it comes: when 32 MiB wait to be
/// read, other commands on the same host wait too, so do not await one of them before reading on.
#[non_exhaustive]
pub struct Session {
    /// Its standard input and output.
    pub io: Box<dyn Duplex>,
    /// Resolves when the command has ended; carries standard error (last 64 KiB).
    pub end: tokio::task::JoinHandle<Result<Output, Error>>,
}

impl Session {
    /// A session made of its stream and of the task that learns the command's end.
    #[must_use]
    pub fn new(io: impl Duplex + 'static, end: tokio::task::JoinHandle<Result<Output, Error>>) -> Self {
        Self { io: Box::new(io), end }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A byte stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

//! Runs a command over a rootfs and captures what it changes.

mod binfmt;
#[cfg(feature = "testing")]
pub mod contract;
mod hide;
mod linux;
mod namespace;
pub(crate) mod overlay;
mod private_files;
mod privileges;
mod processes;
#[cfg(feature = "testing")]
mod scripted;
mod system_calls;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use kubefile::ShellOrExec;
use tokio::sync::mpsc;

pub use linux::LinuxSandbox;
#[cfg(feature = "testing")]
pub use scripted::{Act, ScriptedSandbox};

use crate::error::Result;
use crate::platform::Platform;

/// Runs commands over a rootfs and records what they change.
#[async_trait]
pub trait Sandbox: Send + Sync + fmt::Debug {
    /// What makes its results differ from those of another sandbox; part of the key under which results are kept.
    fn identity(&self) -> String;

    /// Why it cannot run here, in one sentence; `None` when it can.
    fn obstacle(&self) -> Option<String>;

    /// Why it cannot enter a rootfs that is an operating system for this platform, of another processor than this
    /// machine's, in one sentence; `None` when it can.
    fn foreign_obstacle(&self, platform: &Platform) -> Option<String>;

    /// Runs the command to its end. Every change is in `run.upper` afterwards, in the form of an overlay's upper
    /// directory. When the future is dropped, the command and everything it started is killed.
    ///
    /// # Errors
    /// [`crate::Error::Sandbox`] when the command could not be started; a command that fails is no error but [`Ended`].
    async fn run(&self, run: SandboxRun, output: mpsc::Sender<OutputLine>) -> Result<Ended>;
}

/// What to run, and over what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SandboxRun {
    /// Directories of the layers below, topmost first; deletions in overlay form.
    pub lower: Vec<PathBuf>,
    /// Empty directory that receives the changes.
    pub upper: PathBuf,
    /// Empty directory on the same file system as `upper`, for the sandbox's own use.
    pub work: PathBuf,
    /// The command.
    pub command: ShellOrExec,
    /// Its whole environment but `PATH`, `HOME` and `PWD`, unless given here.
    pub environment: BTreeMap<String, String>,
    /// Whether it may send and receive packets whose headers it writes and reads itself, as `ping` does.
    pub raw_packets: bool,
    /// Whether the rootfs is for another processor: this machine's programs come before those of its `bin/`.
    pub foreign: bool,
}

impl SandboxRun {
    /// A command without environment over these layers, topmost first. `upper` and `work` are empty directories on one file system.
    #[must_use]
    pub fn new(lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, command: ShellOrExec) -> Self {
        Self { lower, upper, work, command, environment: BTreeMap::new(), raw_packets: false, foreign: false }
    }
}

/// A line that a command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputLine {
    /// On standard error rather than standard output.
    pub is_error: bool,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

impl OutputLine {
    /// A line of standard output or, with `is_error`, of standard error.
    pub fn new(is_error: bool, text: impl Into<String>) -> Self {
        Self { is_error, text: text.into() }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "failed with exit code {code}"),
            Self::Killed(signal) => write!(formatter, "was killed by signal {signal}"),
        }
    }
}

//! Runs RUN commands with this machine's tools, without changing this machine.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::{mpsc, oneshot};

use super::binfmt;
use super::namespace::{self, Streams};
use super::processes::ControlGroup;
use super::{Ended, OutputLine, Sandbox, SandboxRun};
use crate::error::{Error, Result};
use crate::platform::Platform;

/// Longest line of output that is passed on whole, in bytes; a longer one comes in pieces.
const LINE_LIMIT: u64 = 64 << 10;

/// Linux namespaces over an overlay file system; needs root.
///
/// The command sees this machine's file tree read-only. Its working directory is the rootfs, `bin/` of which is first on
/// `PATH`; `/tmp` and the home directory are empty and its own, processes are only its own. A rootfs that is an operating
/// system (it has `bin/sh`) is entered instead: nothing of this machine is seen but the name resolution files. In both, it
/// has the capabilities and system calls of an ordinary container and at most 4096 processes; `docs/security.md` lists what
/// it can and cannot do.
///
/// A thread of its own makes the namespaces and starts the command, so that nothing else in this process is touched, but
/// that its descriptors above 2 are marked to be closed in the programs that it starts.
#[derive(Debug, Clone, Default)]
pub struct LinuxSandbox {
    hidden: Vec<PathBuf>,
}

impl LinuxSandbox {
    /// A sandbox whose commands see these directories empty, besides `/root`, `/home`, `/run` and the like: where
    /// credentials, states of clusters and images are kept.
    #[must_use]
    pub fn hiding(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        // The thread that mounts has another working directory.
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self { hidden: directories.into_iter().map(whole).collect() }
    }
}

#[async_trait]
impl Sandbox for LinuxSandbox {
    fn identity(&self) -> String {
        "linux 3".to_owned()
    }

    fn obstacle(&self) -> Option<String> {
        (!rustix::process::geteuid().is_root()).then(|| "mounting file systems over each other needs root".to_owned())
    }

    fn foreign_obstacle(&self, platform: &Platform) -> Option<String> {
        binfmt::obstacle(Path::new(binfmt::REGISTERED), platform)
    }

    async fn run(&self, run: SandboxRun, output: mpsc::Sender<OutputLine>) -> Result<Ended> {
        let pipe = || std::io::pipe().map_err(fault("make a pipe"));
        let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe()?, pipe()?);
        let readers = [(stdout, false), (stderr, true)].map(|(pipe, is_error)| {
            let output = output.clone();
            tokio::task::spawn_blocking(move || read_lines(pipe, is_error, &output))
        });
        drop(output);
        let killer = Killer::default();
        let (sender, receiver) = oneshot::channel();
        let (started, hidden) = (killer.clone(), self.hidden.clone());
        let thread = std::thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            let started = |pidfd| started.arm(pidfd);
            let streams = Streams { stdout: stdout_end.into(), stderr: stderr_end.into(), started: &started };
            let group = ControlGroup::enter();
            let ended = namespace::run(&run, &hidden, streams);
            drop(group);
            // Nobody waits any more: the run was dropped.
            let _ = sender.send(ended);
        });
        thread.map_err(fault("start a thread"))?;
        let guard = KillOnDrop(&killer);
        let ended =
            receiver.await.unwrap_or_else(|_| Err(fault("keep its thread")(std::io::ErrorKind::Other.into())))?;
        drop(guard);
        for reader in readers {
            reader.await.map_err(Error::TaskPanicked)?;
        }
        Ok(ended)
    }
}

/// Ends the command when its run is dropped. It is the first process of its own process namespace, so the kernel ends
/// everything that it started too.
#[derive(Debug, Clone, Default)]
struct Killer(Arc<Mutex<Target>>);

#[derive(Debug, Default)]
enum Target {
    #[default]
    NotStarted,
    Running(OwnedFd),
    Unwanted,
}

impl Killer {
    /// The command was started.
    fn arm(&self, pidfd: OwnedFd) {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *target {
            Target::Unwanted => kill(&pidfd),
            _ => *target = Target::Running(pidfd),
        }
    }

    fn kill(&self) {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Target::Running(pidfd) = &*target {
            kill(pidfd);
        }
        *target = Target::Unwanted;
    }
}

fn kill(pidfd: &OwnedFd) {
    // It may have ended by itself.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

#[must_use]
struct KillOnDrop<'a>(&'a Killer);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Passes lines on until the pipe closes.
fn read_lines(pipe: PipeReader, is_error: bool, output: &mpsc::Sender<OutputLine>) {
    let mut input = BufReader::new(File::from(OwnedFd::from(pipe)));
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut input, LINE_LIMIT);
        match limited.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        // When nobody listens, the command must not block: keep reading.
        let _ = output.blocking_send(OutputLine { is_error, text });
    }
}

pub(super) fn fault(act: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let act = act.into();
    move |source| Error::Sandbox { act, source }
}

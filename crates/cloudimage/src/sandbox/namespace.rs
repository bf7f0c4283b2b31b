//! Runs a command in namespaces of its own.
//!
//! Everything here runs in one thread that has left the others' namespaces and ends after the command.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubefile::ShellOrExec;
use nix::sched::CloneFlags;
use process_wrap::std::{CommandWrap, ProcessSession};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::linux::fault;
use super::view::{self, View};
use super::{Ended, SandboxRun, privileges};
use crate::error::{Error, Result};

/// Where tools are looked for, behind the rootfs' own `bin`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the caller of a run hands over.
pub(super) struct Streams<'a> {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Hears of the process whose end is everybody's.
    pub(super) started: &'a dyn Fn(OwnedFd),
}

/// Runs the command to its end in new namespaces of this thread, which must be used for nothing else afterwards.
/// Nothing at or below a path of `hidden` is seen.
pub(super) fn run(run: &SandboxRun, hidden: &[PathBuf], streams: Streams<'_>) -> Result<Ended> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_FS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    nix::sched::unshare(flags).map_err(std::io::Error::from).map_err(fault("make namespaces"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(io).map_err(fault("separate its mounts"))?;
    let view = View::mount(run, hidden)?;
    privileges::keep_descriptors();
    let first = FirstProcess::start(&view.proc)?;
    (streams.started)(first.pidfd()?);
    view::mask_proc(&view.proc)?;
    view.step_in()?;
    privileges::confine(run.raw_packets)?;
    let mut command = command(run, &view.rootfs);
    command.stdin(Stdio::null()).stdout(streams.stdout).stderr(streams.stderr);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut command = CommandWrap::from(command);
    // A session without a terminal: signals to its group reach nobody else, and there is no terminal to type into.
    let spawned = command.wrap(ProcessSession).spawn();
    let mut child = spawned.map_err(fault(format!("start {program}")))?;
    // The command holds the ends of the pipes now; ours must close when it does.
    drop(command);
    let status = child.wait().map_err(fault("wait for the command"))?;
    drop(first);
    Ok(status.code().map_or_else(|| Ended::Killed(status.signal().unwrap_or_default()), Ended::Exited))
}

/// The first process of the new process namespace. When it ends, the kernel ends all others there; and it ends when its
/// input closes, so also when this process is killed.
struct FirstProcess(Child);

impl FirstProcess {
    /// Starts it; it mounts the view of its namespace's processes on `proc`, which only a member can do.
    fn start(proc: &Path) -> Result<Self> {
        const SCRIPT: &str = "mount -t proc -o nosuid,nodev,noexec proc \"$1\" && echo ready && read -r line";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(proc).env_clear().env("PATH", PATH).process_group(0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault("start /bin/sh"))?;
        let mut answer = [0; 6];
        let ready =
            child.stdout.as_mut().is_some_and(|stdout| stdout.read_exact(&mut answer).is_ok()) && &answer == b"ready\n";
        let process = Self(child);
        if ready { Ok(process) } else { Err(process.explain(proc)) }
    }

    fn explain(mut self, proc: &Path) -> Error {
        drop(self.0.stdin.take());
        let mut text = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            // Whatever it said; nothing is an answer too.
            let _ = stderr.take(4096).read_to_string(&mut text);
        }
        fault(format!("mount {}", proc.display()))(std::io::Error::other(text.trim().to_owned()))
    }

    fn pidfd(&self) -> Result<OwnedFd> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| fault("watch its processes")(std::io::ErrorKind::InvalidData.into()))?;
        pidfd_open(pid, PidfdFlags::empty()).map_err(io).map_err(fault("watch its processes"))
    }
}

impl Drop for FirstProcess {
    fn drop(&mut self) {
        // It may have been killed; then there is nothing left to do but to collect it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(run: &SandboxRun, rootfs: &Path) -> Command {
    let mut command = match &run.command {
        ShellOrExec::Shell(text) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            command
        }
        ShellOrExec::Exec(words) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1));
            command
        }
    };
    let path = match rootfs {
        entered if entered == Path::new("/") => PATH.to_owned(),
        foreign if run.foreign => format!("{PATH}:{}/bin", foreign.display()),
        rootfs => format!("{}/bin:{PATH}", rootfs.display()),
    };
    let mut environment = BTreeMap::from([("PATH", path.as_str()), ("HOME", "/root")]);
    environment.extend(run.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    command.env_clear().envs(environment).current_dir(rootfs);
    command
}

pub(super) fn io(error: rustix::io::Errno) -> std::io::Error {
    error.into()
}

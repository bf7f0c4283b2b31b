//! Performs RUN: runs the command and captures its layer.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kubefile::ShellOrExec;
use tokio::sync::mpsc;

use super::cache::{self, Record};
use super::draft::RootfsState;
use super::event::{BuildEvent, BuildEvents};
use super::layers::{self, Job};
use super::options::BuildOptions;
use super::plan::command_text;
use super::prepare;
use crate::error::{Error, Result};
use crate::images::Images;
use crate::layer::listing::Merged;
use crate::layer::scan;
use crate::remove::WorkDirectory;
use crate::sandbox::{Ended, OutputLine, Sandbox, SandboxRun};
use crate::unpack;

/// Lines of output that an error shows.
const LAST_LINES: usize = 20;
/// Longest line shown in an error, in characters.
const LINE_LIMIT: usize = 500;

/// How long the processes of a RUN that took too long are waited for after they were killed.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// A RUN, ready to be performed.
pub(super) struct Running<'a> {
    pub(super) images: &'a Images,
    pub(super) rootfs: &'a RootfsState,
    pub(super) options: &'a BuildOptions,
    pub(super) title: &'a str,
    pub(super) spool: &'a Path,
    /// The instruction's number, for events.
    pub(super) index: usize,
    /// Line in the Kubefile.
    pub(super) line: usize,
    pub(super) command: &'a ShellOrExec,
    pub(super) environment: Arc<BTreeMap<String, String>>,
}

/// Performs the RUN; the flag says that an earlier build had done it. When the command fails, nothing is kept.
pub(super) async fn run(
    running: &Running<'_>,
    sandbox: &dyn Sandbox,
    events: BuildEvents<'_>,
) -> Result<(Record, bool)> {
    let environment = serde_json::to_string(&*running.environment).map_err(Error::document("the environment"))?;
    let form = match running.command {
        ShellOrExec::Shell(_) => "shell",
        ShellOrExec::Exec(_) => "exec",
    };
    let raw_packets = if running.options.raw_packets { "raw packets" } else { "" };
    let parts = [form, &command_text(running.command), &environment, &sandbox.identity(), raw_packets];
    let key = cache::key(running.rootfs, running.options, "RUN", &parts);
    let job = job(running);
    if let Some(record) = layers::reuse(&job, &key) {
        return Ok((record, true));
    }
    if let Some(reason) = sandbox.obstacle() {
        return Err(Error::NoSandbox { line: running.line, reason });
    }
    let foreign = !running.rootfs.platform.is_native();
    if foreign && enters(&running.rootfs.merged) {
        prepare::refuse_entering(&running.rootfs.platform, running.line, sandbox)?;
    }
    let place = WorkDirectory::new_in(running.spool, "run-")?;
    let lower = unpack_layers(running).await?;
    let upper = place.path().join("upper");
    let work = place.path().join("work");
    for directory in [&upper, &work] {
        fs::create_dir(directory).map_err(Error::file("create", directory))?;
    }
    let request = SandboxRun {
        lower,
        upper: upper.clone(),
        work,
        command: running.command.clone(),
        environment: (*running.environment).clone(),
        raw_packets: running.options.raw_packets,
        foreign,
    };
    perform(running, sandbox, request, events).await?;
    let owned = Owned::of(running);
    let record = tokio::task::spawn_blocking(move || {
        let tree = scan::upper_directory(&upper)?;
        layers::make(&owned.job(), tree, &key)
    });
    let record = record.await.map_err(Error::TaskPanicked)??;
    Ok((record, false))
}

/// Whether a rootfs is an operating system, which RUN enters.
pub(super) fn enters(merged: &Merged) -> bool {
    ["bin/sh", "usr/bin/sh"].iter().any(|shell| merged.get(Path::new(shell)).is_some())
}

/// Runs the command, tells its output, and turns a failure into an error with its last lines.
async fn perform(
    running: &Running<'_>,
    sandbox: &dyn Sandbox,
    request: SandboxRun,
    events: BuildEvents<'_>,
) -> Result<()> {
    let (sender, mut receiver) = mpsc::channel::<OutputLine>(256);
    let mut last: VecDeque<String> = VecDeque::new();
    let mut tell = |line: OutputLine| {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.text.chars().take(LINE_LIMIT).collect());
        events(BuildEvent::Output { index: running.index, is_error: line.is_error, line: line.text });
    };
    let mut running_command = sandbox.run(request, sender);
    let limit = running.options.run_timeout();
    let expired = tokio::time::sleep(limit);
    tokio::pin!(expired);
    let ended = loop {
        tokio::select! {
            Some(line) = receiver.recv() => tell(line),
            ended = &mut running_command => break Some(ended?),
            () = &mut expired => break None,
        }
    };
    if ended.is_none() {
        drop(running_command);
        // They close when everything that it started is dead.
        let dead = async { while receiver.recv().await.is_some() {} };
        let _ = tokio::time::timeout(DEATH_LIMIT, dead).await;
    }
    while let Ok(line) = receiver.try_recv() {
        tell(line);
    }
    if ended == Some(Ended::Exited(0)) {
        return Ok(());
    }
    let command = command_text(running.command).lines().next().unwrap_or_default().to_owned();
    let (line, last_lines) = (running.line, last.into());
    Err(match ended {
        Some(ended) => Error::Run { line, command, outcome: ended.to_string(), last_lines },
        None => Error::RunTimeout { line, command, limit, last_lines },
    })
}

/// Unpacks the layers below as overlay directories, topmost first; those of earlier builds are there already.
async fn unpack_layers(running: &Running<'_>) -> Result<Vec<PathBuf>> {
    let (images, layers) = (running.images.clone(), running.rootfs.layers.clone());
    let work = running.spool.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack::overlay_layers(&images, &layers, &work));
    unpacked.await.map_err(Error::TaskPanicked)?
}

fn job<'a>(running: &'a Running<'_>) -> Job<'a> {
    Job {
        images: running.images,
        rootfs: running.rootfs,
        options: running.options,
        title: running.title,
        spool: running.spool,
    }
}

/// A job that a thread of its own may hold.
pub(super) struct Owned {
    images: Images,
    rootfs: RootfsState,
    options: BuildOptions,
    title: String,
    spool: PathBuf,
}

impl Owned {
    fn of(running: &Running<'_>) -> Self {
        Self::new(&job(running))
    }

    pub(super) fn new(job: &Job<'_>) -> Self {
        Self {
            images: job.images.clone(),
            rootfs: job.rootfs.clone(),
            options: job.options.clone(),
            title: job.title.to_owned(),
            spool: job.spool.to_owned(),
        }
    }

    pub(super) fn job(&self) -> Job<'_> {
        Job {
            images: &self.images,
            rootfs: &self.rootfs,
            options: &self.options,
            title: &self.title,
            spool: &self.spool,
        }
    }
}

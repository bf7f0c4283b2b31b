//! Starts, disturbs, measures and stops the programs of the measurement.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::program::{line, program};

/// Length of a tick of the times that the kernel tells of ended children.
const TICK: Duration = Duration::from_millis(10);

/// A program in a network namespace, with all processes that it started. Ended when dropped.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts the program and its arguments; what it says goes to the file `log`.
    pub(super) fn start(namespace: &str, words: &[&str], log: &Path) -> Result<Process> {
        let file = File::create(log).map_err(Error::file("create", log))?;
        let errors = file.try_clone().map_err(Error::file("open", log))?;
        let mut command = program("ip");
        command.args(["netns", "exec", namespace]).args(words);
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().map_err(|source| Error::Start { program: line(&command), source })?;
        Ok(Process { child })
    }

    /// Sends it a signal; one that has ended hears nothing.
    pub(super) fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Kills it with no time to say anything, and waits for its end.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it and all that it started weigh.
    pub(super) fn weight(&self) -> Weight {
        tree(self.child.id()).into_iter().map(Weight::of).fold(Weight::default(), Weight::plus)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = tree(self.child.id());
        self.signal(Signal::SIGTERM);
        let start = Instant::now();
        while self.runs() && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.runs() {
            self.kill();
        }
        // A worker whose master is gone ends by itself or by this.
        for left in tree.into_iter().filter(|pid| parent(*pid).is_some()) {
            send(left, Signal::SIGKILL);
        }
    }
}

/// Memory and computing time of processes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Weight {
    /// Processes.
    pub(super) processes: u32,
    /// Resident memory in KiB, summed up.
    pub(super) resident: u64,
    /// Of that what no file backs: what goes away only with the process.
    pub(super) anonymous: u64,
    /// Time on a processor, ended children included.
    pub(super) time: Duration,
}

impl Weight {
    fn of(pid: u32) -> Weight {
        let smaps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let entry = |name: &str| {
            let line = smaps.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let own = threads(pid).into_iter().map(|thread| on_processor(pid, thread)).sum::<Duration>();
        Weight {
            processes: 1,
            resident: entry("Rss:").unwrap_or_default(),
            anonymous: entry("Anonymous:").unwrap_or_default(),
            time: own + of_ended_children(pid),
        }
    }

    fn plus(self, other: Weight) -> Weight {
        Weight {
            processes: self.processes + other.processes,
            resident: self.resident + other.resident,
            anonymous: self.anonymous + other.anonymous,
            time: self.time + other.time,
        }
    }
}

/// Nanoseconds are exact where the ticks of `/proc/PID/stat` would say nothing.
fn on_processor(pid: u32, thread: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default())
}

fn of_ended_children(pid: u32) -> Duration {
    let ticks: u32 = stat(pid).iter().skip(13).take(2).filter_map(|word| word.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// The fields of `/proc/PID/stat` after the program's name.
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().map(String::from).collect()
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid).get(1)?.parse().ok()
}

/// A process and all that came from it.
fn tree(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = numbers("/proc").into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        next += 1;
    }
    found
}

fn threads(pid: u32) -> Vec<u32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn numbers(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_weighs_something() {
        let weight = Weight::of(std::process::id());
        assert!(weight.resident >= weight.anonymous && weight.anonymous > 0, "{weight:?}");
        assert_eq!(tree(std::process::id()).first(), Some(&std::process::id()));
        assert!(parent(std::process::id()).is_some() && parent(0).is_none());
    }
}

//! Ctrl-C ends what a RUN started and leaves no partial layer. Needs root.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what another process does")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Processes whose command line contains a text.
fn processes(text: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text)).count()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 10 s: {what}");
}

fn sealer(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealer"));
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", directory);
    command.env("SEALER_ROOT", directory.join("root")).current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    // A number that no other process has in its command line.
    let seconds = format!("{}", 100_000 + std::process::id());
    let kubefile = |seconds: &str| {
        format!("FROM scratch\nRUN echo first > first\nRUN echo half > half; sleep {seconds} & sleep {seconds}\n")
    };
    fs::write(directory.join("Kubefile"), kubefile(&seconds)).unwrap();
    let sleeping = format!("sleep {seconds}");
    for signal in [Signal::INT, Signal::TERM] {
        let child = sealer(directory, &["build", "-t", "a:1", "."]).spawn().unwrap();
        wait_until("the command runs", || processes(&sleeping) >= 2);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(
            said.contains("error: interrupted; nothing was built") && said.matches("error:").count() == 1,
            "{said}"
        );
        wait_until("everything that it started is gone", || processes(&sleeping) == 0);
    }
    let images = sealer(directory, &["images", "-q"]).output().unwrap();
    assert!(images.status.success() && images.stdout.is_empty());

    // The first RUN is kept, the second was not: nothing of its half result counts.
    fs::write(directory.join("Kubefile"), kubefile("0")).unwrap();
    let output = sealer(directory, &["build", "-t", "a:1", "."]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[1].ends_with(" cached") && !lines[2].ends_with(" cached"), "{said}");
    let left: Vec<_> = fs::read_dir(directory.join("root/cache/build")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.path().is_file()), "{left:?}");
}

#[test]
fn a_failing_run_shows_how_it_ended_and_its_last_lines() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("Kubefile"), "FROM scratch\nRUN echo out; echo err >&2; exit 7\n").unwrap();
    let output = sealer(directory, &["build", "-t", "a:1", "."]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for text in ["error: line 2: `echo out; echo err >&2; exit 7` failed with exit code 7", "\n  out\n", "\n  err\n"] {
        assert!(said.contains(text), "`{text}` is missing in:\n{said}");
    }
    assert!(!said.contains("      | out"), "output is for those who ask for it: {said}");
    let output = sealer(directory, &["build", "-v", "-t", "a:1", "."]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("      | out\n"));
    assert!(output.stdout.is_empty());
}

//! Runs other programs in a network namespace.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a program to its end in a network namespace; panics with its words when it fails.
pub fn run_in(namespace: &str, line: &[&str]) {
    text_in(namespace, line);
}

/// As [`run_in`], and returns what it wrote.
pub fn text_in(namespace: &str, line: &[&str]) -> String {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).args(line);
    finish(command, "")
}

/// Hands lines to one `ip -batch`, in a namespace or outside.
pub(super) fn batch(namespace: Option<&str>, lines: &str) {
    let mut command = Command::new("ip");
    command.args(namespace.map(|name| ["-n", name]).into_iter().flatten()).args(["-batch", "-"]);
    finish(command, lines);
}

fn finish(mut command: Command, input: &str) -> String {
    // The directories of system programs are not on every PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("write its input");
    let output = child.wait_with_output().expect("wait for it");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {words}{input}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

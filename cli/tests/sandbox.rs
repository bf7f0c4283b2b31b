//! Ctrl-C ends what a RUN started, and a RUN reaches nothing of its caller; a read-only store is read. Needs root.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what another process does")]

use std::fs;
use std::os::unix::process::CommandExt;
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
fn a_read_only_store_is_listed_inspected_and_saved_from() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("Kubefile"), "FROM scratch\nCOPY Kubefile x\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = sealer(directory, arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&["build", "-q", "-t", "a:1", "."]).0, Some(0));
    assert_eq!(run(&["save", "-o", "before.tar", "a:1"]).0, Some(0));
    let [images, inspected] = [["images", "-q"], ["inspect", "a:1"]].map(|arguments| run(&arguments));

    let read_only = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_sealer");
        let script = format!("mount --bind root root && mount -o remount,bind,ro root && exec {program} {arguments}");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).current_dir(directory);
        let output = command.env("HOME", directory).env("SEALER_ROOT", directory.join("root")).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(read_only("images -q"), images);
    assert_eq!(read_only("inspect a:1"), inspected);
    assert_eq!(read_only("save -o after.tar a:1").0, Some(0));
    assert_eq!(fs::read(directory.join("before.tar")).unwrap(), fs::read(directory.join("after.tar")).unwrap());
    for change in ["tag a:1 b:1", "rmi a:1", "build -t c:1 ."] {
        let (code, _, said) = read_only(change);
        assert!(code == Some(1) && said.contains("hint: it is mounted read-only"), "{change}: {said}");
    }
    assert_eq!(read_only("load -i before.tar").0, Some(0), "what is there already need not be written");
    assert_eq!(run(&["images", "-q"]), images, "nothing was changed");
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

/// Runs a shell script beside which `sealer build` is started, in a process group of its own: a RUN that reached further
/// than it should would take this test with it.
fn script(directory: &Path, script: &str) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", directory);
    command.env("SEALER", env!("CARGO_BIN_EXE_sealer")).env("SEALER_ROOT", directory.join("root"));
    let output = command.current_dir(directory).process_group(0).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn signals_to_its_group_reach_only_the_command() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["KILL", "STOP"] {
        let kubefile = format!("FROM scratch\nRUN kill -{signal} 0; echo alive\n");
        fs::write(directory.path().join("Kubefile"), kubefile).unwrap();
        let said = script(directory.path(), "\"$SEALER\" build -t a:1 --run-timeout 2s .; echo caller goes on");
        assert!(said.contains("caller goes on"), "{signal}: {said}");
        let expected = if signal == "KILL" { "was killed by signal 9" } else { "did not end within 2 s" };
        assert!(said.contains(expected), "{signal}: {said}");
    }
    let said = script(directory.path(), "\"$SEALER\" build -t a:1 --run-timeout 2s .");
    assert!(said.contains("hint: `--run-timeout` gives it more time"), "{said}");
}

#[test]
fn a_descriptor_of_the_calling_shell_is_no_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in("/var/lib").unwrap();
    fs::write(directory.path().join("Kubefile"), "FROM scratch\nRUN echo x > /proc/self/fd/9/leaked || echo no way\n")
        .unwrap();
    let said = script(directory.path(), &format!("\"$SEALER\" build -v -t a:1 . 9<{}", outside.path().display()));
    assert!(said.contains("no way"), "{said}");
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
}

#[test]
fn nothing_can_be_typed_into_the_terminal_of_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let kubefile = "FROM scratch\nRUN perl -e 'for my $f (\"/dev/tty\", \"/proc/1/fd/0\") { open(T, \"+<\", $f) and ioctl(T, 0x5412, my $c = $_) for split //, \"echo typed\\n\" }; print \"tried\\n\"'\n";
    fs::write(directory.path().join("Kubefile"), kubefile).unwrap();
    // In a terminal of its own; what was typed is read afterwards.
    let inner = "\\\"$SEALER\\\" build -v -t a:1 . ; timeout 1 cat";
    let said = script(directory.path(), &format!("script -qec \"{inner}\" /dev/null"));
    assert!(said.contains("| tried"), "{said}");
    assert!(!said.contains("echo typed\r"), "{said}");
}

#[test]
fn the_home_of_the_caller_is_hidden_wherever_it_is() {
    let home = tempfile::tempdir_in("/var/lib").unwrap();
    fs::write(home.path().join("key"), "secret").unwrap();
    fs::create_dir_all(home.path().join(".sealer/shop")).unwrap();
    let kubefile = format!("FROM scratch\nRUN cat {0}/key || ls -A {0} | wc -l\n", home.path().display());
    fs::write(home.path().join("Kubefile"), kubefile).unwrap();
    let said = script(home.path(), "\"$SEALER\" build -v -t a:1 .");
    assert!(said.contains("| 0\n") && !said.contains("| secret"), "{said}");
}

#[test]
fn no_limit_of_time_is_no_limit_of_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Kubefile"), "FROM scratch\nRUN sleep 1; echo done > done\n").unwrap();
    let output = sealer(directory.path(), &["build", "-t", "a:1", "--run-timeout", "0", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_named_file_of_logins_is_hidden_from_run() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = elsewhere.path().join("auth.json").display().to_string();
    fs::write(&file, "{\"auths\": {}}").unwrap();
    fs::write(directory.path().join("Kubefile"), format!("FROM scratch\nRUN test ! -s {file}\n")).unwrap();
    let build = |authfile: Option<&str>, variable: Option<&str>| {
        let arguments = ["build", "--no-cache", "-t", "a:1", "."];
        let mut command = sealer(directory.path(), &arguments);
        command.args(authfile.iter().flat_map(|file| ["--authfile", *file]));
        command.envs(variable.map(|file| ("REGISTRY_AUTH_FILE", file))).output().unwrap()
    };
    let is_at_home = ["/root", "/home", "/tmp"].iter().any(|home| file.starts_with(home));
    assert_eq!(build(None, None).status.success(), is_at_home, "it is seen by who does not name it");
    for output in [build(Some(&file), None), build(None, Some(&file))] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

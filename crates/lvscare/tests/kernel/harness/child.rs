//! Starts, talks to and kills actors.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// This program in another part, in a network namespace. Killed when dropped.
pub struct Actor {
    child: Child,
    input: ChildStdin,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// This very program, also when its file was replaced meanwhile.
pub fn itself() -> String {
    format!("/proc/{}/exe", std::process::id())
}

impl Actor {
    /// Starts it.
    pub fn start(namespace: &str, words: &[&str]) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("ip");
        command.env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin"));
        command.args(["netns", "exec", namespace]).arg(itself()).arg("actor").args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start an actor");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                heard.lock().expect("lines").push((Instant::now(), line));
            }
        });
        Self { child, input, lines }
    }

    /// The lines that it told so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lines").iter().map(|(_, line)| line.clone()).collect()
    }

    /// Waits until the lines that it told are those that are wanted, and forgets them.
    pub fn forget_lines(&self, patience: Duration, wanted: impl Fn(&[String]) -> bool) {
        self.await_lines(patience, wanted);
        self.lines.lock().expect("lines").clear();
    }

    /// Waits until the lines that it told are those that are wanted: what it told may still be on its way to us.
    pub fn await_lines(&self, patience: Duration, wanted: impl Fn(&[String]) -> bool) {
        let start = Instant::now();
        while !wanted(&self.lines()) {
            assert!(start.elapsed() < patience, "not in {patience:?}: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// When it told a line with this in it, after the first `from` lines; waits for it, and panics when it does not come.
    pub fn await_line(&self, from: usize, part: &str, patience: Duration) -> Instant {
        let start = Instant::now();
        loop {
            let found =
                self.lines.lock().expect("lines").iter().skip(from).find(|(_, line)| line.contains(part)).cloned();
            if let Some((when, _)) = found {
                return when;
            }
            assert!(start.elapsed() < patience, "no {part:?} in {patience:?} among {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Gives it a line and waits until it took it in.
    pub fn tell(&mut self, line: &str) {
        let before = self.lines().len();
        writeln!(self.input, "{line}").expect("tell the actor");
        self.await_line(before, "done", Duration::from_secs(10));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("send a signal");
    }

    /// Kills it with no time to say anything, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("wait for its end");
    }

    /// Waits for its own end; whether it ended well.
    pub fn ended(&mut self, patience: Duration) -> bool {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for its end") {
                return status.success();
            }
            assert!(start.elapsed() < patience, "no end in {patience:?}; it said {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The contract suite of [`Sandbox`]; run it on your own implementation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use kubefile::ShellOrExec;
use tokio::sync::mpsc;

use super::{Act, Ended, OutputLine, Sandbox, SandboxRun, ScriptedSandbox};

/// The commands that the suite runs, each with what it does, for stand-ins that do not run anything.
#[must_use]
pub fn commands() -> Vec<(String, Vec<Act>)> {
    let write = |path: &str, text: &str| Act::Write(path.into(), text.into());
    let print = |text: &str| Act::Print(text.to_owned());
    [
        ("mkdir -p etc && echo made > etc/made", vec![write("etc/made", "made\n")]),
        ("echo out; echo err >&2; echo last", vec![print("out"), Act::Complain("err".to_owned()), print("last")]),
        ("echo half > half; exit 7", vec![write("half", "half\n"), Act::Exit(7)]),
        ("echo \"GREETING=$GREETING\"", vec![Act::PrintVariable("GREETING".to_owned())]),
        ("echo started; sleep 600", vec![print("started"), Act::Hang]),
        ("'printf' '%s' 'a b'", vec![print("a b")]),
        ("printf %s 'a b'", vec![print("a b")]),
    ]
    .map(|(command, acts)| (command.to_owned(), acts))
    .into()
}

/// The stand-in that passes the suite.
#[must_use]
pub fn scripted() -> ScriptedSandbox {
    ScriptedSandbox::new(commands())
}

/// Runs the whole suite below `directory`, which must be empty and on a file system that the sandbox can work on.
///
/// # Panics
/// When the sandbox does not keep the contract.
pub async fn check(sandbox: &dyn Sandbox, directory: &Path) {
    assert_eq!(sandbox.obstacle(), None, "the sandbox cannot run here");
    let bench = Bench { sandbox, directory };
    bench.changes_are_in_the_upper_directory().await;
    bench.output_comes_line_by_line_in_order().await;
    bench.a_failure_is_an_exit_code().await;
    bench.the_environment_is_passed().await;
    bench.an_argument_vector_is_taken_literally().await;
    bench.a_dropped_run_ends().await;
}

struct Bench<'a> {
    sandbox: &'a dyn Sandbox,
    directory: &'a Path,
}

impl Bench<'_> {
    fn request(&self, name: &str, command: ShellOrExec) -> SandboxRun {
        let directory = self.directory.join(name);
        let [lower, upper, work] = ["lower", "upper", "work"].map(|part| directory.join(part));
        for part in [&lower, &upper, &work] {
            fs::create_dir_all(part).expect("the test directory is writable");
        }
        fs::write(lower.join("below"), "below\n").expect("the test directory is writable");
        let environment = BTreeMap::from([("GREETING".to_owned(), "good morning".to_owned())]);
        SandboxRun { lower: vec![lower], upper, work, command, environment, raw_packets: false, foreign: false }
    }

    async fn run(&self, name: &str, command: ShellOrExec) -> (Ended, Vec<OutputLine>) {
        let (sender, mut receiver) = mpsc::channel(16);
        let mut lines = Vec::new();
        let collect = async {
            while let Some(line) = receiver.recv().await {
                lines.push(line);
            }
        };
        let request = self.request(name, command);
        let (ended, ()) = tokio::join!(self.sandbox.run(request, sender), collect);
        (ended.expect("the command could be started"), lines)
    }

    async fn shell(&self, name: &str, command: &str) -> (Ended, Vec<OutputLine>) {
        self.run(name, ShellOrExec::Shell(command.to_owned())).await
    }

    async fn changes_are_in_the_upper_directory(&self) {
        let (ended, _) = self.shell("changes", "mkdir -p etc && echo made > etc/made").await;
        assert_eq!(ended, Ended::Exited(0));
        let upper = self.directory.join("changes/upper");
        assert_eq!(fs::read_to_string(upper.join("etc/made")).expect("the file was made"), "made\n");
        assert!(!upper.join("below").exists(), "what did not change is not in the upper directory");
        assert!(!self.directory.join("changes/lower/etc").exists(), "the layer below was changed");
    }

    async fn output_comes_line_by_line_in_order(&self) {
        let (ended, lines) = self.shell("output", "echo out; echo err >&2; echo last").await;
        assert_eq!(ended, Ended::Exited(0));
        let of = |is_error: bool| {
            lines.iter().filter(|line| line.is_error == is_error).map(|line| line.text.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(false), ["out", "last"]);
        assert_eq!(of(true), ["err"]);
    }

    async fn a_failure_is_an_exit_code(&self) {
        assert_eq!(self.shell("failure", "echo half > half; exit 7").await.0, Ended::Exited(7));
    }

    async fn the_environment_is_passed(&self) {
        let (_, lines) = self.shell("environment", "echo \"GREETING=$GREETING\"").await;
        assert_eq!(lines[0].text, "GREETING=good morning");
    }

    async fn an_argument_vector_is_taken_literally(&self) {
        let words = ["printf", "%s", "a b"].map(str::to_owned);
        let (ended, lines) = self.run("vector", ShellOrExec::Exec(words.into())).await;
        assert_eq!((ended, lines[0].text.as_str()), (Ended::Exited(0), "a b"));
    }

    async fn a_dropped_run_ends(&self) {
        let (sender, mut receiver) = mpsc::channel(16);
        let request = self.request("dropped", ShellOrExec::Shell("echo started; sleep 600".to_owned()));
        let mut run = self.sandbox.run(request, sender);
        tokio::select! {
            _ = &mut run => panic!("it ended by itself"),
            line = receiver.recv() => assert_eq!(line.expect("a line").text, "started"),
        }
        drop(run);
        // When everything is dead, nobody holds the other end any more.
        let closed = tokio::time::timeout(Duration::from_secs(20), async { while receiver.recv().await.is_some() {} });
        closed.await.expect("the command still runs after its run was dropped");
    }
}

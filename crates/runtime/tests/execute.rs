//! A plan is performed on a real host as promised: alone, undisturbed by lost connections, with reasons for failures.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../remote/tests/machine/mod.rs"]
mod machine;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use machine::{LOOPBACK, Sshd, User, key_file};
use remote::{Command, Local, Remote, Ssh};
use runtime::{
    Action, ActionHandler, Error, Event, ExecuteOptions, Journal, Plan, Progress, Run, Step, Variable, Wait, execute,
};

struct Nothing;

#[async_trait]
impl ActionHandler for Nothing {
    async fn perform(
        &self,
        _: &Step,
        _: IpAddr,
        _: Arc<dyn Remote>,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error> {
        Ok(())
    }
}

fn run(script: &str, timeout_seconds: u64) -> Action {
    Action::Run(Run::new(script).timeout_seconds(timeout_seconds))
}

fn shown(script: &str, timeout_seconds: u64) -> Action {
    Action::Run(Run::new(script).timeout_seconds(timeout_seconds).show_output())
}

fn plan(actions: Vec<Action>) -> Plan {
    let steps = actions.into_iter().enumerate();
    Plan::new("c").with_steps(steps.map(|(index, action)| Step::new(format!("step-{index}"), [LOOPBACK], action)))
}

/// Performs actions one after the other; what was shown, and how it ended.
async fn perform(remote: Arc<dyn Remote>, actions: Vec<Action>) -> (Vec<String>, Result<runtime::Report, Error>) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(&directory.path().join("journal")).unwrap();
    let options = ExecuteOptions::default();
    let lines = Mutex::new(Vec::new());
    let events = |event: Event| {
        if let Event::Output { line, .. } = event {
            lines.lock().unwrap().push(line);
        }
    };
    let remotes = BTreeMap::from([(LOOPBACK, remote)]);
    let ended = execute(&plan(actions), &remotes, &Nothing, &journal, &options, &events).await;
    (lines.into_inner().unwrap(), ended)
}

fn failure(ended: Result<runtime::Report, Error>) -> (String, String) {
    match ended.unwrap_err() {
        Error::Step { status, detail, .. } => (status, detail),
        other => panic!("{other}"),
    }
}

// The lock is one for the whole machine, so these cases share one test.
#[tokio::test]
async fn steps_run_alone_and_tell_why_they_fail() {
    let sshd = Sshd::start();
    let user = User::new("unused", Some("ALL=(ALL) NOPASSWD: ALL"));
    let key = sshd.key(&user.name, "ed25519", "");
    let by_sudo = sshd.options(&user.name, vec![key_file(&key, None)]);
    let remotes: Vec<Arc<dyn Remote>> = vec![
        Arc::new(Local::new(LOOPBACK)),
        Arc::new(Ssh::connect(sshd.root()).await.unwrap()),
        Arc::new(Ssh::connect(by_sudo).await.unwrap()),
    ];
    for remote in remotes {
        what_scripts_see(remote.clone()).await;
        failures(remote.clone()).await;
        what_is_left_behind(remote.clone()).await;
        waiting(remote).await;
    }
    a_killed_session(&sshd).await;
    no_leftovers();
}

async fn what_scripts_see(remote: Arc<dyn Remote>) {
    let mut first = shown("id -u; printf 'a\\033[31mb\\n'; echo \"$NAME\"; cat; umask; echo last >&2; printf end", 20);
    let Action::Run(run) = &mut first else { panic!() };
    run.env.insert("NAME".into(), Variable::shown("it's $HOME"));
    let large = format!("{}echo large", "# a comment that fills space\n".repeat(20_000));
    let (lines, ended) = perform(remote, vec![first, shown(&large, 20)]).await;
    ended.unwrap();
    assert_eq!(lines, ["0", "ab", "it's $HOME", "0022", "last", "end", "large"], "no input, and output in order");
}

async fn failures(remote: Arc<dyn Remote>) {
    let numbers: String = (11..=30).map(|n| format!("{n}\n")).collect();
    let (_, ended) = perform(remote.clone(), vec![run("seq 30 >&2; echo unseen; exit 9", 20)]).await;
    assert_eq!(failure(ended), ("exit code 9".into(), numbers.trim_end().into()));
    let (_, ended) = perform(remote.clone(), vec![run("set -e\nfalse\necho unreached", 20)]).await;
    assert_eq!(failure(ended), ("exit code 1".into(), "it said nothing".into()));
    let mut action = shown("echo begun; sleep 60", 1);
    let Action::Run(run) = &mut action else { panic!() };
    run.diagnose = Some("echo because; exit 1".into());
    let started = SystemTime::now();
    let (lines, ended) = perform(remote, vec![action]).await;
    assert_eq!(failure(ended), ("no end after 1 s".into(), "begun\nbecause".into()));
    assert_eq!(lines, ["begun"]);
    assert!(started.elapsed().unwrap() < Duration::from_secs(15));
}

/// A process that a script leaves running holds neither the script nor the lock.
async fn what_is_left_behind(remote: Arc<dyn Remote>) {
    let started = SystemTime::now();
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let leaving = |word: &str| format!("sleep 300 & echo $! >> {}\necho {word}", pids.display());
    let actions = vec![run(&leaving("x"), 20), shown(&leaving("y"), 20), run("echo z", 20)];
    let (lines, ended) = perform(remote, actions).await;
    for pid in std::fs::read_to_string(&pids).unwrap().lines() {
        machine::run("kill", &[pid]);
    }
    ended.unwrap();
    assert_eq!(lines, ["y"]);
    assert!(started.elapsed().unwrap() < Duration::from_secs(60), "{:?}", started.elapsed());
}

async fn waiting(remote: Arc<dyn Remote>) {
    let wait = |script: &str, timeout_seconds| {
        Action::Wait(Wait::new(script, "it is so").timeout_seconds(timeout_seconds).diagnose("echo because"))
    };
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let script = format!("echo try >> {0}; [ $(wc -l < {0}) -ge 3 ]", count.display());
    perform(remote.clone(), vec![wait(&script, 20)]).await.1.unwrap();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "try\n".repeat(3));
    let started = SystemTime::now();
    let (_, ended) = perform(remote, vec![wait("echo \"not yet, it's early\"; exit 2", 2)]).await;
    assert_eq!(failure(ended), ("no success within 2 s".into(), "not yet, it's early\nbecause".into()));
    assert!(started.elapsed().unwrap() < Duration::from_secs(10));
}

/// A session dies in the middle of a script: the script goes on, and the next session's waits for it.
async fn a_killed_session(sshd: &Sshd) {
    for show in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let ssh: Arc<dyn Remote> = Arc::new(Ssh::connect(sshd.root()).await.unwrap());
        let session = ssh.run(&Command::new("echo $PPID")).await.unwrap().stdout;
        let session = String::from_utf8(session).unwrap();
        let noisy = format!(
            "touch {0}.begun; for n in 1 2 3 4 5 6; do echo some output; echo more >&2; sleep 0.5; done; echo first >> {0}",
            log.display()
        );
        let first = tokio::spawn(perform(ssh, vec![if show { shown(&noisy, 60) } else { run(&noisy, 60) }]));
        while !log.with_extension("begun").exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        machine::run("kill", &["-KILL", session.trim()]);
        let (_, ended) = first.await.unwrap();
        assert!(matches!(ended, Err(Error::Remote(remote::Error::ConnectionLost { .. }))), "{ended:?}");
        assert!(!log.exists(), "the script is under way");
        let ssh = Arc::new(Ssh::connect(sshd.root()).await.unwrap());
        let second = format!("echo second >> {}", log.display());
        perform(ssh, vec![run(&second, 60)]).await.1.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "first\nsecond\n", "shown: {show}");
    }
}

fn no_leftovers() {
    let left = std::fs::read_dir("/run/sealer-step").unwrap();
    let left: Vec<String> = left.filter_map(|entry| entry.unwrap().file_name().into_string().ok()).collect();
    assert_eq!(left, ["lock"]);
    assert_eq!(LOOPBACK, IpAddr::from([127, 0, 0, 1]));
}

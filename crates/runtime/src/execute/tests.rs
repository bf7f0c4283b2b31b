//! Steps are performed in order, at once where they may be, stopped, and resumed.

use std::sync::Mutex;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Content, Run, Variable, Wait};
use remote::Output;
use remote::transcript::{Answer, Transcript, exit};

/// A plan, its hosts, and what happened.
struct Case {
    plan: Plan,
    hosts: BTreeMap<IpAddr, Arc<Transcript>>,
    journal: Journal,
    options: ExecuteOptions,
    log: Mutex<Vec<String>>,
    started: Instant,
    directory: TempDir,
}

fn host(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

impl Case {
    /// Steps as lines of `id hosts after…`; a script `id` runs on each. `~step` is waited for only until it ended.
    fn new(steps: &[&str]) -> Self {
        let steps = steps.iter().map(|line| {
            let mut words = line.split(' ');
            let id = words.next().unwrap().to_owned();
            let hosts = words.next().unwrap().split(',').map(|last| host(last.parse().unwrap()));
            let step = match id.strip_prefix("wait-") {
                Some(_) => Step::wait(&id, hosts, Wait::new(format!("<{id}>"), &id).timeout_seconds(100)),
                None => Step::run(&id, hosts, run(&format!("<{id}>"))),
            };
            let (ended, finished): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with('~'));
            let ended = ended.into_iter().map(|word| word.trim_start_matches('~'));
            let mut step = step.titled(format!("do {id}")).after(finished).after_end_of(ended);
            step.independent = id.starts_with("for-");
            step
        });
        let plan = Plan::new("c").with_steps(steps);
        let directory = tempfile::tempdir().unwrap();
        let hosts = plan
            .steps
            .iter()
            .flat_map(|step| &step.hosts)
            .map(|&host| (host, Arc::new(Transcript::new(host))))
            .collect();
        Self {
            plan,
            hosts,
            journal: Journal::open(&directory.path().join("journal")).unwrap(),
            options: ExecuteOptions::new(16, CancellationToken::new()),
            log: Mutex::default(),
            started: Instant::now(),
            directory,
        }
    }

    /// What a step's script says on a host.
    fn answer(mut self, last: u8, id: &str, seconds: u64, output: Output) -> Self {
        let part = format!("<{id}>");
        let transcript = Arc::into_inner(self.hosts.remove(&host(last)).unwrap()).unwrap();
        let transcript = transcript.with(Answer { part, takes: Duration::from_secs(seconds), output, once: false });
        self.hosts.insert(host(last), Arc::new(transcript));
        self
    }

    fn takes(self, last: u8, id: &str, seconds: u64) -> Self {
        self.answer(last, id, seconds, exit(0, "", ""))
    }

    async fn execute(&self) -> Result<Report, Error> {
        let remotes =
            self.hosts.iter().map(|(&host, transcript)| (host, transcript.clone() as Arc<dyn Remote>)).collect();
        let events = |event: Event| {
            let at = self.started.elapsed().as_secs();
            let last = |host: IpAddr| host.to_string().rsplit('.').next().unwrap().to_owned();
            let line = match event {
                Event::Resuming { done, total } => format!("resuming {done}/{total}"),
                Event::Started { host, step, .. } => format!("{at}s {} +{step}", last(host)),
                Event::Finished { host, step, .. } => format!("{at}s {} -{step}", last(host)),
                Event::Failed { host, step, reason, .. } => format!("{at}s {} !{step} {reason}", last(host)),
                Event::Output { host, line, .. } => format!("{at}s {} {line}", last(host)),
                Event::Moving { host, progress, .. } => {
                    format!("{at}s {} {}/{}", last(host), progress.done, progress.total)
                }
            };
            self.log.lock().unwrap().push(line);
        };
        execute(&self.plan, &remotes, &Handler, &self.journal, &self.options, &events).await
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn run(script: &str) -> Run {
    Run::new(script).timeout_seconds(10)
}

struct Handler;

#[async_trait]
impl ActionHandler for Handler {
    async fn perform(
        &self,
        _: &Step,
        _: IpAddr,
        remote: Arc<dyn Remote>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error> {
        progress(Progress { done: 1, total: 2 });
        Ok(remote.write("/delivered", 0o600, b"").await?)
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_go_on_at_once_and_wait_only_where_told() {
    let case = Case::new(&["a 1,2", "b 1", "c 2 b", "d 3"])
        .takes(1, "a", 5)
        .takes(2, "a", 1)
        .takes(1, "b", 3)
        .takes(3, "d", 2);
    let report = case.execute().await.unwrap();
    assert_eq!((report.done, report.skipped, report.elapsed.as_secs()), (5, 0, 8));
    let expected =
        ["0s 1 +a", "0s 2 +a", "0s 3 +d", "1s 2 -a", "2s 3 -d", "5s 1 -a", "5s 1 +b", "8s 1 -b", "8s 2 +c", "8s 2 -c"];
    assert_eq!(case.log(), expected);
}

#[tokio::test(start_paused = true)]
async fn no_more_hosts_at_once_than_asked_for() {
    let mut case = Case::new(&["a 1,2,3,4", "b 4 a"]);
    for last in 1..=4 {
        case = case.takes(last, "a", 10);
    }
    case.options.parallel = 2;
    assert_eq!(case.execute().await.unwrap().elapsed.as_secs(), 20);
    // Waiting for other steps takes no place.
    let mut case = Case::new(&["b 1,2 a", "a 3"]);
    case.options.parallel = 1;
    assert_eq!(case.execute().await.unwrap().done, 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_others_finish_their_step_and_the_same_plan_goes_on_later() {
    let steps = ["a 1,2", "b 1", "c 2", "d 1,2 b c"];
    let case =
        Case::new(&steps).takes(2, "c", 9).answer(1, "b", 3, exit(7, "out", "line 1\n\n\x1b[31mline 2\x1b[0m\n"));
    let error = case.execute().await.unwrap_err();
    let Error::Step { host: at, step, status, detail } = &error else { panic!("{error}") };
    assert_eq!((*at, &step[..], &status[..], &detail[..]), (host(1), "do b", "exit code 7", "line 1\nline 2"));
    let log = case.log();
    assert_eq!(log[log.len() - 2..], ["3s 1 !b 10.0.0.1: do b failed with exit code 7: line 1\nline 2", "9s 2 -c"]);
    assert!(!case.hosts[&host(2)].ran("<d>"));

    let again = Case { hosts: Case::new(&steps).hosts, journal: Journal::open(case.journal.path()).unwrap(), ..case };
    let report = again.execute().await.unwrap();
    assert_eq!((report.done, report.skipped), (3, 3));
    assert_eq!(again.log()[0], "resuming 3/6");
    assert!(!again.hosts[&host(1)].ran("<a>") && !again.hosts[&host(2)].ran("<c>"));
    assert!(again.hosts[&host(1)].ran("<b>") && again.hosts[&host(2)].ran("<d>"));
    let report = again.execute().await.unwrap();
    assert_eq!((report.done, report.skipped), (0, 6), "a finished plan does nothing");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_holds_nobody_up_but_those_who_wait_for_it() {
    let steps = ["a 1,2,3", "join 2", "join2 3", "launch 1 ~join ~join2", "ready 2", "ready3 3 launch", "last 4 join"];
    let case = Case::new(&steps).answer(2, "join", 3, exit(7, "", "no")).takes(3, "join2", 9).takes(1, "launch", 2);
    let error = case.execute().await.unwrap_err();
    assert!(error.to_string().starts_with("10.0.0.2: do join failed"), "{error}");
    let ran = |last: u8, script: &str| case.hosts[&host(last)].ran(script);
    assert!(ran(3, "<join2>") && ran(1, "<launch>") && ran(3, "<ready3>"), "{:?}", case.log());
    assert!(!ran(2, "<ready>") && !ran(4, "<last>"));

    let case =
        Case::new(&["a 1,2,3", "b 1,2,3"]).answer(1, "a", 1, exit(1, "", "x")).answer(3, "a", 2, exit(1, "", "y"));
    let error = case.execute().await.unwrap_err().to_string();
    let expected = "10.0.0.1: do a failed with exit code 1: x (and 1 more: 10.0.0.3: do a failed with exit code 1: y)";
    assert_eq!(error, expected);
    assert!(case.hosts[&host(2)].ran("<b>"));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_became_another_is_done_with_all_after_it() {
    let mut case = Case::new(&["a 1", "b 1", "c 1", "a2 2"]);
    case.execute().await.unwrap();
    case.plan.steps[1].action = Action::Run(run("<b changed>"));
    let report = case.execute().await.unwrap();
    assert_eq!((report.done, report.skipped), (2, 2));
    assert!(case.hosts[&host(1)].ran("<b changed>"));
}

#[tokio::test(start_paused = true)]
async fn cancelling_finishes_what_is_under_way_but_not_waiting() {
    let case = Case::new(&["a 1", "b 1", "wait-x 2", "c 2"]).takes(1, "a", 10).takes(2, "wait-x", 90);
    let cancel = case.options.cancel.clone();
    let cancelling = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(case.execute(), cancelling);
    assert!(matches!(ended, Err(Error::Cancelled { done: 1, total: 4 })), "{ended:?}");
    assert_eq!(case.log(), ["0s 1 +a", "0s 2 +wait-x", "10s 1 -a"]);
    assert_eq!(case.started.elapsed().as_secs(), 10);

    let case = Case::new(&["a 1"]);
    case.options.cancel.cancel();
    assert!(matches!(case.execute().await, Err(Error::Cancelled { done: 0, total: 1 })));
    assert!(case.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn shown_output_comes_line_by_line_and_a_failure_carries_the_last_ones() {
    let stdout: String = (1..=30).map(|n| format!("line {n}\r\n")).collect();
    let mut case = Case::new(&["a 1"]).answer(1, "a", 1, exit(3, &stdout, ""));
    case.plan.steps[0].action = Action::Run(run("<a>").show_output().diagnose("<why>"));
    let case = case.answer(1, "why", 0, exit(0, "because\n", ""));
    let error = case.execute().await.unwrap_err().to_string();
    let log = case.log();
    assert_eq!((log.len(), &log[1][..], &log[30][..]), (32, "1s 1 line 1", "1s 1 line 30"));
    assert!(
        !error.contains("line 10\n") && error.contains("line 11\n") && error.ends_with("line 30\nbecause"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_action_reaches_its_host() {
    let mut case = Case::new(&["write 1", "content 1", "wait-x 1", "run 1"]);
    let mut file = crate::File::secret("/etc/x", "x");
    file.mode = 0o640;
    case.plan.steps[0].action = Action::Write { files: vec![file] };
    case.plan.steps[1].action = Action::Content(Content::new("sha256:0", "/r", 2).with_carried_images());
    case.plan.steps[3].action = Action::Run(run("<run>").env([("NAME", Variable::shown("it's"))]));
    case.execute().await.unwrap();
    let transcript = &case.hosts[&host(1)];
    assert_eq!(transcript.file("/etc/x"), Some((0o640, b"x".to_vec())));
    assert!(transcript.file("/delivered").is_some());
    assert!(transcript.ran("text='<wait-x>'"), "a wait is one command");
    assert!(transcript.ran("export NAME='it'\\''s'\n<run>"));
    assert!(case.log().contains(&"0s 1 1/2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_vain_says_what_was_last_seen() {
    let case = Case::new(&["wait-x 1"]).answer(1, "wait-x", 100, exit(1, "....\n", "node b is NotReady\n"));
    let error = case.execute().await.unwrap_err().to_string();
    assert_eq!(error, "10.0.0.1: do wait-x failed with no success within 100 s: node b is NotReady");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_answers_is_given_up() {
    let case = Case::new(&["a 1"]).takes(1, "a", 1_000_000);
    let error = case.execute().await.unwrap_err();
    assert!(matches!(error, Error::Remote(remote::Error::TimedOut { seconds: 10, .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_performed_changes_nothing() {
    let case = Case::new(&["x 3", "a 1 b", "b 2 a"]);
    assert!(matches!(case.execute().await, Err(Error::Plan { .. })));
    let mut case = Case::new(&["a 1", "b 2"]);
    case.hosts.remove(&host(2));
    let error = case.execute().await.unwrap_err().to_string();
    assert_eq!(error, "the plan for c cannot be performed: there is no connection to 10.0.0.2");
    assert!(case.log().is_empty() && case.directory.path().exists());
}

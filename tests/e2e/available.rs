//! A cluster of three masters lives through the death of its first one, mixed changes, and kills at any step.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use sealer_tests::stage::APP;
use sealer_tests::{Machine, Machines, Program, Stage};

use crate::bare_metal::PASSWORD;
use crate::cluster::{expect_hello, expect_ready, kubectl, step};

/// The name of the cluster.
const NAME: &str = "available";

/// A host in the Clusterfile: which machine, what it is, and more that the file says of it.
type Entry = (usize, &'static str, &'static str);

#[test]
fn a_cluster_outlives_its_first_master() {
    let stage = step("both images are built", Stage::get);
    let story = &step("five hosts are up", || Story::start(stage));

    step("three masters and a node become a cluster", || story.create());
    step("the first master dies: the API and pulls go on", || story.kill_the_first_master());
}

/// The machines and the program of the test.
struct Story {
    machines: Machines,
    program: Program,
    file: PathBuf,
}

impl Story {
    fn start(stage: &Stage) -> Self {
        let machines = Machines::start(NAME, &stage.node_image, 5);
        (0..5).for_each(|index| machines.get(index).set_password("root", PASSWORD));
        let program = stage.program();
        Self { file: program.home().join("Clusterfile"), machines, program }
    }

    fn machine(&self, index: usize) -> &Machine {
        self.machines.get(index)
    }

    fn address(&self, index: usize) -> IpAddr {
        self.machine(index).address
    }

    /// Writes the Clusterfile: these hosts, and more lines of its `spec`.
    fn want(&self, hosts: &[Entry], more: &str) {
        let mut text = format!(
            "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {{name: {NAME}}}\nspec:\n  image: {APP}\n  ssh: {{passwd: \"{PASSWORD}\"}}\n{more}  hosts:\n"
        );
        for (index, role, more) in hosts {
            writeln!(text, "  - {{ips: [{}], roles: [{role}]{more}}}", self.address(*index)).unwrap();
        }
        std::fs::write(&self.file, text).unwrap();
    }

    fn apply(&self, arguments: &[&str]) -> String {
        self.program.succeed(&[&["apply", "-f", &self.file.display().to_string()], arguments].concat())
    }

    fn create(&self) {
        self.want(&[(0, "master", ""), (1, "master", ""), (2, "master", ""), (3, "node", "")], "");
        let started = Instant::now();
        self.apply(&[]);
        eprintln!("     3 masters and 1 node in {:.0} s", started.elapsed().as_secs_f64());
        let shell = |script: &str| self.machine(1).shell(script);
        expect_ready(&shell, 4);
        expect_hello(&shell, self.address(3));
        // What is pulled each time it starts is there without anything outside.
        kubectl(
            &shell,
            "patch deployment hello -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"hello\",\"imagePullPolicy\":\"Always\"}]}}}}'",
        );
        kubectl(&shell, "rollout status deployment/hello --timeout=90s");
        let again = self.apply(&[]);
        assert!(again.contains("nothing to do"), "{again}");
    }

    /// The node asks the API through the virtual address all the time.
    fn kill_the_first_master(&self) {
        let clock = Clock::start(self.machine(3));
        std::thread::sleep(Duration::from_secs(2));
        self.machine(0).kill();
        std::thread::sleep(Duration::from_secs(12));
        let gap = clock.stop();
        eprintln!(
            "     the longest time without an answer of the API through the virtual address: {} ms",
            gap.as_millis()
        );
        assert!(gap < Duration::from_secs(10), "{gap:?}");
        let shell = |script: &str| self.machine(1).shell(script);
        kubectl(&shell, "delete pod -l app=hello --wait=false");
        kubectl(&shell, "rollout status deployment/hello --timeout=90s");
        expect_hello(&shell, self.address(3));
    }
}

/// Asks the API server through the virtual address, again and again, from a machine.
struct Clock<'a> {
    machine: &'a Machine,
    child: Child,
}

impl<'a> Clock<'a> {
    fn start(machine: &'a Machine) -> Self {
        let ask = "curl --silent --output /dev/null --max-time 1 --cacert /var/lib/sealer/data/available/certs/ca.crt https://apiserver.cluster.local:6443/healthz";
        let script = format!(
            "rm -f /tmp/answers /tmp/enough; while [ ! -e /tmp/enough ]; do {ask} && date +%s%3N >> /tmp/answers; sleep 0.05; done"
        );
        let child = std::process::Command::new("docker").args(["exec", &machine.name, "sh", "-c", &script]).spawn();
        Self { machine, child: child.unwrap() }
    }

    /// The longest time between two answers.
    fn stop(mut self) -> Duration {
        self.machine.shell("touch /tmp/enough");
        self.child.wait().unwrap();
        let answers = self.machine.shell("cat /tmp/answers");
        let times: Vec<u64> = answers.lines().map(|line| line.parse().unwrap()).collect();
        assert!(times.len() > 50, "only {} answers", times.len());
        Duration::from_millis(times.windows(2).map(|two| two[1] - two[0]).max().unwrap())
    }
}

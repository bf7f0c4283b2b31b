//! A cluster of three masters lives through the death of its first one, mixed changes, and kills at any step.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use sealer_tests::stage::APP;
use sealer_tests::{Inventory, Machine, Machines, Program, Stage};

use crate::bare_metal::PASSWORD;
use crate::cluster::{expect_hello, expect_ready, kubectl, step};
use crate::resume::run_and_kill;

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
    step("another host takes its place, by one edit", || story.replace_it());
    step("labels, names and certificates change together, from another workstation", || story.change_settings());
    step("the dead master comes back and another leaves, killed again and again", || story.mixed_change());
    step("deleted, all hosts are as they were", || story.delete());
}

/// The machines and the program of the test.
struct Story {
    stage: &'static Stage,
    machines: Machines,
    program: Program,
    file: PathBuf,
    /// What was on each machine before.
    before: Vec<Inventory>,
}

impl Story {
    fn start(stage: &'static Stage) -> Self {
        let machines = Machines::start(NAME, &stage.node_image, 5);
        (0..5).for_each(|index| machines.get(index).set_password("root", PASSWORD));
        let before = machines.all().iter().map(Inventory::of).collect();
        let program = stage.program();
        Self { stage, file: program.home().join("Clusterfile"), machines, program, before }
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

    /// Applies the Clusterfile; what that tells is part of the transcript.
    fn apply(&self, arguments: &[&str]) -> String {
        let outcome = self.program.call(&[&["apply", "-f", &self.file.display().to_string()], arguments].concat());
        outcome.expect_code(0);
        outcome.stderr.lines().for_each(|line| eprintln!("     | {line}"));
        outcome.stdout
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
    /// The one that died leaves on the cluster's side only.
    fn replace_it(&self) {
        self.want(&[(1, "master", ""), (2, "master", ""), (4, "master", ""), (3, "node", "")], "");
        let refused = self.program.call(&["apply", "-f", &self.file.display().to_string()]);
        refused.expect_code(2).expect_stderr(&self.address(0).to_string()).expect_stderr("--yes");
        let plan = self.apply(&["--dry-run"]);
        assert!(plan.contains(&format!("take {} out of etcd", self.address(0))), "{plan}");
        let started = Instant::now();
        self.apply(&["--yes"]);
        eprintln!("     replaced in {:.0} s", started.elapsed().as_secs_f64());
        self.expect_masters(&[1, 2, 4]);
        expect_ready(&|script: &str| self.machine(4).shell(script), 4);
    }

    fn change_settings(&self) {
        let more = "  certSANS: [api.example.com]\n  hostAliases:\n  - {ip: 10.177.77.99, hostnames: [db.example.com]}\n  \
                    registry: {localRegistry: {username: puller, password: \"hunter2 :$\"}}\n";
        let labels = ", labels: {disk: ssd}, taints: [\"dedicated=db:PreferNoSchedule\"]";
        self.want(&[(1, "master", ""), (2, "master", ""), (4, "master", ""), (3, "node", labels)], more);
        // A workstation with nothing but the Clusterfile: the cluster keeps the rest.
        let elsewhere = self.stage.program();
        let file = self.file.display().to_string();
        let told = elsewhere.call(&["apply", "-f", &file]);
        told.expect_code(0).expect_stderr("taken over from the cluster");
        let again = self.program.call(&["apply", "-f", &file]);
        again.expect_code(0).expect_stderr("is newer than the one here");
        for master in [1, 2, 4] {
            let address = self.address(master);
            let answer = self.machine(3).shell(&format!(
                "curl --silent --max-time 5 --cacert /var/lib/sealer/data/{NAME}/certs/ca.crt --resolve api.example.com:6443:{address} https://api.example.com:6443/healthz"
            ));
            assert_eq!(answer, "ok", "the certificate of {address}");
        }
        let shell = |script: &str| self.machine(2).shell(script);
        assert!(kubectl(&shell, "get node -l disk=ssd --no-headers").contains(&self.machine(3).name));
        assert!(self.machine(3).shell("getent hosts db.example.com").starts_with("10.177.77.99"));
        // Nobody pulls without the login, and the kubelet has it.
        let anonymous = format!(
            "curl --silent --output /dev/null --write-out '%{{http_code}}' --max-time 5 --cacert /var/lib/sealer/data/{NAME}/certs/ca.crt https://sea.hub:5000/v2/"
        );
        assert_eq!(self.machine(3).shell(&anonymous), "401");
        kubectl(&shell, "delete pod -l app=hello --wait=false");
        kubectl(&shell, "rollout status deployment/hello --timeout=90s");
    }

    /// The one that died was told by nobody that it is no master any more; it joins again. Whoever was listed first goes.
    fn mixed_change(&self) {
        self.machine(0).power_on();
        self.want(&[(2, "master", ""), (4, "master", ""), (0, "master", ""), (3, "node", "")], "");
        let file = self.file.display().to_string();
        let arguments = ["apply", "-f", &file, "--yes"];
        for steps in [1, 6, 12, 20] {
            run_and_kill(&self.program, NAME, &arguments, steps);
        }
        self.apply(&["--yes"]);
        self.expect_masters(&[0, 2, 4]);
        let shell = |script: &str| self.machine(0).shell(script);
        expect_ready(&shell, 4);
        assert!(kubectl(&shell, "get node -l disk=ssd --no-headers").trim().is_empty());
        self.expect_as_before(&[1]);
        let started = Instant::now();
        let again = self.apply(&[]);
        eprintln!("     nothing to do for 4 hosts: {:.1} s", started.elapsed().as_secs_f64());
        assert!(again.contains("nothing to do"), "{again}");
    }

    fn delete(&self) {
        self.program.succeed(&["delete", "-c", NAME, "--yes"]);
        self.expect_as_before(&[0, 1, 2, 3, 4]);
        assert!(!self.program.state(NAME).exists());
    }

    /// Expects that just these machines are members of etcd, and that the node goes to their API servers.
    fn expect_masters(&self, indices: &[usize]) {
        let through = self.machine(indices[1]);
        let etcdctl = format!(
            "exec -n kube-system etcd-{} -- etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key member list",
            through.name
        );
        let members = kubectl(&|script: &str| through.shell(script), &etcdctl);
        assert_eq!(members.lines().filter(|line| line.contains(", started, ")).count(), indices.len(), "{members}");
        let servers = self.machine(3).shell(&format!("cat /var/lib/sealer/data/{NAME}/lvscare.json"));
        for index in 0..self.machines.all().len() {
            let server = format!("{}:6443", self.address(index));
            assert_eq!(servers.contains(&server), indices.contains(&index), "{servers}");
            assert_eq!(members.contains(&self.machine(index).name), indices.contains(&index), "{members}");
        }
    }

    fn expect_as_before(&self, indices: &[usize]) {
        for index in indices {
            let machine = self.machine(*index);
            let changes = self.before[*index].changes(&Inventory::of(machine));
            assert!(changes.is_empty(), "{} is not as it was:\n{}", machine.name, changes.join("\n"));
        }
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
        let script = format!("while [ ! -e /tmp/enough ]; do {ask} && date +%s%3N >> /tmp/answers; sleep 0.05; done");
        let child = std::process::Command::new("docker").args(["exec", &machine.name, "sh", "-c", &script]).spawn();
        Self { machine, child: child.unwrap() }
    }

    /// The longest time between two answers.
    fn stop(mut self) -> Duration {
        self.machine.shell("touch /tmp/enough");
        self.child.wait().unwrap();
        let answers = self.machine.shell("cat /tmp/answers && rm /tmp/answers /tmp/enough");
        let times: Vec<u64> = answers.lines().map(|line| line.parse().unwrap()).collect();
        assert!(times.len() > 50, "only {} answers", times.len());
        Duration::from_millis(times.windows(2).map(|two| two[1] - two[0]).max().unwrap())
    }
}

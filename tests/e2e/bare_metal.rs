//! Two hosts that already exist live through refusals, failures, two clusters one after the other, and their deletion.

use std::process::Command;

use sealer_tests::program::finish;
use sealer_tests::{Machine, Machines, Program, Stage};

use crate::cluster::{expect_hello, expect_original_name, expect_ready, kubectl, step};
use crate::{applications, faults, resume};

/// With everything in it that a shell would take for its own.
pub(crate) const PASSWORD: &str = "correct horse 'battery' $taple";

/// Two hosts with a password.
pub(crate) struct Hosts {
    machines: Machines,
}

impl Hosts {
    pub(crate) fn master(&self) -> &Machine {
        self.machines.get(0)
    }

    pub(crate) fn node(&self) -> &Machine {
        self.machines.get(1)
    }

    pub(crate) fn both(&self) -> [&Machine; 2] {
        [self.master(), self.node()]
    }
}

#[test]
fn two_hosts_live_through_refusals_failures_and_two_clusters() {
    let stage = step("both images are built", Stage::get);
    let start = || {
        let hosts = Hosts { machines: Machines::start("bare", &stage.node_image, 2) };
        hosts.both().into_iter().for_each(|machine| machine.set_password("root", PASSWORD));
        hosts
    };
    let hosts = &step("two hosts are up", start);
    let blog = &Blog::new(stage, hosts);

    step("a dry run shows the plan and changes nothing", || blog.dry_run(hosts));
    step("hosts that cannot be used are named with the reason", || faults::unusable_hosts(stage, hosts));
    step("a changed host key is refused", || faults::changed_host_key(stage, hosts));
    step("preflight finds everything at once", || faults::preflight(stage, hosts));
    step("what kubeadm stumbles over reaches the user", || faults::kubeadm(stage, hosts));
    step("a partially created cluster can be deleted", || resume::partially_created(stage, hosts));

    let program = &stage.program();
    step("the same command finishes what was killed", || resume::killed_and_finished(program, hosts));
    step("hosts with a password are a cluster", || expect_cluster(hosts));
    step("deleted by its Clusterfile, nothing is left", || delete_by_file(program, hosts));

    step("a Clusterfile of the first generation becomes a cluster", || blog.apply(hosts));
    step("its plugins acted in their phases", || blog.expect_plugins(hosts));
    step("an application image runs on it, is configured and removed", || blog.applications(stage, hosts));
    step("the same once more has nothing to do", || blog.apply_again());
    step("delete -a deletes it", || blog.delete(hosts));
}

/// Expects that the hosts are a cluster with its application.
fn expect_cluster(hosts: &Hosts) {
    let node = hosts.node();
    let shell = |script: &str| hosts.master().shell(script);
    expect_hello(&shell, node.address);
    expect_original_name(&shell);
    // The node asks the API servers through its own kernel, and goes on when the daemon is killed.
    let status = node.shell("/var/lib/sealer/bin/sealer lvscare status -o json");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["service"], "10.103.97.2:6443");
    assert_eq!((&status[0]["servers"][0]["state"], &status[0]["servers"][0]["weight"]), (&"up".into(), &1.into()));
    let healthz = "curl --silent --max-time 5 --cacert /var/lib/sealer/data/bare/certs/ca.crt https://apiserver.cluster.local:6443/healthz";
    let asked = node.shell(&format!(
        "systemctl kill --signal KILL sealer-lvscare; {healthz}; getent hosts apiserver.cluster.local"
    ));
    assert!(asked.starts_with("ok10.103.97.2 "), "{asked}");
}

fn delete_by_file(program: &Program, hosts: &Hosts) {
    program.succeed(&["delete", "--yes", "-f", &program.state("bare").join("Clusterfile").display().to_string()]);
    for machine in hosts.both() {
        let left = machine.shell("ls -d /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/sealer/data/bare /etc/cni/net.d/* /etc/systemd/system/sealer* /run/sealer 2>/dev/null || true; nft list tables | grep lvscare || true; ip route show table local | grep 10.103.97.2 || true; grep -c sealer /etc/hosts || true; pgrep -a 'kubelet|kube-|etcd|containerd|sealer' || true");
        assert_eq!(left.trim(), "0", "left on {}", machine.name);
    }
    assert!(!program.state("bare").exists());
}

/// A cluster described by a Clusterfile of the first generation, for a user with sudo and an encrypted key.
struct Blog {
    program: Program,
    file: String,
}

impl Blog {
    fn new(stage: &Stage, hosts: &Hosts) -> Self {
        let program = stage.program();
        let key = program.home().join("key");
        let made = finish(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", PASSWORD, "-f"]).arg(&key));
        made.expect_code(0);
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        for machine in hosts.both() {
            machine.authorize("deployer", &public);
            machine.shell("echo 'deployer ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deployer");
        }
        let image = applications::build_like_upstream(stage, &program);
        let clusterfile = program.home().join("Clusterfile");
        let text = format!(
            "apiVersion: sealer.aliyun.com/v1alpha1\nkind: Cluster\nmetadata:\n  name: blog\nspec:\n  image: {image}\n  provider: BAREMETAL\n  ssh:\n    user: deployer\n    pk: {}\n    pkPasswd: \"{PASSWORD}\"\n  network:\n    podCIDR: 100.64.0.0/10\n    svcCIDR: 10.96.0.0/22\n  certSANS:\n    - aliyun-inc.com\n    - 10.0.0.2\n  masters:\n    ipList:\n      - {}\n  nodes:\n    ipList:\n      - {}\n",
            key.display(),
            hosts.master().address,
            hosts.node().address
        );
        std::fs::write(&clusterfile, text + &applications::documents(hosts.node().address)).unwrap();
        Self { file: clusterfile.display().to_string(), program }
    }

    /// While nothing else was done to the hosts.
    fn dry_run(&self, hosts: &Hosts) {
        let plan = self.program.succeed(&["apply", "-f", &self.file, "--dry-run"]);
        assert!(plan.contains("kubeadm init") && plan.contains("nothing was changed"), "{plan}");
        assert!(!plan.contains(PASSWORD) && !hosts.master().test("test -e /var/lib/sealer"), "{plan}");
    }

    fn apply(&self, hosts: &Hosts) {
        // A host got another key since the dry run, which the operator has to confirm.
        std::fs::remove_file(self.program.state("blog").join("known_hosts")).unwrap();
        self.program.succeed(&["apply", "-f", &self.file]);
        let shell = |script: &str| hosts.master().shell(script);
        expect_ready(&shell, 2);
        expect_hello(&shell, hosts.node().address);
        let names =
            shell("openssl x509 -in /etc/kubernetes/pki/apiserver.crt -noout -ext subjectAltName 2>/dev/null || true");
        assert!(names.is_empty() || names.contains("aliyun-inc.com"), "{names}");
    }

    fn expect_plugins(&self, hosts: &Hosts) {
        let shell = |script: &str| hosts.master().shell(script);
        applications::expect_plugins(&shell, &|script: &str| hosts.node().shell(script));
        applications::expect_config(&shell, "blog");
        assert_eq!(kubectl(&shell, "get configmap stage -o jsonpath={.data.stage}"), "production");
    }

    fn applications(&self, stage: &Stage, hosts: &Hosts) {
        let shell = |script: &str| hosts.master().shell(script);
        applications::live_through(stage, &self.program, &shell, hosts.master().address, &self.file);
    }

    fn apply_again(&self) {
        let again = self.program.call(&["apply", "-f", &self.file]);
        again.expect_code(0);
        assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    }

    fn delete(&self, hosts: &Hosts) {
        self.program.succeed(&["delete", "--yes", "-a"]);
        assert!(!self.program.state("blog").exists());
        applications::expect_last_plugins(&|script: &str| hosts.master().shell(script), &|script: &str| {
            hosts.node().shell(script)
        });
    }
}

//! Bad input gets a clear answer and leaves hosts as they were.

use sealer_tests::stage::BASE;
use sealer_tests::{Machine, Outcome, Program, Stage};

use crate::bare_metal::{Hosts, PASSWORD};

fn run(program: &Program, machine: &Machine, more: &[&str]) -> Outcome {
    let address = machine.address.to_string();
    let arguments = [&["run", BASE, "-m", &address, "--cluster-name", "faults"], more].concat();
    program.call(&arguments)
}

fn expect_untouched(machine: &Machine) {
    assert!(!machine.test("test -e /var/lib/sealer || test -e /etc/kubernetes"), "{} was changed", machine.name);
}

pub(crate) fn unusable_hosts(stage: &Stage, hosts: &Hosts) {
    let machine = hosts.master();
    let address = machine.address.to_string();

    let wrong = run(&stage.program(), machine, &["-p", "wrong"]);
    wrong.expect_code(1).expect_stderr(&address).expect_stderr("password");
    assert!(!wrong.stderr.contains("wrong\""), "{}", wrong.stderr);

    // Nobody listens on port 1 of this machine.
    let unreachable = run(&stage.program(), machine, &["-p", PASSWORD, "--port", "1"]);
    unreachable.expect_code(1).expect_stderr(&address).expect_stderr("refused");

    let unknown = stage.program().call(&["run", "no-such-image:1", "-m", &address, "-p", PASSWORD]);
    unknown.expect_code(1).expect_stderr("no-such-image:1");
    expect_untouched(machine);
}

pub(crate) fn changed_host_key(stage: &Stage, hosts: &Hosts) {
    let program = stage.program();
    let machine = hosts.master();
    // First contact is made by a dry run: it connects and changes nothing.
    let address = machine.address.to_string();
    let dry = ["run", BASE, "-m", &address, "-p", PASSWORD, "--cluster-name", "faults", "--dry-run"];
    program.succeed(&dry);

    machine.shell("rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh");
    let outcome = program.call(&dry);
    outcome.expect_code(1).expect_stderr(&address).expect_stderr("host key").expect_stderr("known_hosts");
    expect_untouched(machine);
}

pub(crate) fn preflight(stage: &Stage, hosts: &Hosts) {
    let (master, node) = (hosts.master(), hosts.node());
    let squat =
        |port: u16| format!("systemd-run --quiet --unit squatter socat TCP-LISTEN:{port},fork,reuseaddr EXEC:true");
    master.shell(&format!("{}; mkdir -p /etc/kubernetes; touch /etc/kubernetes/admin.conf", squat(6443)));
    node.shell(&format!("hostname {}; {}; sleep 0.5", master.name, squat(10250)));
    let address = node.address.to_string();
    let outcome = run(&stage.program(), master, &["-n", &address, "-p", PASSWORD]);
    outcome
        .expect_code(3)
        .expect_stderr("6443")
        .expect_stderr("10250")
        .expect_stderr("socat")
        .expect_stderr("/etc/kubernetes")
        .expect_stderr("nothing was changed");
    outcome.expect_stderr(&master.name);
    assert!(!master.test("test -e /var/lib/sealer") && !node.test("test -e /var/lib/sealer"));

    // The hosts are put right for what comes next.
    master.shell("systemctl stop squatter; rm -r /etc/kubernetes");
    node.shell(&format!("systemctl stop squatter; hostname {}", node.name));
}

pub(crate) fn kubeadm(stage: &Stage, hosts: &Hosts) {
    let program = stage.program();
    let clusterfile = program.home().join("Clusterfile");
    let text = format!(
        "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata:\n  name: faults\nspec:\n  image: {BASE}\n  hosts:\n    - ips: [{}]\n      roles: [master]\n  ssh:\n    passwd: \"{PASSWORD}\"\n---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\napiServer:\n  timeoutForControlPlane: 20s\n  extraArgs:\n    no-such-flag: \"1\"\n",
        hosts.master().address
    );
    std::fs::write(&clusterfile, text).unwrap();
    let outcome = program.call(&["apply", "-f", &clusterfile.display().to_string()]);
    // The API server's own words, not "see above".
    outcome.expect_code(4).expect_stderr("kubeadm init").expect_stderr("unknown flag: --no-such-flag");
    program.succeed(&["delete", "--yes", "-c", "faults"]);
}

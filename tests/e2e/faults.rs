//! Does bad input get a clear answer and leave hosts as they were?

use sealer_tests::stage::BASE;
use sealer_tests::{Machine, Machines, Outcome, Program, Stage};

const PASSWORD: &str = "secret";

fn run(program: &Program, machine: &Machine, more: &[&str]) -> Outcome {
    let address = machine.address.to_string();
    let arguments = [&["run", BASE, "-m", &address, "--cluster-name", "faults"], more].concat();
    program.call(&arguments)
}

fn expect_untouched(machine: &Machine) {
    assert!(!machine.test("test -e /var/lib/sealer || test -e /etc/kubernetes"), "{} was changed", machine.name);
}

#[test]
fn hosts_that_cannot_be_used_are_named_with_the_reason() {
    let stage = Stage::get();
    let machines = Machines::start("faults", &stage.node_image, 1);
    let machine = machines.get(0);
    machine.set_password("root", PASSWORD);
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

#[test]
fn a_changed_host_key_is_refused() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("faults", &stage.node_image, 1);
    let machine = machines.get(0);
    machine.set_password("root", PASSWORD);
    // First contact is made by a dry run: it connects and changes nothing.
    let address = machine.address.to_string();
    let dry = ["run", BASE, "-m", &address, "-p", PASSWORD, "--cluster-name", "faults", "--dry-run"];
    program.succeed(&dry);

    machine.shell("rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh");
    let outcome = program.call(&dry);
    outcome.expect_code(1).expect_stderr(&address).expect_stderr("host key").expect_stderr("known_hosts");
    expect_untouched(machine);
}

#[test]
fn preflight_finds_everything_at_once_and_changes_nothing() {
    let stage = Stage::get();
    let machines = Machines::start("faults", &stage.node_image, 2);
    for index in 0..2 {
        machines.get(index).set_password("root", PASSWORD);
    }
    machines.get(0).shell("systemd-run --quiet --unit squatter socat TCP-LISTEN:6443,fork,reuseaddr EXEC:true; mkdir -p /etc/kubernetes; touch /etc/kubernetes/admin.conf");
    machines.get(1).shell("hostname faults-0; systemd-run --quiet --unit squatter socat TCP-LISTEN:10250,fork,reuseaddr EXEC:true; sleep 0.5");
    let node = machines.get(1).address.to_string();
    let outcome = run(&stage.program(), machines.get(0), &["-n", &node, "-p", PASSWORD]);
    outcome
        .expect_code(3)
        .expect_stderr("6443")
        .expect_stderr("10250")
        .expect_stderr("socat")
        .expect_stderr("/etc/kubernetes")
        .expect_stderr("nothing was changed");
    outcome.expect_stderr("faults-0");
    assert!(!machines.get(0).test("test -e /var/lib/sealer") && !machines.get(1).test("test -e /var/lib/sealer"));
}

#[test]
fn what_kubeadm_stumbles_over_reaches_the_user() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("faults", &stage.node_image, 1);
    machines.get(0).set_password("root", PASSWORD);
    let clusterfile = program.home().join("Clusterfile");
    let text = format!(
        "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata:\n  name: faults\nspec:\n  image: {BASE}\n  hosts:\n    - ips: [{}]\n      roles: [master]\n  ssh:\n    passwd: {PASSWORD}\n---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\napiServer:\n  timeoutForControlPlane: 20s\n  extraArgs:\n    no-such-flag: \"1\"\n",
        machines.get(0).address
    );
    std::fs::write(&clusterfile, text).unwrap();
    let outcome = program.call(&["apply", "-f", &clusterfile.display().to_string()]);
    // The API server's own words, not "see above".
    outcome.expect_code(4).expect_stderr("kubeadm init").expect_stderr("unknown flag: --no-such-flag");
    program.succeed(&["delete", "-c", "faults"]);
}

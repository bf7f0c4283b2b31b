//! Hosts of a later release of the operating system: an engine that is too new, the image's own, and that release's.

use sealer_tests::stage::{APP, BASE};
use sealer_tests::{Inventory, Machine, Machines, Stage};

use crate::bare_metal::PASSWORD;
use crate::cluster::{expect_hello, expect_original_name, expect_ready, kubectl, step};

const CLUSTER: &str = "later";
/// What a containerd of the second generation says about itself.
const TOO_NEW: &str = "#!/bin/sh\necho containerd github.com/containerd/containerd/v2 v2.1.9 88bf19b\n";

#[test]
#[ignore = "long: `cargo xtask test --long`"]
fn hosts_of_debian_13_run_the_engines_of_both_releases() {
    let stage = step("both images are built", Stage::get);
    let later = &step("both images are built with the engine of Debian 13", Stage::later);
    let start = || Machines::start("later", &later.node_image, 2);
    let mut machines = step("two hosts of Debian 13 are up", start);
    machines.all().iter().for_each(|machine| machine.set_password("root", PASSWORD));

    step("containerd 2 under Kubernetes 1.20 is refused", || too_new(stage, machines.all()));
    step("the image's own engine runs on Debian 13", || cluster(stage, machines.all(), "containerd://1.6"));
    step("the engine of Debian 13 runs there, too", || cluster(later, machines.all(), "containerd://1.7"));
    let older = step("a host of Debian 12 is up", || machines.add(&stage.node_image));
    older.set_password("root", PASSWORD);
    step("the engine of Debian 13 does not run on Debian 12, and this is said", || too_old(later, older));
    step("hosts are killed, replaced and come back", || killed(&mut machines, &stage.node_image));
}

/// Preflight finds it; nothing was changed.
fn too_new(stage: &Stage, hosts: &[Machine]) {
    let [master, node] = hosts else { panic!("two hosts") };
    node.feed("cat > /usr/local/bin/containerd && chmod +x /usr/local/bin/containerd", TOO_NEW);
    let outcome = stage.program().call(&run(APP, &[master, node]));
    let address = node.address.to_string();
    outcome.expect_code(3).expect_stderr(&address).expect_stderr("cannot use containerd 2.1.9 of this host");
    assert!(!node.test("test -e /var/lib/sealer"), "{} was changed", node.name);
    node.shell("rm /usr/local/bin/containerd");
}

/// Makes a cluster with its application and deletes it; the hosts are then as they were.
fn cluster(stage: &Stage, hosts: &[Machine], engine: &str) {
    let [master, node] = hosts else { panic!("two hosts") };
    let program = stage.program();
    let before = [master, node].map(Inventory::of);
    step("create", || program.succeed(&run(APP, &[master, node])));
    let shell = |script: &str| master.shell(script);
    expect_ready(&shell, 2);
    let nodes = kubectl(&shell, "get node -o wide");
    eprintln!("{}", nodes.trim_end());
    assert_eq!(nodes.matches(engine).count(), 2, "{nodes}");
    assert_eq!(nodes.matches("Debian GNU/Linux 13").count(), 2, "{nodes}");
    step("the application answers", || expect_hello(&shell, node.address));
    expect_original_name(&shell);
    step("delete", || program.succeed(&["delete", "--yes", "-c", CLUSTER]));
    assert!(!program.state(CLUSTER).exists());
    expect_as_before(&before, &[master, node]);
}

/// The reason is the loader's own, and the host can be cleaned.
fn too_old(later: &Stage, host: &Machine) {
    let program = later.program();
    let before = [Inventory::of(host)];
    let outcome = program.call(&run(BASE, &[host]));
    outcome.expect_code(4).expect_stderr("do not run on this host, which has glibc 2.36").expect_stderr("GLIBC_2.38");
    program.succeed(&["delete", "--yes", "-c", CLUSTER]);
    expect_as_before(&before, &[host]);
}

/// What stories about lost hosts rely on.
fn killed(machines: &mut Machines, image: &str) {
    let known: Vec<_> = machines.all().iter().map(|machine| machine.address).collect();
    let lost = &machines.all()[2];
    lost.shell("echo kept > /etc/kept");
    lost.kill();
    assert!(!lost.test("true"), "{} is still there", lost.name);
    let fresh = machines.add(image).address;
    assert!(!known.contains(&fresh), "{fresh} is the address of another");
    let lost = &machines.all()[2];
    lost.power_on();
    assert_eq!(lost.shell("cat /etc/kept; hostname -I").trim(), format!("kept\n{}", known[2]));
}

/// A command that makes a cluster of a master and nodes.
fn run(image: &str, hosts: &[&Machine]) -> Vec<String> {
    let mut arguments = ["run", image, "-p", PASSWORD, "--cluster-name", CLUSTER].map(String::from).to_vec();
    let addresses = hosts.iter().map(|host| host.address.to_string());
    let flags = ["-m", "-n"].into_iter().zip(addresses);
    arguments.extend(flags.flat_map(|(flag, address)| [flag.to_owned(), address]));
    arguments
}

fn expect_as_before(before: &[Inventory], hosts: &[&Machine]) {
    let changes = |(before, host): (&Inventory, &&Machine)| {
        let changes = before.changes(&Inventory::of(host));
        changes.into_iter().map(|change| format!("{}: {change}", host.name)).collect::<Vec<_>>()
    };
    let changes: Vec<String> = before.iter().zip(hosts).flat_map(changes).collect();
    assert!(changes.is_empty(), "hosts are not as they were:\n{}", changes.join("\n"));
}

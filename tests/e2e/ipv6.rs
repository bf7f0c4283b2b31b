//! Two hosts that are known by IPv6 addresses are a cluster whose pods, services and virtual address are IPv6.

use sealer_tests::stage::APP;
use sealer_tests::{Inventory, Machines, Stage};

use crate::bare_metal::PASSWORD;
use crate::cluster::{expect_hello, expect_original_name, expect_ready, kubectl, step};

/// The virtual address of all API servers, as the kernel and the Kubernetes of a node write it.
const VIRTUAL: &str = "1248:4003:10bb:6a01:83b9:6360:c66d:2";

#[test]
#[ignore = "long: `cargo xtask test --long`"]
fn hosts_with_ipv6_addresses_are_a_cluster() {
    let stage = step("both images are built", Stage::get);
    let machines = &step("two hosts are up", || Machines::start_ipv6("six", &stage.node_image, 2));
    machines.all().iter().for_each(|machine| machine.set_password("root", PASSWORD));
    let (master, node, program) = (machines.get(0), machines.get(1), &stage.program());
    assert!(master.address.is_ipv6() && node.address.is_ipv6());
    let before = [master, node].map(Inventory::of);
    let shell = |script: &str| master.shell(script);

    let (first, second) = (master.address.to_string(), node.address.to_string());
    let hosts = ["-m", &first, "-n", &second, "-p", PASSWORD, "--cluster-name", "six"];
    let networks = ["-e", "PodCIDR=fd00:100::/56", "-e", "SvcCIDR=fd00:96::/112"];
    let run = [&["run", APP][..], &hosts, &networks].concat();
    step("create", || program.succeed(&run));
    expect_ready(&shell, 2);
    let addresses =
        kubectl(&shell, "get node -o jsonpath='{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}'");
    assert_eq!(addresses, format!("{first} {second}"));
    let services = kubectl(&shell, "get service kubernetes -o jsonpath='{.spec.clusterIP}'");
    assert_eq!(services, "fd00:96::1");
    step("the application answers through services of IPv6", || expect_hello(&shell, node.address));
    expect_original_name(&shell);

    // The node asks the API server through its own kernel, and goes on when the daemon is killed.
    let status = node.shell("/var/lib/sealer/bin/sealer lvscare status -o json");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["service"], format!("[{VIRTUAL}]:6443"));
    assert_eq!(status[0]["servers"][0]["state"], "up");
    let healthz = "curl --silent --max-time 5 --cacert /var/lib/sealer/data/six/certs/ca.crt https://apiserver.cluster.local:6443/healthz";
    let by_address = format!(
        "curl --silent --max-time 5 --cacert /var/lib/sealer/data/six/certs/ca.crt https://[{VIRTUAL}]:6443/healthz"
    );
    let asked = node.shell(&format!(
        "systemctl kill --signal KILL sealer-lvscare; {healthz}; {by_address}; getent ahostsv6 apiserver.cluster.local"
    ));
    assert!(asked.starts_with(&format!("okok{VIRTUAL} ")), "{asked}");

    assert!(program.succeed(&run).contains("nothing to do"));
    step("deleted", || program.succeed(&["delete", "-c", "six", "--yes"]));
    for (machine, before) in [master, node].into_iter().zip(&before) {
        let changes = before.changes(&Inventory::of(machine));
        assert!(changes.is_empty(), "{} is not as it was:\n{}", machine.name, changes.join("\n"));
    }
}

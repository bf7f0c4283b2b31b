//! `--provider CONTAINER` makes a cluster with an application, and takes everything away again.

use std::net::IpAddr;

use sealer_tests::Stage;
use sealer_tests::machines::docker;
use sealer_tests::stage::APP;
use serde_json::Value;

use crate::cluster::{expect_hello, expect_original_name, expect_ready};

#[test]
fn one_command_makes_a_cluster_and_one_takes_it_away() {
    let stage = Stage::get();
    let program = stage.program();
    let arguments = [
        "run",
        APP,
        "--provider",
        "CONTAINER",
        "--masters",
        "1",
        "--nodes",
        "1",
        "--cluster-name",
        "e2e-container",
        "-o",
        "json",
    ];

    let applied: Value = serde_json::from_str(&program.succeed(&arguments)).unwrap();
    assert_eq!(applied["outcome"], "changed");
    let shell = |script: &str| docker(&["exec", "e2e-container-master-0", "sh", "-c", script]);
    expect_ready(&shell, 2);
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        "e2e-container-node-0",
    ]);
    expect_hello(&shell, address.trim().parse::<IpAddr>().unwrap());
    expect_original_name(&shell);

    // What is kept for the operator is for the operator only.
    for name in ["Clusterfile", "kubeconfig", "journal.jsonl"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(program.state("e2e-container").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    let again: Value = serde_json::from_str(&program.succeed(&arguments)).unwrap();
    assert_eq!(again["outcome"], "unchanged");
    assert_eq!(again["done"], 0);

    // Counts go up and down; the machine that left is given back.
    program.succeed(&["scale-up", "-c", "e2e-container", "--nodes", "1"]);
    expect_ready(&shell, 3);
    let machines = || docker(&["ps", "-q", "--filter", "label=io.sealer.cluster=e2e-container"]).lines().count();
    assert_eq!(machines(), 3);
    program.succeed(&["delete", "-c", "e2e-container", "--nodes", "1", "--yes"]);
    expect_ready(&shell, 2);
    assert_eq!(machines(), 2);

    program.succeed(&["delete", "--yes", "-c", "e2e-container"]);
    for kind in ["container", "network", "volume"] {
        let list = if kind == "container" { vec!["ps", "-aq"] } else { vec![kind, "ls", "-q"] };
        let left = docker(&[list, vec!["--filter", "label=io.sealer.cluster=e2e-container"]].concat());
        assert_eq!(left.trim(), "", "{kind}s that are left");
    }
    assert!(!program.state("e2e-container").exists());
}

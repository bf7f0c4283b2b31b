//! `--masters 3 --nodes 3`: a provider makes the machines of a cluster with several masters, and takes back those that leave.

use std::time::Instant;

use sealer_tests::Stage;
use sealer_tests::machines::docker;
use sealer_tests::stage::APP;

use crate::cluster::{expect_hello, expect_original_name, expect_ready, step};

const CLUSTER: &str = "counted";

#[test]
#[ignore = "long: `cargo xtask test --long`"]
fn three_masters_and_three_nodes_come_and_go() {
    let stage = step("both images are built", Stage::get);
    let program = stage.program();
    let run = ["run", APP, "--provider", "CONTAINER", "--masters", "3", "--nodes", "3", "--cluster-name", CLUSTER];
    let shell = |script: &str| docker(&["exec", "counted-master-0", "sh", "-c", script]);
    step("three masters and three nodes", || program.succeed(&run));
    expect_ready(&shell, 6);
    let address = shell("hostname -i");
    expect_hello(&shell, address.trim().parse().unwrap());
    expect_original_name(&shell);
    let started = Instant::now();
    assert!(program.succeed(&run).contains("nothing to do"));
    eprintln!("     nothing to do for 6 hosts: {:.1} s", started.elapsed().as_secs_f64());

    let fewer = ["delete", "-c", CLUSTER, "--masters", "2", "--nodes", "2", "--yes"];
    step("two masters and two nodes leave", || program.succeed(&fewer));
    expect_ready(&shell, 2);
    assert_eq!(machines(), 2);
    step("two masters come back", || program.succeed(&["scale-up", "-c", CLUSTER, "--masters", "2"]));
    expect_ready(&shell, 4);
    step("deleted", || program.succeed(&["delete", "--yes", "-c", CLUSTER]));
    assert_eq!(machines(), 0);
    assert!(!program.state(CLUSTER).exists());
}

fn machines() -> usize {
    docker(&["ps", "-aq", "--filter", "label=io.sealer.cluster=counted"]).lines().count()
}

//! After `kill -9` at several points, does the same command finish the job?

use std::time::{Duration, Instant};

use sealer_tests::stage::BASE;
use sealer_tests::{Machines, Program, Stage};

use crate::cluster::{expect_ready, finished_steps};

const PASSWORD: &str = "secret";

/// Runs until the journal holds this many steps, then kills without warning.
fn run_and_kill(program: &Program, arguments: &[&str], steps: usize) {
    let mut child = program.start(arguments);
    let deadline = Instant::now() + Duration::from_secs(180);
    while finished_steps(program, "resume") < steps {
        assert!(child.try_wait().unwrap().is_none(), "ended before step {steps}: {}", program.background_log());
        assert!(Instant::now() < deadline, "no {steps} steps in time: {}", program.background_log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: the program has no chance to put anything in order.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_same_command_finishes_what_was_killed() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("resume", &stage.node_image, 2);
    for index in 0..2 {
        machines.get(index).set_password("root", PASSWORD);
    }
    let addresses = [machines.get(0).address.to_string(), machines.get(1).address.to_string()];
    let arguments = ["run", BASE, "-m", &addresses[0], "-n", &addresses[1], "-p", PASSWORD, "--cluster-name", "resume"];

    let mut steps = 0;
    for more in [1, 4, 4, 4] {
        steps = finished_steps(&program, "resume").max(steps) + more;
        run_and_kill(&program, &arguments, steps);
    }
    let outcome = program.call(&arguments);
    outcome.expect_code(0).expect_stderr("resuming");
    expect_ready(&|script: &str| machines.get(0).shell(script), 2);

    program.succeed(&["delete", "-c", "resume"]);
}

#[test]
fn a_half_made_cluster_can_be_deleted() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("resume", &stage.node_image, 1);
    machines.get(0).set_password("root", PASSWORD);
    let address = machines.get(0).address.to_string();
    let arguments = ["run", BASE, "-m", &address, "-p", PASSWORD, "--cluster-name", "resume"];

    run_and_kill(&program, &arguments, 5);
    program.succeed(&["delete", "-c", "resume"]);
    assert!(!program.state("resume").exists());
    assert!(!machines.get(0).test("test -e /etc/kubernetes || test -e /var/lib/sealer/data/resume || pgrep kubelet"));
    // And the host can be used again.
    program.succeed(&arguments);
    expect_ready(&|script: &str| machines.get(0).shell(script), 1);
}

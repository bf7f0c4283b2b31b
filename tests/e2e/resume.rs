//! After `kill -9` at several points, the same command finishes the job, and `delete` takes away what is there.

use std::time::{Duration, Instant};

use sealer_tests::stage::{APP, BASE};
use sealer_tests::{Program, Stage};

use crate::bare_metal::{Hosts, PASSWORD};
use crate::cluster::{expect_ready, finished_steps};

/// Runs until the journal of a cluster holds this many steps, then kills without warning.
pub(crate) fn run_and_kill(program: &Program, cluster: &str, arguments: &[&str], steps: usize) {
    let mut child = program.start(arguments);
    let deadline = Instant::now() + Duration::from_secs(180);
    while finished_steps(program, cluster) < steps {
        assert!(child.try_wait().unwrap().is_none(), "ended before step {steps}: {}", program.background_log());
        assert!(Instant::now() < deadline, "no {steps} steps in time: {}", program.background_log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: the program has no chance to put anything in order.
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) fn killed_and_finished(program: &Program, hosts: &Hosts) {
    let addresses = hosts.both().map(|machine| machine.address.to_string());
    let arguments = ["run", APP, "-m", &addresses[0], "-n", &addresses[1], "-p", PASSWORD, "--cluster-name", "bare"];

    let mut steps = 0;
    for more in [1, 4, 4, 4] {
        steps = finished_steps(program, "bare").max(steps) + more;
        run_and_kill(program, "bare", &arguments, steps);
    }
    let outcome = program.call(&arguments);
    outcome.expect_code(0).expect_stderr("resuming");
    expect_ready(&|script: &str| hosts.master().shell(script), 2);
}

/// That its host can be used again is what the next cluster shows.
pub(crate) fn partially_created(stage: &Stage, hosts: &Hosts) {
    let program = stage.program();
    let master = hosts.master();
    let address = master.address.to_string();
    let arguments = ["run", BASE, "-m", &address, "-p", PASSWORD, "--cluster-name", "resume"];

    run_and_kill(&program, "resume", &arguments, 5);
    program.succeed(&["delete", "--yes", "-c", "resume"]);
    assert!(!program.state("resume").exists());
    assert!(!master.test("test -e /etc/kubernetes || test -e /var/lib/sealer/data/resume || pgrep kubelet"));
}

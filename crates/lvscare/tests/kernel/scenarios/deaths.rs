//! Scenarios of servers that die.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Actor, Plane, Stage, TIMEOUT, clock, figure};

/// A server that refuses is out within so many milliseconds after its death.
const REFUSED: u64 = 300;
/// A server that is silent is out within so many milliseconds after it fell silent.
const SILENT: u64 = 1000;

/// The process of a server is killed, and started again later.
pub fn killed(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    assert_eq!(stage.seen(), stage.set(&[1, 2, 3]));
    let (fault, calls) = stage.calls_around(|stage| stage.actor(2).kill(), |stage| stage.await_seen(&[1, 3]));
    let bound = stage.bound(REFUSED);
    out_within(daemon.await_line(0, "Down", TIMEOUT), fault, bound);
    figure(&calls.summary(fault));
    assert!(calls.trouble_after(fault) < bound, "{:#?}", calls.failed());
    assert!(calls.longest() < stage.bound(1000), "nobody waits for a server that is gone: {:?}", calls.longest());

    let client = stage.client();
    let back = Instant::now();
    stage.serve(2, &[]);
    stage.await_seen(&[1, 2, 3]);
    figure(&format!("back after {} ms", back.elapsed().as_millis()));
    std::thread::sleep(Duration::from_millis(500));
    let calls = client.stop();
    assert!(calls.failed().is_empty(), "coming back costs nothing: {:#?}", calls.failed());
    assert_eq!(calls.servers().len(), 3, "all serve again");
    lines_are(&daemon, &["Down", "Up"]);
}

/// A server stops working with all its connections open, and goes on later.
pub fn frozen(plane: Plane, six: bool) {
    silent(plane, six, |stage| stage.actor(2).signal(Signal::SIGSTOP), |stage| stage.actor(2).signal(Signal::SIGCONT));
}

/// The cable of a server is pulled, and put in again later.
pub fn black_hole(plane: Plane, six: bool) {
    silent(plane, six, |stage| stage.world.wire(2, false), |stage| stage.world.wire(2, true));
}

fn silent(plane: Plane, six: bool, hurt: fn(&mut Stage), fix: fn(&mut Stage)) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let held = stage.hold(6);
    let (fault, calls) = stage.calls_around(hurt, |stage| stage.await_seen(&[1, 3]));
    let bound = stage.bound(SILENT);
    out_within(daemon.await_line(0, "Down", TIMEOUT), fault, bound);
    figure(&calls.summary(fault));
    assert!(calls.trouble_after(fault) < bound, "{:#?}", calls.failed());
    // Kernels without CONFIG_INET_DIAG_DESTROY, such as the one in user-mode Linux, cannot close sockets of others: there
    // a client that only waits has to wait for its own time-out.
    let bound = bound + Duration::from_millis(500);
    assert!(
        plane.is_slow() || calls.longest() < bound,
        "who waits for it hears that it is gone: {:?}",
        calls.longest()
    );
    fix(&mut stage);
    stage.await_seen(&[1, 2, 3]);
    let looked = held.look();
    for place in [1, 3] {
        let name = format!("s{place}");
        assert!(looked.iter().filter(|(server, _)| *server == name).all(|(_, alive)| *alive), "{looked:?}");
    }
    assert!(looked.iter().filter(|(server, _)| server == "s2").all(|(_, alive)| !*alive), "cut: {looked:?}");
    lines_are(&daemon, &["Down", "Up"]);
}

/// A server answers its health check with 500, and better later.
pub fn server_errors(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let (fault, calls) =
        stage.calls_around(|stage| stage.actor(2).tell("status 500"), |stage| stage.await_seen(&[1, 3]));
    figure(&calls.summary(fault));
    out_within(daemon.await_line(0, "Down", TIMEOUT), fault, stage.bound(1500));
    assert!(daemon.lines().iter().any(|line| line.contains("500")), "{:#?}", daemon.lines());
    stage.actor(2).tell("status 200");
    stage.await_seen(&[1, 2, 3]);
    lines_are(&daemon, &["Down", "Up"]);
}

/// A server refuses and accepts in turn, every 200 ms, for some seconds.
pub fn flapping(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let (fault, calls) = stage.calls_around(
        |stage| {
            for _ in 0..12 {
                for order in ["close", "open"] {
                    stage.actor(2).tell(order);
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        },
        |stage| stage.await_seen(&[1, 2, 3]),
    );
    figure(&calls.summary(fault));
    let turns = daemon.lines().iter().filter(|line| line.starts_with("Down") || line.starts_with("Up")).count();
    figure(&format!("{turns} turns told while it refused and accepted 12 times each"));
    assert!(turns <= 16, "{:#?}", daemon.lines());
    let share = calls.failed().len() * 100 / calls.0.len();
    assert!(share < 20, "{share} % of the calls failed");
    assert!(calls.silence() < stage.bound(300), "the others serve all the time: {:?}", calls.silence());
}

/// Every server stops; then one goes on.
pub fn all_down(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    for place in 1..=3 {
        stage.actor(place).signal(Signal::SIGSTOP);
    }
    daemon.await_line(0, "AllDown", TIMEOUT);
    std::thread::sleep(Duration::from_secs(1));
    let kept = stage.seen();
    assert!(!kept.is_empty(), "the last good set stays");
    figure(&format!("{} servers stay in while all are dead", kept.len()));
    stage.actor(3).signal(Signal::SIGCONT);
    stage.await_seen(&[3]);
    let client = stage.client();
    std::thread::sleep(Duration::from_millis(500));
    let calls = client.stop();
    assert!(calls.failed().is_empty(), "the one that lives serves: {:#?}", calls.failed());
    for place in 1..=2 {
        stage.actor(place).signal(Signal::SIGCONT);
    }
    stage.await_seen(&[1, 2, 3]);
}

fn out_within(told: Instant, fault: Instant, bound: Duration) {
    let after = clock::between(fault, told);
    figure(&format!("out {} ms after the fault", after.as_millis()));
    assert!(after < bound, "{after:?} is not within {bound:?}");
}

/// Just these lines were told, each about one change.
pub fn lines_are(daemon: &Actor, expected: &[&str]) {
    daemon.await_lines(TIMEOUT, |lines| lines.len() >= expected.len());
    let lines = daemon.lines();
    let told: Vec<&str> = lines.iter().map(|line| line.split([' ', '{']).next().unwrap_or_default()).collect();
    assert_eq!(told, expected, "{lines:#?}");
}

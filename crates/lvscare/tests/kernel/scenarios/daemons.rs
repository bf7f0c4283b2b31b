//! Scenarios of daemons that come, go and change what they want.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::deaths::lines_are;
use crate::harness::{Plane, Stage, TIMEOUT, clock, figure, view};

/// The daemon is killed; one with another list of servers takes over.
pub fn killed_and_started_with_another_list(plane: Plane, six: bool) {
    let mut stage = Stage::empty(plane, six, 4);
    for place in 1..=4 {
        stage.serve(place, &[]);
    }
    let mut daemon = stage.care(&[1, 2, 3]);
    let held = stage.hold(9);
    let client = stage.client();
    std::thread::sleep(Duration::from_millis(300));
    daemon.kill();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(stage.seen(), stage.set(&[1, 2, 3]), "rules outlive their daemon");
    let _daemon = stage.care(&[1, 2, 4]);
    assert_eq!(stage.seen(), stage.set(&[1, 2, 4]));
    std::thread::sleep(Duration::from_millis(300));
    let calls = client.stop();
    // Calls on their way through the server that left may be cut with it.
    assert!(calls.failed_together(), "{:#?}", calls.failed());
    assert_eq!(calls.servers().len(), 4);
    let looked = held.look();
    assert!(looked.iter().filter(|(server, _)| server != "s3").all(|(_, alive)| *alive), "{looked:?}");
    assert!(looked.iter().filter(|(server, _)| server == "s3").all(|(_, alive)| !*alive), "{looked:?}");
}

/// The file with the list is written anew while the daemon runs.
pub fn list_changed(plane: Plane, six: bool) {
    let mut stage = Stage::empty(plane, six, 4);
    for place in 1..=4 {
        stage.serve(place, &[]);
    }
    let daemon = stage.care(&[1, 2, 3]);
    let held = stage.hold(9);
    let client = stage.client();
    stage.configure(&[1, 2, 4], &json!({ "scheme": "http" }));
    let took = stage.await_seen(&[1, 2, 4]);
    figure(&format!("taken up {} ms after it was written", took.as_millis()));
    std::thread::sleep(Duration::from_millis(300));
    let calls = client.stop();
    assert!(calls.failed_together(), "{:#?}", calls.failed());
    let looked = held.look();
    assert!(looked.iter().filter(|(server, _)| server != "s3").all(|(_, alive)| *alive), "{looked:?}");
    daemon.await_line(0, "Reloaded", TIMEOUT);
    assert!(!daemon.lines().iter().any(|line| line.starts_with("Down")), "{:#?}", daemon.lines());
}

/// The daemon is asked to stop.
pub fn stopped(plane: Plane, six: bool) {
    let stage = Stage::new(plane, six);
    let mut daemon = stage.care(&[1, 2, 3]);
    let client = stage.client();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended(TIMEOUT), "{:#?}", daemon.lines());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(stage.seen(), stage.set(&[1, 2, 3]), "rules outlive their daemon");
    let calls = client.stop();
    assert!(calls.failed().is_empty(), "{:#?}", calls.failed());
}

/// The rules are put right once; one server is dead.
pub fn once(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    stage.actor(2).kill();
    stage.configure(&[1, 2, 3], &json!({ "scheme": "http" }));
    let mut daemon = stage.daemon(&["once"]);
    assert!(daemon.ended(TIMEOUT), "{:#?}", daemon.lines());
    assert_eq!(stage.seen(), stage.set(&[1, 3]));
    let client = stage.client();
    std::thread::sleep(Duration::from_millis(500));
    let calls = client.stop();
    assert!(calls.failed().is_empty() && calls.servers().len() == 2, "{:#?}", calls.failed());
    lines_are(&daemon, &["Down", "Started"]);
}

/// The rules are to be put right once, and somebody has enough of waiting for a server.
pub fn once_stopped(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    stage.actor(2).signal(Signal::SIGSTOP);
    stage.configure(&[1, 2, 3], &json!({ "scheme": "http", "timeout": "15s" }));
    let mut daemon = stage.daemon(&["once"]);
    std::thread::sleep(Duration::from_secs(1));
    let start = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended(TIMEOUT), "{:#?}", daemon.lines());
    let took = clock::since(start);
    assert!(took < stage.bound(1000), "it ended after {took:?}");
    assert_eq!(stage.seen(), stage.set(&[]), "nothing was done");
    stage.actor(2).signal(Signal::SIGCONT);
}

/// Everything is taken away after the daemon stopped, and is as it was before it came.
pub fn cleaned(plane: Plane, six: bool) {
    let stage = Stage::new(plane, six);
    let host = stage.world.host();
    let before = (view::everything(plane, &host), view::surroundings(plane, &host));
    // Nor is it a failure to clean where no daemon ever was.
    stage.clean();
    let mut daemon = stage.care(&[1, 2, 3]);
    assert_ne!(view::everything(plane, &host), before.0);
    daemon.kill();
    stage.clean();
    assert_eq!(view::everything(plane, &host), before.0);
    assert_eq!(view::surroundings(plane, &host), before.1);
    // Cleaning what is clean is no failure.
    stage.clean();
}

/// Nothing happens for a while, under load.
pub fn quiet(plane: Plane, six: bool) {
    let stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let client = stage.client();
    std::thread::sleep(Duration::from_secs(10));
    let calls = client.stop();
    figure(&format!("{} calls in 10 s, the slowest took {} ms", calls.0.len(), calls.longest().as_millis()));
    assert!(calls.failed().is_empty(), "{:#?}", calls.failed());
    lines_are(&daemon, &[]);
}

/// The virtual address is kept on a link of its own.
pub fn link(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    stage.addressing = "lvscare";
    let host = stage.world.host();
    let before = view::surroundings(plane, &host);
    let mut daemon = stage.care(&[1, 2, 3]);
    assert!(view::surroundings(plane, &host).contains("lvscare"));
    let client = stage.client();
    std::thread::sleep(Duration::from_secs(1));
    let calls = client.stop();
    assert!(calls.failed().is_empty() && calls.servers().len() == 3, "{:#?}", calls.failed());
    daemon.kill();
    stage.clean();
    assert_eq!(view::surroundings(plane, &host), before);
}

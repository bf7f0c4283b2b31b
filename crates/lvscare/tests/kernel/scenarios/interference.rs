//! Scenarios of other programs that change our rules, and of other programs' rules.

use std::time::Instant;

use crate::harness::{Plane, Stage, TIMEOUT, clock, figure, run_in, view};

/// One tick in milliseconds, and time for a look.
const TICK: u64 = 700;

/// Somebody flushes all rules.
pub fn rules_flushed(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let held = stage.hold(6);
    let host = stage.world.host();
    let (fault, calls) = stage.calls_around(|_| view::flush(plane, &host), |stage| stage.await_seen(&[1, 2, 3]));
    let repaired = clock::between(fault, daemon.await_line(0, "Repaired", TIMEOUT));
    figure(&format!("repaired {} ms after the flush began", repaired.as_millis()));
    figure(&calls.summary(fault));
    assert!(repaired < stage.bound(TICK), "{repaired:?}");
    assert!(calls.trouble_after(fault) < stage.bound(TICK), "{:#?}", calls.failed());
    // What a server sends while there are no rules reaches no client: one that only waits for it waits until its own
    // time-out. Nobody tells it, since no segments are sent in the servers' name any more (decision 0052).
    figure(&format!("the longest wait took {} ms", calls.longest().as_millis()));
    let looked = held.look();
    assert!(plane.is_slow() || looked.iter().all(|(_, alive)| *alive), "who had no need of rules goes on: {looked:?}");
    assert!(!daemon.lines().iter().any(|line| line.starts_with("Down")), "{:#?}", daemon.lines());
}

/// Somebody takes away what makes the virtual address usable.
pub fn address_taken_away(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let daemon = stage.care(&[1, 2, 3]);
    let host = stage.world.host();
    let service = stage.service().ip().to_string();
    let (fault, calls) = stage.calls_around(
        |_| {
            let family = if six { "-6" } else { "-4" };
            run_in(&host, &["ip", family, "route", "flush", "table", "all", "exact", &service]);
        },
        |_| daemon.await_line(0, "Repaired", TIMEOUT),
    );
    figure(&calls.summary(fault));
    assert!(calls.trouble_after(fault) < stage.bound(TICK), "{:#?}", calls.failed());
}

/// Rules of others live through everything a daemon does.
pub fn others_untouched(plane: Plane, six: bool) {
    let mut stage = Stage::new(plane, six);
    let host = stage.world.host();
    view::foreign(plane, &host);
    let before = view::everything(plane, &host);
    let mut daemon = stage.care(&[1, 2, 3]);
    stage.actor(2).kill();
    stage.await_seen(&[1, 3]);
    stage.serve(2, &[]);
    stage.await_seen(&[1, 2, 3]);
    let with_ours = view::everything(plane, &host);
    let missing: Vec<&str> = before.lines().filter(|line| !with_ours.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    daemon.kill();
    let start = Instant::now();
    stage.clean();
    figure(&format!("clean took {} ms", start.elapsed().as_millis()));
    assert_eq!(view::everything(plane, &host), before);
}

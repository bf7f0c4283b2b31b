//! Drops runs at any moment, also between calls.

use std::time::Duration;

use cloud_double::{Consistency, Fault, FaultKind, Options};
use clusterfile::Cluster;
use infra_provider::Result;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::scene::{Scene, cloud, wanted};

/// Runs in paused time.
fn in_paused_time(act: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(act);
}

/// Cancels a creation twice, at these milliseconds, and finishes it after a while.
async fn cancelled(first: u64, second: u64, idle: u64, grown: bool) {
    let scene = Scene::new(cloud());
    let target = wanted(3, if grown { 5 } else { 3 });
    for (after, asked) in [(first, wanted(3, 3)), (second, target.clone())] {
        let _ = timeout(Duration::from_millis(after), scene.provision(&asked)).await;
        sleep(Duration::from_millis(idle)).await;
    }
    let made = scene.provision(&target).await.unwrap();
    assert_eq!(scene.double.instances_made(), made.hosts.len(), "{}", scene.log().join("\n"));
    assert_eq!(made.hosts.len(), if grown { 8 } else { 6 });
    let _ = timeout(Duration::from_millis(second), scene.delete(&made)).await;
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after cancellations");
}

/// Cancels a creation and then frees it.
async fn given_up(after: u64, known: bool) {
    let mut scene = Scene::new(cloud());
    let asked = wanted(3, 3);
    let _ = timeout(Duration::from_millis(after), scene.provision(&asked)).await;
    if known {
        let kept: Cluster = scene.saved().unwrap_or(asked);
        scene.delete(&kept).await.unwrap();
    } else {
        scene.lose_state();
        scene.find_and_delete(&asked.name).await.unwrap();
    }
    scene.assert_empty("after giving up");
}

/// Several calls go wrong in several ways, and the run is cancelled on top of it; whoever repeats it gets there.
async fn chaos(faults: Vec<(usize, FaultKind)>, cancelled: u64, consistency: Consistency) {
    let scene = Scene::new(Options { consistency, ..cloud() });
    let said = format!("{faults:?}, cancelled after {cancelled} ms, {consistency:?}");
    for (nth, kind) in faults {
        scene.double.fail(Fault::at_call(nth, kind));
    }
    let target = wanted(3, 2);
    let _ = timeout(Duration::from_millis(cancelled), scene.provision(&target)).await;
    let made = repeated(|| scene.provision(&target)).await;
    assert_eq!((made.hosts.len(), scene.double.instances_made()), (5, 5), "{said}\n{}", scene.log().join("\n"));
    repeated(|| scene.delete(&made)).await;
    scene.assert_empty(&said);
}

/// Does it again until it succeeds, a few times.
async fn repeated<T, F: Future<Output = Result<T>>>(act: impl Fn() -> F) -> T {
    for _ in 0..4 {
        if let Ok(done) = act().await {
            return done;
        }
    }
    act().await.unwrap()
}

fn fault() -> impl Strategy<Value = (usize, FaultKind)> {
    let kind = prop_oneof![
        Just(FaultKind::ErrorAfter),
        Just(FaultKind::LostReply),
        Just(FaultKind::Reset),
        Just(FaultKind::Error { status: 503, code: "ServiceUnavailable".to_owned() }),
        Just(FaultKind::Error { status: 409, code: "TaskConflict".to_owned() }),
        Just(FaultKind::Error { status: 403, code: "Forbidden.RAM".to_owned() }),
        (1_u64..20).prop_map(|wait| FaultKind::Throttled(Duration::from_secs(wait))),
        (1_u64..40).prop_map(|wait| FaultKind::SlowBody(Duration::from_secs(wait))),
        (1_u32..3).prop_map(FaultKind::Partial),
        Just(FaultKind::BindFails),
    ];
    (1_usize..45, kind)
}

fn consistency() -> impl Strategy<Value = Consistency> {
    let lag = || (0_u64..12).prop_map(Duration::from_secs);
    (lag(), lag(), lag(), lag()).prop_map(|(missing, without_interfaces, without_address, repeated_address)| {
        Consistency { missing, without_interfaces, without_address, repeated_address }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cancelled_creation_is_finished(first in 0_u64..20_000, second in 0_u64..20_000, idle in 0_u64..30_000, grown: bool) {
        in_paused_time(cancelled(first, second, idle, grown));
    }

    #[test]
    fn a_cancelled_creation_is_freed(after in 0_u64..20_000, known: bool) {
        in_paused_time(given_up(after, known));
    }

    #[test]
    fn several_mishaps_at_once_are_survived(
        faults in proptest::collection::vec(fault(), 0..6),
        after in 0_u64..30_000,
        lag in consistency(),
    ) {
        in_paused_time(chaos(faults, after, lag));
    }
}

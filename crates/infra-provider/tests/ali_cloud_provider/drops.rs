//! What if the run is cancelled at any moment, also between calls?

use std::time::Duration;

use clusterfile::Cluster;
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
        let kept: Cluster = scene.kept().unwrap_or(asked);
        scene.delete(&kept).await.unwrap();
    } else {
        scene.lose_state();
        scene.find_and_delete(&asked.name).await.unwrap();
    }
    scene.assert_empty("after giving up");
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
}

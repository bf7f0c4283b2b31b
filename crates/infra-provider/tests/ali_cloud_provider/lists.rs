//! Lets lists lag behind what was done.

use std::time::Duration;

use cloud_double::Consistency;

use crate::faults::cloud_with;
use crate::scene::{Scene, wanted};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every way to lag, for so long after the making of a machine.
fn lags(time: Duration) -> [Consistency; 4] {
    let none = Consistency::default();
    [
        Consistency { missing: time, ..none },
        Consistency { without_interfaces: time, ..none },
        Consistency { without_address: time, ..none },
        Consistency { repeated_address: time, ..none },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lags_is_asked_again_and_nothing_is_made_twice() {
    for consistency in [5, 14, 35].into_iter().flat_map(|time| lags(seconds(time))) {
        let scene = Scene::new(cloud_with(|options| options.consistency = consistency));
        let made = scene.provision(&wanted(3, 3)).await.unwrap();
        assert_eq!(scene.double.instances_made(), 6, "{consistency:?}: {}", scene.log().join("\n"));
        let again = scene.provision(&wanted(3, 3)).await.unwrap();
        assert_eq!(again.hosts, made.hosts, "{consistency:?}");
        scene.delete(&made).await.unwrap();
        scene.assert_empty(&format!("{consistency:?}"));
    }
}

/// Kills a creation right after the last order had its effect.
async fn killed_after_orders(consistency: Consistency) -> Scene {
    let scene = Scene::new(cloud_with(|options| options.consistency = consistency));
    let asked = wanted(3, 3);
    tokio::select! {
        _ = scene.provision(&asked) => panic!("it was not killed"),
        () = async {
            while scene.double.instances_made() < 6 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        } => {}
    }
    scene
}

#[tokio::test(start_paused = true)]
async fn machines_that_do_not_show_yet_are_not_made_again_after_a_kill() {
    for consistency in lags(seconds(20)) {
        let scene = killed_after_orders(consistency).await;
        let made = scene.provision(&wanted(3, 3)).await.unwrap();
        assert_eq!(scene.double.instances_made(), 6, "{consistency:?}: {}", scene.log().join("\n"));
        scene.delete(&made).await.unwrap();
        scene.assert_empty("after a kill with lagging lists");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_order_is_freed_also_when_it_shows_late() {
    let consistency = Consistency { missing: seconds(9), ..Consistency::default() };
    let scene = Scene::new(cloud_with(|options| options.consistency = consistency));
    let asked = wanted(3, 3);
    for after in 9..11 {
        scene.double.disconnect(cloud_double::Disconnect { after, effect: true });
        tokio::select! {
            _ = scene.provision(&asked) => {}
            () = scene.double.disconnected() => {}
        }
    }
    scene.double.reconnect();
    scene.delete(&scene.saved().unwrap_or(asked)).await.unwrap();
    tokio::time::sleep(seconds(60)).await;
    scene.assert_empty("after an unconfirmed order");
}

//! Tests of how soon rules that others changed are right again.

use super::*;
use crate::FOREIGN;

/// One interval with its jitter, and a little for the timers.
const TICK: Duration = Duration::from_millis(445);

/// Waits until the rules are as they were; panics when that takes longer than a tick.
async fn repaired(scene: &Scene, what: &str) {
    let begun = Instant::now();
    while scene.table.rules(service().address) != Some(rules(&[1, 2, 3])) {
        assert!(begun.elapsed() <= TICK, "{what}: {:?}", scene.table.rules(service().address));
        millis(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_others_change_is_right_after_one_tick() {
    type Interference = (&'static str, usize, fn(&mut Rules));
    let interferences: [Interference; 6] = [
        ("a server was removed", 1, |rules| rules.servers.retain(|address, _| *address != server(2))),
        ("a server was added", 1, |rules| rules.servers.extend([(server(9), 1)])),
        ("a weight was changed", 1, |rules| rules.servers.extend([(server(1), 0)])),
        ("a way of forwarding was changed", 1, |rules| {
            rules.servers.insert(server(1), FOREIGN);
        }),
        ("the scheduler was changed", 1, |rules| rules.service.scheduler = Scheduler::Other),
        ("the servers were removed", 3, |rules| rules.servers.clear()),
    ];
    for (phase, (what, changes, interference)) in interferences.into_iter().enumerate() {
        let scene = Scene::begin().await;
        millis(777 + 61 * phase as u64).await;
        scene.told();
        scene.table.interfere(|all| interference(all.get_mut(&service().address).unwrap()));
        repaired(&scene, what).await;
        millis(500).await;
        assert_eq!(scene.told(), [Event::Repaired { changes }], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_repaired_and_rules_of_others_are_left_alone() {
    let scene = Scene::begin().await;
    scene.told();
    let other: SocketAddr = "10.9.9.9:80".parse().unwrap();
    scene.table.interfere(|all| drop(all.insert(other, rules(&[7]))));
    scene.table.interfere(|all| drop(all.remove(&service().address)));
    repaired(&scene, "all was flushed").await;
    millis(500).await;
    assert_eq!(scene.told(), [Event::Repaired { changes: 4 }]);
    assert_eq!(scene.table.rules(other), Some(rules(&[7])));
}

#[tokio::test(start_paused = true)]
async fn a_flush_every_second_for_an_hour_is_repaired_each_time() {
    let scene = Scene::begin().await;
    for _ in 0..3600 {
        scene.table.interfere(|all| drop(all.remove(&service().address)));
        repaired(&scene, "flushed").await;
        millis(600).await;
    }
    assert_eq!(scene.handle.status().repairs, 3600);
    let told = scene.told().len();
    assert!((5..20).contains(&told), "{told} lines in an hour of interference");
}

#[tokio::test(start_paused = true)]
async fn a_failing_kernel_is_told_once_and_tried_again_at_every_tick() {
    let scene = Scene::begin().await;
    scene.told();
    scene.table.fail(Some("operation not permitted"));
    millis(5000).await;
    scene.switch.set(server(2), FakeBehavior::Refuse);
    millis(5000).await;
    let status = scene.handle.status();
    assert!((20..32).contains(&status.errors), "{} errors in 25 ticks", status.errors);
    let reason = "cannot read the rules of 10.103.97.2:6443: operation not permitted".to_owned();
    assert_eq!(status.failing.as_ref(), Some(&reason));
    let down = Event::Down { server: server(2), reason: "connection refused".to_owned() };
    assert_eq!(scene.told(), [Event::Failed { reason }, down]);
    scene.table.fail(None);
    let gap = scene.until(&[server(1), server(3)], TICK).await;
    assert!(gap.is_some(), "what could not be done is done");
    millis(10).await;
    assert_eq!(scene.told(), [Event::Recovered]);
    assert_eq!(scene.handle.status().failing, None);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_hangs_holds_up_no_check() {
    let scene = Scene::begin().await;
    scene.told();
    scene.table.delay(Duration::from_secs(3600));
    let checks = scene.switch.checks(server(1));
    millis(10_000).await;
    assert!(scene.switch.checks(server(1)) - checks >= 22);
    assert!(matches!(&scene.told()[..], [Event::Failed { reason }] if reason.contains("did not answer within 5s")));
    scene.table.delay(Duration::ZERO);
    millis(6000).await;
    assert_eq!(scene.told(), [Event::Recovered]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_kernel_gets_the_newest_state_in_the_end() {
    let scene = Scene::begin().await;
    scene.table.delay(Duration::from_millis(300));
    millis(1000).await;
    scene.switch.set(server(1), FakeBehavior::Refuse);
    millis(100).await;
    scene.switch.set(server(2), FakeBehavior::Refuse);
    let gap = scene.until(&[server(3)], Duration::from_millis(1900)).await;
    assert!(gap.is_some(), "{:?}", scene.servers());
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_fails_now_and_then_fills_no_log() {
    let scene = Scene::begin().await;
    scene.told();
    for tick in 0..1500 {
        scene.table.fail((tick % 2 == 0).then_some("device or resource busy"));
        millis(1200).await;
    }
    let told = scene.told();
    assert!(told.len() < 30, "{} lines in half an hour: {told:?}", told.len());
    scene.table.fail(Some("no such module"));
    millis(1_200_000).await;
    assert!(matches!(scene.told()[..], [Event::Failed { .. }]), "what lasts is told in the end");
}

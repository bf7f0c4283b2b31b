//! Tests of changes of what is wanted.

use super::*;
use crate::{Change, Unhealthy};

#[tokio::test(start_paused = true)]
async fn servers_that_stay_are_not_touched() {
    let scene = Scene::begin().await;
    scene.told();
    let before = scene.table.log().len();
    scene.want(desired(&[2, 3, 4])).unwrap();
    let gap = scene.until(&[server(2), server(3), server(4)], Duration::from_millis(100)).await;
    assert!(gap.is_some(), "{:?}", scene.servers());
    let mut changes: Vec<_> = scene.table.log()[before..].iter().map(|(_, change)| change.clone()).collect();
    changes.sort_by_key(|change| matches!(change, Change::RemoveServer(_)));
    assert_eq!(changes, [Change::SetServer(server(4), 1), Change::RemoveServer(server(1))]);
    let (added, removed) = (vec![server(4)], vec![server(1)]);
    assert_eq!(scene.told(), [Event::Reloaded { added, removed }, Event::Up { server: server(4) }]);
    millis(5000).await;
    let checks = scene.switch.checks(server(1));
    millis(5000).await;
    assert_eq!(scene.switch.checks(server(1)), checks, "a server that left is not checked");
}

#[tokio::test(start_paused = true)]
async fn a_new_server_is_checked_before_it_comes_in() {
    let scene = Scene::begin().await;
    scene.switch.set(server(4), FakeBehavior::Freeze);
    scene.switch.set(server(5), FakeBehavior::Refuse);
    scene.want(desired(&[1, 2, 3, 4, 5])).unwrap();
    for _ in 0..2000 {
        millis(1).await;
        assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
    }
    scene.switch.set(server(4), well(5));
    assert!(scene.until(&[1, 2, 3, 4].map(server), Duration::from_secs(2)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn when_all_servers_are_replaced_the_old_ones_stay_until_a_new_one_answers() {
    let scene = Scene::begin().await;
    scene.switch.set(server(4), well(100));
    scene.switch.set(server(5), FakeBehavior::Freeze);
    scene.want(desired(&[4, 5])).unwrap();
    for _ in 0..95 {
        millis(1).await;
        assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
    }
    assert!(scene.until(&[server(4)], Duration::from_millis(20)).await.is_some(), "{:?}", scene.servers());
}

#[tokio::test(start_paused = true)]
async fn weights_and_schedulers_change_in_place() {
    let scene = Scene::begin().await;
    let before = scene.table.log().len();
    let mut wanted = desired(&[1, 2, 3]);
    wanted.servers.insert(server(2), 0);
    wanted.service.scheduler = Scheduler::Lc;
    scene.want(wanted.clone()).unwrap();
    millis(20).await;
    let changes: Vec<_> = scene.table.log()[before..].iter().map(|(_, change)| change.clone()).collect();
    assert_eq!(changes, [Change::SetService(wanted.service), Change::SetServer(server(2), 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_counts_at_once() {
    let mut slow = desired(&[1, 2]);
    slow.health.interval = Duration::from_secs(600);
    let scene = Scene::over(FakeDataplane::new(), FakeProbe::without_alarms(), slow).await;
    millis(1000).await;
    scene.want(desired(&[1, 2])).unwrap();
    scene.switch.set(server(2), FakeBehavior::Refuse);
    assert!(scene.until(&[server(1)], Duration::from_secs(1)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_and_changes_nothing() {
    let scene = Scene::begin().await;
    scene.told();
    let empty = scene.want(desired(&[])).unwrap_err().to_string();
    assert_eq!(empty, "virtual service 10.103.97.2:6443: it has no servers");
    let mut elsewhere = desired(&[1]);
    elsewhere.service.address.set_port(1);
    let elsewhere = scene.want(elsewhere).unwrap_err().to_string();
    assert_eq!(elsewhere, "virtual service 10.103.97.2:6443: a running guard cannot change to 10.103.97.2:1");
    scene.want(desired(&[1, 2, 3])).unwrap();
    millis(2000).await;
    assert_eq!(scene.told(), [], "nor does what is wanted already");
}

#[tokio::test(start_paused = true)]
async fn another_probe_takes_over() {
    let scene = Scene::begin().await;
    let other = FakeProbe::new();
    other.set(server(1), FakeBehavior::Refuse);
    scene.handle.set(desired(&[1, 2, 3]), Arc::new(other.clone())).unwrap();
    assert!(scene.until(&[server(2), server(3)], Duration::from_millis(100)).await.is_some());
    let checks = scene.switch.checks(server(2));
    millis(2000).await;
    assert_eq!(scene.switch.checks(server(2)), checks);
    assert_eq!(scene.switch.running(server(2)), 0);
    assert!(other.checks(server(2)) > 4);
}

#[tokio::test(start_paused = true)]
async fn many_changes_in_a_row_end_in_the_last() {
    let scene = Scene::begin().await;
    for n in 4..200 {
        scene.want(desired(&[n, n + 1, n + 2])).unwrap();
        if n % 3 == 0 {
            millis(u64::from(n % 7)).await;
        }
    }
    assert!(scene.until(&[199, 200, 201].map(server), Duration::from_secs(1)).await.is_some());
    millis(1000).await;
    assert_eq!(scene.handle.status().servers.len(), 3);
}

/// A probe that answers at once and always raises the alarm.
#[derive(Debug)]
struct Alarmist;

#[async_trait::async_trait]
impl Probe for Alarmist {
    async fn check(&self, _server: SocketAddr) -> Result<(), Unhealthy> {
        Ok(())
    }

    async fn alarm(&self, _server: SocketAddr) {}
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_always_raises_the_alarm_stops_nothing() {
    let scene = Scene::with_probe(FakeDataplane::new(), FakeProbe::new(), Arc::new(Alarmist), desired(&[1, 2])).await;
    millis(10_000).await;
    let status = scene.handle.status();
    assert!(status.servers.iter().all(|server| server.checks < 80), "{status:?}");
    assert_eq!(scene.servers(), [server(1), server(2)]);
}

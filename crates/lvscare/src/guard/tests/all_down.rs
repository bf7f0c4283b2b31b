//! Tests of what stays in when every server looks dead.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_last_good_set_stays_and_only_the_living_come_back() {
    let scene = Scene::begin().await;
    scene.switch.set(server(1), FakeBehavior::Refuse);
    millis(5000).await;
    scene.told();
    scene.switch.set(server(2), FakeBehavior::Refuse);
    scene.switch.set(server(3), FakeBehavior::Freeze);
    millis(20_000).await;
    assert_eq!(scene.servers(), [server(2), server(3)], "those that fell together");
    let all_down: Vec<_> = scene.told().into_iter().filter(|event| matches!(event, Event::AllDown { .. })).collect();
    assert_eq!(all_down, [Event::AllDown { kept: 2 }], "told once");
    assert!(scene.handle.status().all_down);
    scene.switch.set(server(1), well(0));
    let gap = scene.until(&[server(1)], Duration::from_secs(2)).await;
    assert!(gap.is_some(), "the dead leave when one lives: {:?}", scene.servers());
    assert!(!scene.handle.status().all_down);
}

#[tokio::test(start_paused = true)]
async fn of_servers_that_die_one_by_one_the_last_stays() {
    let scene = Scene::begin().await;
    for n in [3, 1, 2] {
        scene.switch.set(server(n), FakeBehavior::Refuse);
        millis(3000).await;
    }
    assert_eq!(scene.servers(), [server(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_goes_away_for_a_while_leaves_all_in() {
    let scene = Scene::begin().await;
    for _ in 0..3 {
        for n in 1..=3 {
            scene.switch.set(server(n), FakeBehavior::Freeze);
        }
        millis(5000).await;
        assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
        for n in 1..=3 {
            scene.switch.set(server(n), well(1));
        }
        millis(40_000).await;
        assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_keeps_its_connections_while_all_are_down() {
    let mut wanted = desired(&[1, 2]);
    wanted.servers.insert(server(2), 0);
    let scene = Scene::over(FakeDataplane::new(), FakeProbe::new(), wanted).await;
    scene.switch.set(server(1), FakeBehavior::Refuse);
    millis(5000).await;
    let rules = scene.table.rules(service().address).unwrap();
    assert_eq!(rules.servers, [(server(1), 1), (server(2), 0)].into());
    assert!(scene.handle.status().all_down, "a server without weight helps nobody");
}

#[tokio::test(start_paused = true)]
async fn when_none_was_ever_alive_all_come_in() {
    let switch = FakeProbe::new();
    for n in 1..=3 {
        switch.set(server(n), FakeBehavior::Refuse);
    }
    let scene = Scene::over(FakeDataplane::new(), switch, desired(&[1, 2, 3])).await;
    assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
    assert!(scene.told().contains(&Event::AllDown { kept: 3 }));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_last_good_set_still_stays() {
    let switch = FakeProbe::new();
    for n in 1..=3 {
        switch.set(server(n), FakeBehavior::Freeze);
    }
    let scene = Scene::over(table_with(&[2]), switch, desired(&[1, 2, 3])).await;
    millis(5000).await;
    assert_eq!(scene.servers(), [server(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_server_ends_it_when_it_is_healthy() {
    let scene = Scene::begin().await;
    for n in 1..=3 {
        scene.switch.set(server(n), FakeBehavior::Refuse);
    }
    millis(2000).await;
    scene.want(desired(&[2, 3, 4])).unwrap();
    assert!(scene.until(&[server(4)], Duration::from_millis(100)).await.is_some(), "{:?}", scene.servers());
}

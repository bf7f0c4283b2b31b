//! How many calls and how much time does it take, on a cloud that behaves?

use std::path::Path;
use std::time::Duration;

use cloud_double::{Options, Timing};
use clusterfile::Cluster;
use infra_provider::ali_cloud::annotations;
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, cloud, wanted};

/// Calls, refused calls, and virtual seconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    calls: usize,
    refused: usize,
    seconds: f64,
}

/// Makes and frees a cluster; the cost of each.
async fn round(timing: Timing, waits: &Path, wanted: &Cluster) -> (Cost, Cost) {
    let scene = Scene::with_waits(Options { timing, ..cloud() }, waits);
    let began = Instant::now();
    let made = scene.provision(wanted).await.unwrap();
    let create = cost(&scene, began);
    assert_eq!(made.hosts.len(), scene.double.counts()["instances"]);
    assert_eq!(scene.double.violations(), [""; 0]);
    sleep(Duration::from_secs(60)).await;
    scene.double.forget_calls();
    let began = Instant::now();
    scene.delete(&made).await.unwrap();
    let delete = cost(&scene, began);
    assert_eq!(scene.double.leftovers(), [""; 0]);
    (create, delete)
}

fn cost(scene: &Scene, began: Instant) -> Cost {
    let double = &scene.double;
    let cost =
        Cost { calls: double.calls().len(), refused: double.refused().len(), seconds: began.elapsed().as_secs_f64() };
    println!("{cost:?}\n{}", scene.log().join("\n"));
    cost
}

async fn check_learning(timing: Timing, prototype: f64, floor: f64) {
    let waits = tempfile::tempdir().unwrap();
    let file = waits.path().join("waits.json");
    let (create, _) = round(timing, &file, &wanted(3, 3)).await;
    assert!(create.calls <= 20, "blind: {create:?}");
    let (create, delete) = round(timing, &file, &wanted(3, 3)).await;
    assert!(create.calls <= 12 && create.refused == 0, "the second time: {create:?}");
    assert!(delete.calls <= 8 && delete.refused == 0, "the second time: {delete:?}");
    for _ in 0..12 {
        let (create, _) = round(timing, &file, &wanted(3, 3)).await;
        assert!(create.calls <= 16, "learning: {create:?}");
    }
    for _ in 0..3 {
        let (create, delete) = round(timing, &file, &wanted(3, 3)).await;
        assert!(create.calls <= 12 && create.refused == 0, "learned: {create:?}");
        assert!(create.seconds <= prototype && create.seconds <= floor * 1.1, "learned: {create:?}");
        assert!(delete.calls <= 8 && delete.refused == 0, "learned: {delete:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_and_three_on_a_quick_day() {
    check_learning(Timing::A, 18.0, 16.9).await;
}

#[tokio::test(start_paused = true)]
async fn three_and_three_on_a_slow_day() {
    check_learning(Timing::B, 26.6, 25.5).await;
}

#[tokio::test(start_paused = true)]
async fn times_learned_on_another_day_do_no_harm() {
    let waits = tempfile::tempdir().unwrap();
    let file = waits.path().join("waits.json");
    let _ = round(Timing::A, &file, &wanted(3, 3)).await;
    let (create, _) = round(Timing::B, &file, &wanted(3, 3)).await;
    assert!(create.calls <= 20, "stale: {create:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_grow_with_pages_and_not_with_machines() {
    let waits = tempfile::tempdir().unwrap();
    let file = waits.path().join("waits.json");
    let _ = round(Timing::A, &file, &wanted(3, 3)).await;
    let (few, _) = round(Timing::A, &file, &wanted(3, 3)).await;
    let (many, delete) = round(Timing::A, &file, &wanted(100, 100)).await;
    assert_eq!((few.calls, many.calls), (12, 13), "one more page of machines");
    assert_eq!(delete.calls, 10, "one more page found, one more deleted");
}

#[tokio::test(start_paused = true)]
async fn twelve_masters_are_twelve() {
    let waits = tempfile::tempdir().unwrap();
    let (create, _) = round(Timing::A, &waits.path().join("waits.json"), &wanted(12, 0)).await;
    assert!(create.calls <= 20, "{create:?}");
}

#[tokio::test(start_paused = true)]
async fn what_exists_is_written_down_as_upstream_did() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(3, 2)).await.unwrap();
    let value = |name: &str| made.annotations.get(name).cloned().unwrap_or_default();
    for name in
        [annotations::VPC, annotations::VSWITCH, annotations::SECURITY_GROUP, annotations::EIP, annotations::ZONE]
    {
        assert!(!value(name).is_empty(), "{name}");
    }
    assert_eq!(value(annotations::REGION), "cn-chengdu");
    assert_eq!(value(annotations::MASTERS).split(',').count(), 3);
    assert_eq!(value(annotations::NODES).split(',').count(), 2);
    assert!(value(annotations::MASTERS).starts_with(&value(annotations::MASTER0)));
    assert_eq!(value(annotations::MASTER0_ADDRESS), made.hosts[0].address.to_string());
    assert_eq!(made.cert_sans, [value(annotations::CLUSTER_EIP)]);
    assert!(made.hosts.iter().all(|host| host.ssh.jump.len() == 1 && host.ssh.private_key.is_some()));
    let open = scene.double.rules(&value(annotations::SECURITY_GROUP));
    assert_eq!(open, ["TCP 22/22 from 203.0.113.7/32", "TCP 6443/6443 from 203.0.113.7/32"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_again_asks_twice_and_makes_nothing() {
    let scene = Scene::new(cloud());
    let wanted = wanted(3, 3);
    let made = scene.provision(&wanted).await.unwrap();
    scene.double.forget_calls();
    for wanted in [&wanted, &made] {
        assert_eq!(scene.provision(wanted).await.unwrap().hosts, made.hosts);
    }
    let actions: Vec<String> = scene.double.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(actions, ["DescribeInstances"; 4]);
    assert_eq!(scene.double.instances_made(), 6);
}

//! Counts calls and seconds on a cloud that works.

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
async fn round(timing: Timing, wanted: &Cluster) -> (Cost, Cost) {
    let scene = Scene::new(Options { timing, ..cloud() });
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

async fn check(timing: Timing, floor: f64) {
    let (create, delete) = round(timing, &wanted(3, 3)).await;
    assert!(create.calls <= 13 && create.refused <= 1, "{create:?}");
    assert!(create.seconds <= floor * 1.2, "{create:?}");
    assert!(delete.calls <= 13, "{delete:?}");
}

#[tokio::test(start_paused = true)]
async fn three_and_three_on_a_quick_day() {
    check(Timing::A, 16.9).await;
}

#[tokio::test(start_paused = true)]
async fn three_and_three_on_a_slow_day() {
    check(Timing::B, 25.5).await;
}

#[tokio::test(start_paused = true)]
async fn calls_grow_with_pages_and_not_with_machines() {
    let (few, _) = round(Timing::A, &wanted(3, 3)).await;
    let (many, delete) = round(Timing::A, &wanted(100, 100)).await;
    assert_eq!((few.calls, many.calls), (12, 13), "one more page of machines");
    assert_eq!(delete.calls, 10, "one more page found, one more deleted");
}

#[tokio::test(start_paused = true)]
async fn twelve_masters_are_twelve() {
    let (create, _) = round(Timing::A, &wanted(12, 0)).await;
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

//! Runs short of stock, in types, zones and disks.

use std::time::Duration;

use cloud_double::{Fault, FaultKind, Quotas, Stock, StockRule};
use clusterfile::Disk;
use infra_provider::Error;
use tokio::time::Instant;

use crate::faults::cloud_with;
use crate::scene::{Scene, cloud, wanted};

fn rule(zone: Option<&str>, instance_type: Option<&str>, stock: Stock) -> StockRule {
    StockRule { zone: zone.map(str::to_owned), instance_type: instance_type.map(str::to_owned), stock }
}

/// Makes 3 + 3 under these rules and frees them.
async fn made_with(rules: Vec<StockRule>) -> Scene {
    let scene = Scene::new(cloud_with(|options| options.stock = rules.clone()));
    let made = scene.provision(&wanted(3, 3)).await.unwrap_or_else(|error| panic!("{rules:?}: {error}"));
    assert_eq!((made.hosts.len(), scene.double.instances_made()), (6, 6), "{rules:?}");
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after scarce stock");
    scene
}

#[tokio::test(start_paused = true)]
async fn another_zone_is_taken_when_one_has_nothing() {
    made_with(vec![rule(Some("cn-chengdu-c"), None, Stock::Gone)]).await;
    made_with(vec![
        rule(Some("cn-chengdu-c"), None, Stock::NotOnSale),
        rule(Some("cn-chengdu-b"), None, Stock::ClosedGone),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_not_there_costs_no_wait() {
    // Listed everywhere, and to be had in the last zone that is tried only.
    let phantom = |zone| rule(Some(zone), None, Stock::Phantom);
    let scene = made_with(vec![phantom("cn-chengdu-c"), phantom("cn-chengdu-b")]).await;
    let refused = scene.double.refused();
    let sold_out: Vec<_> =
        refused.iter().filter(|call| call.action == "RunInstances" && call.at < Duration::from_secs(30)).collect();
    assert!(sold_out.len() >= 2);
    for pair in sold_out.windows(2) {
        assert!(pair[1].at - pair[0].at < Duration::from_secs(5), "a refusal was slept on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_ordered_in_other_types_and_zones() {
    made_with(vec![rule(None, None, Stock::Left(2))]).await;
    made_with(vec![rule(None, None, Stock::Gone), rule(None, Some("ecs.c6.xlarge"), Stock::Left(2))]).await;
}

#[tokio::test(start_paused = true)]
async fn half_of_an_order_is_a_beginning() {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at("RunInstances", 1, FaultKind::Partial(1)));
    scene.double.fail(Fault::at("RunInstances", 2, FaultKind::Partial(1)));
    let made = scene.provision(&wanted(3, 3)).await.unwrap();
    assert_eq!((made.hosts.len(), scene.double.instances_made()), (6, 6));
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after partial success");
}

#[tokio::test(start_paused = true)]
async fn stock_that_is_listed_for_other_zones_is_no_offer_for_this_one() {
    let rules = vec![rule(Some("cn-chengdu-a"), None, Stock::Gone)];
    let scene = Scene::new(cloud_with(|options| (options.stock, options.stock_of_all_zones) = (rules, true)));
    let mut asked = wanted(1, 0);
    asked.annotations.insert("sea.aliyun.com/ZoneID".to_owned(), "cn-chengdu-a".to_owned());
    let error = scene.provision(&asked).await.unwrap_err();
    assert!(matches!(error, Error::NothingOffered { .. }), "{error}");
    assert_eq!(scene.double.calls().iter().filter(|call| call.action == "RunInstances").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_anywhere_is_told_at_once_with_what_was_tried() {
    let scene = Scene::new(cloud_with(|options| options.stock = vec![rule(None, None, Stock::Phantom)]));
    let began = Instant::now();
    let error = scene.provision(&wanted(3, 3)).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, Error::SoldOut { lacking: 3, .. }), "{told}");
    for word in ["ecs.c7.xlarge", "ecs.c6.xlarge", "cn-chengdu-a", "cn-chengdu-b", "cn-chengdu-c", "NoStock"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // The VPC, and a vSwitch in each of three zones, each for its usual time.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    scene.delete(&wanted(3, 3)).await.unwrap();
    scene.assert_empty("after everything was sold out");
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_which_none_can_be_had_now_comes_later() {
    let rules = vec![rule(None, None, Stock::Gone), rule(Some("cn-chengdu-b"), Some("ecs.c7.xlarge"), Stock::Left(4))];
    let scene = Scene::new(cloud_with(|options| options.stock = rules));
    let error = scene.provision(&wanted(3, 3)).await.unwrap_err();
    assert!(matches!(error, Error::SoldOut { lacking: 2, role: "node", .. }), "{error}");
    assert_eq!(scene.double.instances_made(), 4, "what could be had is kept");
    scene.double.set_stock(Vec::new());
    let made = scene.provision(&wanted(3, 3)).await.unwrap();
    assert_eq!((made.hosts.len(), scene.double.instances_made()), (6, 6));
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after waiting for stock");
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_processors_leads_to_another_type() {
    let quotas = Quotas { cpus_of_type: 12, ..Quotas::default() };
    let scene = Scene::new(cloud_with(|options| options.quotas = quotas));
    let made = scene.provision(&wanted(3, 3)).await.unwrap();
    assert_eq!(scene.double.instances_made(), 6);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a quota of processors");
}

#[tokio::test(start_paused = true)]
async fn disks_are_of_a_kind_that_the_type_takes() {
    let disk = |category| Disk::new(40, category);
    // Old types take no cloud_auto, new ones no cloud_ssd.
    for (system, data) in
        [(None, None), (Some("cloud_ssd"), None), (None, Some("cloud_auto")), (Some("cloud_ssd"), Some("cloud_ssd"))]
    {
        let scene = Scene::new(cloud());
        let mut asked = wanted(1, 0);
        let spec = asked.machines.masters.as_mut().unwrap();
        spec.system_disk = Some(disk(system));
        spec.data_disks = vec![disk(data)];
        let made = scene.provision(&asked).await.unwrap_or_else(|error| panic!("{system:?} {data:?}: {error}"));
        scene.delete(&made).await.unwrap();
        scene.assert_empty("after disks");
    }
}

//! Grows, shrinks and resizes clusters.

use std::net::IpAddr;
use std::time::Duration;

use clusterfile::Cluster;
use infra_provider::ali_cloud::api::eip::{release_eip_address, unassociate_eip_address};
use infra_provider::ali_cloud::api::{Client, Credentials, Done, Parameters, Product, Request};
use infra_provider::ali_cloud::{annotations, api};
use infra_provider::{Context, Error, PendingUpdate, Provider, Provisioned, Release};
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, cloud, wanted};

fn sized(mut cluster: Cluster, cpu: u32, memory_gib: u32) -> Cluster {
    for spec in [&mut cluster.machines.masters, &mut cluster.machines.nodes].into_iter().flatten() {
        (spec.cpu, spec.memory_gib) = (Some(cpu), Some(memory_gib));
    }
    cluster
}

#[tokio::test(start_paused = true)]
async fn machines_change_their_size_one_at_a_time_and_the_public_one_last() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(3, 2)).await.unwrap();
    let larger = sized(wanted(3, 2), 4, 16);
    let Provisioned { cluster: changed, updates, .. } = scene.provisioned(&larger).await.unwrap();
    assert_eq!(
        changed.hosts.iter().map(|host| host.address).collect::<Vec<_>>(),
        made.hosts.iter().map(|host| host.address).collect::<Vec<_>>()
    );
    assert_eq!(updates.len(), 5, "{updates:?}");
    assert_eq!(updates[4].host, made.hosts[0].address, "the first master goes last");
    assert!(updates.iter().all(|update| !update.begun && update.needs_change), "{updates:?}");
    assert_eq!(updates[0].summary, "4 CPU, 8 GiB -> 4 CPU, 16 GiB");
    assert_eq!(updates[4].name, "shop-master-0");
    let stopped = || scene.double.calls().iter().filter(|call| call.action == "StopInstances").count();
    for (done, update) in updates.iter().enumerate() {
        assert_eq!(stopped(), done, "no machine stops before its update is asked for");
        scene.update(&changed, update).await.unwrap();
        scene.updated(&changed, update).await.unwrap();
    }
    let before = scene.double.calls().len();
    scene.provision(&larger).await.unwrap();
    assert_eq!(scene.double.calls().len() - before, 2, "nothing is left to change");
    assert_eq!(scene.double.instances_made(), 5);
    scene.delete(&changed).await.unwrap();
    scene.assert_empty("after another size");
}

#[tokio::test(start_paused = true)]
async fn an_update_is_listed_until_the_host_has_its_pods_back() {
    let scene = Scene::new(cloud());
    scene.provision(&wanted(1, 1)).await.unwrap();
    let larger = sized(wanted(1, 1), 4, 16);
    let listed = |provisioned: Provisioned| -> Vec<(bool, bool)> {
        provisioned.updates.iter().map(|update| (update.begun, update.needs_change)).collect()
    };
    // Killed before the first machine was changed.
    let Provisioned { cluster, updates, .. } = scene.provisioned(&larger).await.unwrap();
    assert_eq!(listed(scene.provisioned(&larger).await.unwrap()), [(true, true), (true, true)]);
    // Killed before the host had its pods back.
    scene.update(&cluster, &updates[0]).await.unwrap();
    assert_eq!(listed(scene.provisioned(&larger).await.unwrap()), [(true, false), (true, true)]);
    let calls = scene.double.calls_made_of("StopInstances");
    scene.update(&cluster, &updates[0]).await.unwrap();
    assert_eq!(scene.double.calls_made_of("StopInstances"), calls, "it is changed once");
    scene.updated(&cluster, &updates[0]).await.unwrap();
    // The user no longer wants another size; the host may be drained all the same.
    assert_eq!(listed(scene.provisioned(&wanted(1, 1)).await.unwrap()), [(true, false)]);
    scene.updated(&cluster, &updates[1]).await.unwrap();
    scene.provision(&wanted(1, 1)).await.unwrap();
    let stranger = PendingUpdate::new([192, 0, 2, 1].into(), "nobody", "");
    let error = scene.update(&cluster, &stranger).await.unwrap_err();
    assert!(matches!(error, Error::UnknownHost { .. }), "{error}");
    scene.delete(&cluster).await.unwrap();
    scene.assert_empty("after updates that were broken off");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_awaits_the_answer_it_asked_for_and_nothing_else() {
    let scene = Scene::new(cloud());
    let cancel = CancellationToken::new();
    let context = Context::new(scene.state.path(), &|_| ()).with_cancel(&cancel);
    let (provider, asked) = (scene.provider(), wanted(3, 3));
    let began = tokio::time::Instant::now();
    let (made, ()) = tokio::join!(provider.provision(&asked, None, &context), async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        cancel.cancel();
    });
    assert!(matches!(made, Err(Error::Cancelled)), "{made:?}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let made = scene.provision(&asked).await.unwrap();
    assert_eq!(scene.double.instances_made(), 6);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a cancelled run");
}

#[tokio::test(start_paused = true)]
async fn counts_go_up_and_down_and_what_is_listed_stays() {
    let scene = Scene::new(cloud());
    let addresses = |cluster: &Cluster| cluster.hosts.iter().map(|host| host.address).collect::<Vec<IpAddr>>();
    let small = scene.provision(&wanted(1, 1)).await.unwrap();
    let large = scene.provision(&wanted(3, 3)).await.unwrap();
    assert_eq!((large.hosts.len(), scene.double.instances_made()), (6, 6));
    assert!(addresses(&small).iter().all(|host| addresses(&large).contains(host)), "growing keeps what is there");

    // Down again: the youngest of each role go, unless others are listed.
    assert_eq!(addresses(&scene.provision(&wanted(1, 1)).await.unwrap()), addresses(&small));
    let mut listed = wanted(1, 1);
    listed.hosts = vec![large.hosts[2].clone(), large.hosts[5].clone()];
    let chosen = scene.provision(&listed).await.unwrap();
    assert_eq!(addresses(&chosen), [large.hosts[2].address, large.hosts[5].address]);
    let resized = scene.provisioned(&sized(listed, 4, 16)).await.unwrap();
    let updated: Vec<IpAddr> = resized.updates.iter().map(|update| update.host).collect();
    assert_eq!(updated, [large.hosts[5].address, large.hosts[2].address], "machines that leave are not resized");

    let left: Vec<IpAddr> = addresses(&large).into_iter().filter(|host| !addresses(&small).contains(host)).collect();
    scene.release(&large, Release::Hosts(left.clone())).await.unwrap();
    scene.release(&large, Release::Hosts(left)).await.unwrap();
    assert_eq!(addresses(&scene.provision(&wanted(1, 1)).await.unwrap()), addresses(&small));
    assert_eq!(scene.double.instances_made(), 6);
    scene.delete(&small).await.unwrap();
    scene.assert_empty("after counts went up and down");
}

#[tokio::test(start_paused = true)]
async fn the_public_address_moves_when_the_first_master_leaves() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(3, 0)).await.unwrap();
    scene.release(&made, Release::Hosts(vec![made.hosts[0].address])).await.unwrap();
    let left = scene.provision(&wanted(2, 0)).await.unwrap();
    assert_eq!((left.hosts.len(), scene.double.instances_made()), (2, 3));
    assert_eq!(left.annotations[annotations::MASTER0_ADDRESS], left.hosts[0].address.to_string());
    assert_eq!(left.annotations[annotations::CLUSTER_EIP], made.annotations[annotations::CLUSTER_EIP]);
    scene.delete(&left).await.unwrap();
    scene.assert_empty("after the first master left");
}

#[tokio::test(start_paused = true)]
async fn released_machines_do_not_count_while_they_leave() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(1, 3)).await.unwrap();
    let node = made.nodes().last().unwrap().address;
    scene.release(&made, Release::Hosts(vec![node])).await.unwrap();
    let again = scene.provision(&wanted(1, 3)).await.unwrap();
    assert_eq!((again.hosts.len(), scene.double.instances_made()), (4, 5), "{}", scene.log().join("\n"));
    scene.delete(&again).await.unwrap();
    scene.assert_empty("after a machine was replaced");
}

/// Somebody else with the same key.
fn client(scene: &Scene) -> Client {
    let key = Credentials::Key(api::AccessKey::new("testid", "testsecret"));
    Client::new(key, "cn-chengdu", &api::Endpoints::default(), scene.wire()).unwrap().with_clock(scene.clock())
}

#[tokio::test(start_paused = true)]
async fn a_public_address_that_somebody_took_away_is_replaced() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(1, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (client, allocation_id) = (client(&scene), made.annotations[annotations::EIP].clone());
    client.call(&unassociate_eip_address(&allocation_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let bound = |cluster: &Cluster| cluster.annotations[annotations::CLUSTER_EIP].clone();
    assert_eq!(bound(&scene.provision(&wanted(1, 1)).await.unwrap()), bound(&made));
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.call(&unassociate_eip_address(&allocation_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.call(&release_eip_address(&allocation_id)).await.unwrap();
    let again = scene.provision(&wanted(1, 1)).await.unwrap();
    assert_ne!(bound(&again), bound(&made));
    assert!(again.hosts.iter().all(|host| host.ssh.jump.len() == 1));
    scene.delete(&again).await.unwrap();
    scene.assert_empty("after the address was taken away");
}

/// Protects a machine against deletion, as a user does in the console.
fn protect(id: &str, on: bool) -> Request<Done> {
    let parameters = Parameters::new().text("InstanceId", id).text("DeletionProtection", on);
    Request::new(Product::Ecs, "ModifyInstanceAttribute", parameters)
}

#[tokio::test(start_paused = true)]
async fn a_protected_machine_is_reported_and_the_rest_is_freed() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(3, 3)).await.unwrap();
    let protected = made.annotations[annotations::NODES].split(',').nth(1).unwrap().to_owned();
    let client = client(&scene);
    client.call(&protect(&protected, true)).await.unwrap();
    let error = scene.delete(&made).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, Error::NotFreed { .. }), "{told}");
    assert!(told.contains(&protected) && told.contains("protection") && told.contains("network"), "{told}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let counts = scene.double.counts();
    assert_eq!((counts["instances"], counts["eips"]), (1, 0), "everything else is freed");
    client.call(&protect(&protected, false)).await.unwrap();
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after the protection was lifted");
}

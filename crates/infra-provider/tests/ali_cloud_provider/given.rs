//! Checks that the user's own resources are used as they are and never deleted.

use clusterfile::Cluster;
use infra_provider::ali_cloud::annotations;

use crate::scene::{Scene, cloud, wanted};

const REGION: &str = "cn-chengdu";

fn with(base: Cluster, given: &[(&str, &str)]) -> Cluster {
    let mut cluster = base;
    cluster.annotations.extend(given.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())));
    cluster
}

fn without_addresses(made: &Cluster) -> Cluster {
    let mut cluster = made.clone();
    cluster.hosts.clear();
    cluster
}

/// Makes, repeats, loses the record, repeats, and frees; the user's things stay.
async fn used(scene: &mut Scene, asked: &Cluster, kept: &[(&'static str, usize)]) {
    let made = scene.provision(asked).await.unwrap();
    assert_eq!(scene.provision(asked).await.unwrap().hosts, made.hosts);
    scene.lose_record();
    assert_eq!(scene.provision(&without_addresses(&made)).await.unwrap().hosts, made.hosts);
    assert_eq!(scene.double.instances_made(), made.hosts.len());
    scene.delete(&made).await.unwrap();
    // In a network that stays nobody waits for the machines to be gone.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    scene.assert_empty("after using what was given");
    for (what, count) in kept {
        assert_eq!(scene.double.counts()[what], *count, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vpc() {
    let mut scene = Scene::new(cloud());
    let vpc = scene.double.seed_vpc(REGION, "10.0.0.0/16");
    let _ = scene.double.seed_vswitch(&vpc, "cn-chengdu-a", "10.0.0.0/24");
    let asked = with(wanted(3, 3), &[(annotations::VPC, &vpc)]);
    used(&mut scene, &asked, &[("vpcs", 1), ("vswitches", 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_vswitch_decides_for_vpc_and_zone() {
    let mut scene = Scene::new(cloud());
    let vpc = scene.double.seed_vpc(REGION, "10.0.0.0/16");
    let vswitch = scene.double.seed_vswitch(&vpc, "cn-chengdu-a", "10.0.7.0/24");
    let asked = with(wanted(3, 3), &[(annotations::VSWITCH, &vswitch)]);
    used(&mut scene, &asked, &[("vpcs", 1), ("vswitches", 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn everything() {
    let mut scene = Scene::new(cloud());
    let vpc = scene.double.seed_vpc(REGION, "10.0.0.0/16");
    let vswitch = scene.double.seed_vswitch(&vpc, "cn-chengdu-b", "10.0.7.0/24");
    let group = scene.double.seed_security_group(REGION, &vpc);
    scene.double.seed_key_pair(REGION, "mine", "ssh-ed25519 AAAA me");
    let ids = [
        (annotations::VPC, vpc.as_str()),
        (annotations::VSWITCH, &vswitch),
        (annotations::SECURITY_GROUP, &group),
        (annotations::KEY_PAIR, "mine"),
    ];
    let mut asked = with(wanted(1, 2), &ids);
    asked.ssh.private_key = Some("/home/me/.ssh/id_ed25519".to_owned());
    used(&mut scene, &asked, &[("vpcs", 1), ("vswitches", 1), ("security groups", 1), ("key pairs", 1)]).await;
    assert_eq!(scene.double.rules(&group), [""; 0], "who gives a group decides who may come");
}

#[tokio::test(start_paused = true)]
async fn a_security_group_alone() {
    let mut scene = Scene::new(cloud());
    let vpc = scene.double.seed_vpc(REGION, "10.0.0.0/16");
    let group = scene.double.seed_security_group(REGION, &vpc);
    let asked = with(wanted(1, 0), &[(annotations::VPC, &vpc), (annotations::SECURITY_GROUP, &group)]);
    used(&mut scene, &asked, &[("vpcs", 1), ("vswitches", 0), ("security groups", 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn our_own_ids_in_the_clusterfile_are_not_mistaken_for_the_users() {
    let mut scene = Scene::new(cloud());
    let made = scene.provision(&wanted(2, 1)).await.unwrap();
    scene.lose_state();
    let again = scene.provision(&without_addresses(&made)).await.unwrap();
    let addresses = |cluster: &Cluster| cluster.hosts.iter().map(|host| host.address).collect::<Vec<_>>();
    assert_eq!(addresses(&again), addresses(&made));
    assert_eq!(scene.double.instances_made(), 3);
    scene.delete(&again).await.unwrap();
    scene.assert_empty("after the record was lost");
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_moved_is_let_in() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(1, 0)).await.unwrap();
    let group = &made.annotations[annotations::SECURITY_GROUP];
    let moved = scene.provider_with(|options| options.admin_cidrs = vec!["198.51.100.9/32".to_owned()]);
    scene.provision_by(&moved, &wanted(1, 0)).await.unwrap();
    assert!(scene.double.rules(group).contains(&"TCP 22/22 from 198.51.100.9/32".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_named_is_taken() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&with(wanted(1, 0), &[(annotations::ZONE, "cn-chengdu-a")])).await.unwrap();
    assert_eq!(made.annotations[annotations::ZONE], "cn-chengdu-a");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_named() {
    for (name, id) in [(annotations::VSWITCH, "vsw-nowhere"), (annotations::VPC, "vpc-nowhere")] {
        let scene = Scene::new(cloud());
        let error = scene.provision(&with(wanted(1, 0), &[(name, id)])).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(id), "{error}");
        assert_eq!(scene.double.instances_made(), 0);
    }
}

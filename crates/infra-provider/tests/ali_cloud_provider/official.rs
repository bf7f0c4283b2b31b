//! Compares our requests with those of the vendor's own client.
//!
//! `requests.jsonl` is what that client sent for one call of each kind; the stand-in's referee holds it up to date. Ours
//! are read back from the stand-in, decoded by it.

use std::collections::BTreeMap;

use infra_provider::ali_cloud::api::ecs::{
    Disk, LogIn, RunInstances, authorize_security_group, create_security_group, delete_instances, delete_key_pairs,
    delete_security_group, describe_available_resource, describe_instances, describe_key_pairs,
    describe_security_groups, import_key_pair, modify_instance_spec, start_instances, stop_instances,
};
use infra_provider::ali_cloud::api::eip::{
    allocate_eip_address, associate_eip_address, describe_eip_addresses, release_eip_address, unassociate_eip_address,
};
use infra_provider::ali_cloud::api::vpc::{create_vpc, create_vswitch, delete_vpc, delete_vswitch, describe_vpcs};
use infra_provider::ali_cloud::api::{AccessKey, Client, Credentials, Endpoints, Request, Tag};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::scene::{Scene, cloud};

const REQUESTS: &str = include_str!("../../../../tests/cloud-double/referee/requests.jsonl");

/// What their client was also made to send and ours has no use for.
const NOT_OURS: [&str; 2] = ["DescribeImages", "TagResources"];

/// Action, parameter, and why it is right that they differ. `*` is every action.
const DIFFERENCES: [(&str, &str, &str); 20] = [
    ("*", "RegionId", "told in every call; their client takes it from the endpoint where it is optional"),
    ("AuthorizeSecurityGroup", "ClientToken", "a rule that is there already is a success, so no token is needed"),
    ("DescribeSecurityGroups", "MaxResults", "pages are counted by number"),
    ("DescribeSecurityGroups", "PageNumber", "pages are counted by number"),
    ("DescribeSecurityGroups", "PageSize", "pages are counted by number"),
    ("DescribeAvailableResource", "Memory", "8 and 8.0 are the same number"),
    ("DescribeAvailableResource", "IoOptimized", "types of today are; old ones that are not are left out"),
    ("DescribeKeyPairs", "PageNumber", "pages are asked for from the first one on"),
    ("DescribeKeyPairs", "PageSize", "the largest page"),
    ("DescribeEipAddresses", "PageNumber", "pages are asked for from the first one on"),
    ("DeleteInstances", "ClientToken", "to delete twice does no more than once"),
    ("UnassociateEipAddress", "Force", "the machine may be in any state"),
    ("CreateVpc", "CidrBlock", "the cloud's default range is taken"),
    ("RunInstances", "HostName", "each machine has a name of its own"),
    ("RunInstances", "HostNames.N", "each machine has a name of its own"),
    ("RunInstances", "InstanceChargeType", "that it is paid by use is said, not assumed"),
    ("DescribeKeyPairs", "KeyPairName", "pairs are found by tag"),
    ("DescribeKeyPairs", "Tag.N.Key", "pairs are found by tag"),
    ("DescribeKeyPairs", "Tag.N.Value", "pairs are found by tag"),
    ("UnassociateEipAddress", "ClientToken", "to unbind twice does no more than once"),
];

type Fields = BTreeMap<String, String>;

#[tokio::test(start_paused = true)]
async fn they_differ_only_where_they_should() {
    let scene = Scene::new(cloud());
    send_all(&scene).await;
    let ours: BTreeMap<String, Fields> =
        scene.double.calls().into_iter().map(|call| (call.action, call.parameters)).collect();
    let (mut compared, mut used, mut strange) = (0, Vec::new(), Vec::new());
    for line in REQUESTS.lines() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let action = theirs["action"].as_str().unwrap();
        if NOT_OURS.contains(&action) {
            continue;
        }
        let fields: Fields = serde_json::from_value(theirs["parameters"].clone()).unwrap();
        let Some(ours) = ours.get(action) else { panic!("{action} is not sent") };
        used.extend(compare(action, ours, &fields, &mut strange));
        compared += 1;
    }
    assert_eq!(compared, ours.len(), "one of each");
    strange.extend(
        DIFFERENCES
            .iter()
            .filter(|(action, name, _)| !used.contains(&(action, name)))
            .map(|(action, name, why)| format!("{action} {name} does not differ any more ({why})")),
    );
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

/// The known differences that there are; others are `strange`.
fn compare(
    action: &str,
    ours: &Fields,
    theirs: &Fields,
    strange: &mut Vec<String>,
) -> Vec<(&'static str, &'static str)> {
    let mut known = Vec::new();
    for name in ours.keys().chain(theirs.keys()).filter(|name| ours.get(*name) != theirs.get(*name)) {
        let pattern = name.replace(|letter: char| letter.is_ascii_digit(), "N");
        let fits = |(of, parameter, _): &&(&str, &str, &str)| (*of == "*" || *of == action) && *parameter == pattern;
        match DIFFERENCES.iter().find(fits) {
            Some((of, parameter, _)) => known.push((*of, *parameter)),
            None => strange.push(format!("{action} {name}: {:?}, theirs {:?}", ours.get(name), theirs.get(name))),
        }
    }
    known
}

async fn send_all(scene: &Scene) {
    let key = Credentials::Key(AccessKey::new("testid", "testsecret"));
    let client =
        Client::new(key, "cn-hangzhou", &Endpoints::default(), scene.wire()).unwrap().with_clock(scene.clock());
    networks(&client).await;
    machines(&client).await;
    addresses(&client).await;
}

/// What is sent counts here, not what is answered.
async fn send<A: DeserializeOwned>(client: &Client, request: Request<A>) {
    let _ = client.call(&request).await;
}

fn tag() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster")]
}

async fn networks(client: &Client) {
    send(client, create_vpc("my-cluster", &tag()).with_token("tok-1")).await;
    send(client, describe_vpcs(None, &tag()).request().clone()).await;
    send(client, delete_vpc("vpc-1")).await;
    let vswitch = create_vswitch("vpc-1", "cn-hangzhou-b", "172.16.0.0/24", "my-cluster", &tag());
    send(client, vswitch.with_token("tok-2")).await;
    send(client, delete_vswitch("vsw-1")).await;
    send(client, create_security_group("vpc-1", "my-cluster", &tag()).with_token("tok-3")).await;
    send(client, authorize_security_group("sg-1", [22, 6443].map(|port| (port, "0.0.0.0/0")))).await;
    send(client, delete_security_group("sg-1")).await;
    send(client, describe_security_groups(&tag()).request().clone()).await;
}

async fn machines(client: &Client) {
    send(client, describe_available_resource(None, Some((4, 8)), None)).await;
    send(client, import_key_pair("my-cluster", "ssh-ed25519 AAAA me", &tag())).await;
    send(client, describe_key_pairs(&tag()).request().clone()).await;
    send(client, delete_key_pairs(&["my-cluster".to_owned()])).await;
    send(client, order().request().with_token("tok-5")).await;
    let ids: Vec<String> = (1..13).map(|number| format!("i-{number}")).collect();
    send(client, describe_instances(&ids[..2], &tag()).request().clone()).await;
    send(client, stop_instances(&ids[..1])).await;
    send(client, start_instances(&ids[..1])).await;
    send(client, modify_instance_spec("i-1", "ecs.g6.xlarge").with_token("tok-6")).await;
    send(client, delete_instances(&ids)).await;
}

fn order() -> RunInstances {
    let disk = Disk { category: "cloud_essd".to_owned(), size: 100 };
    RunInstances {
        image_id: Some("img~x+y z*".to_owned()),
        instance_type: "ecs.g6.large".to_owned(),
        security_group_id: "sg-1".to_owned(),
        v_switch_id: "vsw-1".to_owned(),
        amount: 3,
        host_names: (0..3).map(|number| format!("m-{number}")).collect(),
        instance_name: "m-[0,3]".to_owned(),
        log_in: LogIn::KeyPair("my-cluster".to_owned()),
        system_disk: disk.clone(),
        data_disks: vec![disk],
        tags: [tag(), vec![Tag::new("role", "master")]].concat(),
        ..RunInstances::default()
    }
}

async fn addresses(client: &Client) {
    send(client, allocate_eip_address(100, "my-cluster", &[]).with_token("tok-8")).await;
    send(client, associate_eip_address("eip-1", "i-1").with_token("tok-9")).await;
    send(client, describe_eip_addresses(Some("eip-1"), &[]).request().clone()).await;
    send(client, unassociate_eip_address("eip-1")).await;
    send(client, release_eip_address("eip-1")).await;
}

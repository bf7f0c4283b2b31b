//! Compares our requests with those of the vendor's own client.
//!
//! `requests.jsonl` is what that client sent for one call of each kind; the stand-in's referee holds it up to date. Ours
//! are read back from the stand-in, decoded by it.

use std::collections::BTreeMap;

use infra_provider::ali_cloud::api::ecs::{
    AuthorizeSecurityGroup, CreateSecurityGroup, DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup,
    DescribeAvailableResource, DescribeImages, DescribeInstances, DescribeKeyPairs, DescribeSecurityGroups, Disk,
    ImportKeyPair, LogIn, ModifyInstanceSpec, Permission, RunInstances, StartInstances, StopInstances, TagResources,
};
use infra_provider::ali_cloud::api::eip::{
    AllocateEipAddress, AssociateEipAddress, DescribeEipAddresses, ReleaseEipAddress, UnassociateEipAddress,
};
use infra_provider::ali_cloud::api::vpc::{CreateVSwitch, CreateVpc, DeleteVSwitch, DeleteVpc, DescribeVpcs};
use infra_provider::ali_cloud::api::{AccessKey, Action, Client, Credentials, Endpoints, Page, Tag};
use serde_json::Value;

use crate::scene::{Scene, cloud};

const REQUESTS: &str = include_str!("../../../../tests/cloud-double/referee/requests.jsonl");

/// Action, parameter, and why it is right that they differ. `*` is every action.
const DIFFERENCES: [(&str, &str, &str); 13] = [
    ("*", "RegionId", "told in every call; their client takes it from the endpoint where it is optional"),
    ("AuthorizeSecurityGroup", "ClientToken", "a rule that is there already is a success, so no token is needed"),
    ("DescribeSecurityGroups", "MaxResults", "pages are counted by number"),
    ("DescribeSecurityGroups", "PageNumber", "pages are counted by number"),
    ("DescribeSecurityGroups", "PageSize", "pages are counted by number"),
    ("DescribeAvailableResource", "Memory", "8 and 8.0 are the same number"),
    ("DescribeAvailableResource", "IoOptimized", "types of today are; old ones that are not are left out"),
    ("DescribeKeyPairs", "PageNumber", "pages are asked for from the first one on"),
    ("DescribeKeyPairs", "PageSize", "the largest page"),
    ("DescribeImages", "PageNumber", "pages are asked for from the first one on"),
    ("DescribeEipAddresses", "PageNumber", "pages are asked for from the first one on"),
    ("DeleteInstances", "ClientToken", "to delete twice does no more than once"),
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

fn text(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
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
async fn send<A: Action>(client: &Client, action: A) {
    let _ = client.call(&action).await;
}

fn tag() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster")]
}

async fn networks(client: &Client) {
    let (name, token) = (some("my-cluster"), |number: u32| format!("tok-{number}"));
    let cidr_block = some("172.16.0.0/16");
    send(client, CreateVpc { client_token: token(1), name: name.clone(), tags: tag(), cidr_block }).await;
    send(client, DescribeVpcs { tags: tag(), ..DescribeVpcs::default() }).await;
    send(client, DeleteVpc { vpc_id: text("vpc-1") }).await;
    let vswitch = CreateVSwitch {
        client_token: token(2),
        vpc_id: text("vpc-1"),
        zone_id: text("cn-hangzhou-b"),
        cidr_block: text("172.16.0.0/24"),
        name: name.clone(),
        tags: tag(),
    };
    send(client, vswitch).await;
    send(client, DeleteVSwitch { v_switch_id: text("vsw-1") }).await;
    let vpc_id = text("vpc-1");
    let group = CreateSecurityGroup { client_token: token(3), vpc_id, name, security_group_type: None, tags: tag() };
    send(client, group).await;
    let permissions = [22, 6443].map(|port| Permission::tcp(port, "0.0.0.0/0")).to_vec();
    send(client, AuthorizeSecurityGroup { security_group_id: text("sg-1"), permissions }).await;
    send(client, DeleteSecurityGroup { security_group_id: text("sg-1") }).await;
    send(client, DescribeSecurityGroups { tags: tag(), ..DescribeSecurityGroups::default() }).await;
}

async fn machines(client: &Client) {
    let stock = DescribeAvailableResource {
        cores: Some(4),
        memory: Some(8.0),
        instance_charge_type: some("PostPaid"),
        ..DescribeAvailableResource::default()
    };
    send(client, stock).await;
    let public_key = text("ssh-ed25519 AAAA me");
    send(client, ImportKeyPair { name: text("my-cluster"), public_key, tags: tag() }).await;
    send(client, DescribeKeyPairs { name: some("my-cluster"), ..DescribeKeyPairs::default() }).await;
    send(client, DeleteKeyPairs { names: vec![text("my-cluster")] }).await;
    let image_family = some("acs:debian_12_x64");
    send(client, DescribeImages { image_family, page: Page::first(100), ..DescribeImages::default() }).await;
    send(client, order()).await;
    let instance_ids = vec![text("i-1"), text("i-2")];
    send(client, DescribeInstances { instance_ids, tags: tag(), ..DescribeInstances::default() }).await;
    let tags = [tag(), vec![Tag::new("role", "master")]].concat();
    send(client, TagResources { resource_type: text("instance"), resource_ids: vec![text("i-1")], tags }).await;
    send(client, StopInstances { instance_ids: vec![text("i-1")], force: false }).await;
    send(client, StartInstances { instance_ids: vec![text("i-1")] }).await;
    let (instance_id, instance_type) = (text("i-1"), text("ecs.g6.xlarge"));
    send(client, ModifyInstanceSpec { client_token: text("tok-6"), instance_id, instance_type }).await;
    let instance_ids = (1..13).map(|number| format!("i-{number}")).collect();
    send(client, DeleteInstances { instance_ids, force: true }).await;
}

fn order() -> RunInstances {
    let disk = Disk { category: some("cloud_essd"), size: Some(100), ..Disk::default() };
    RunInstances {
        client_token: text("tok-5"),
        image_id: some("img~x+y z*"),
        instance_type: text("ecs.g6.large"),
        security_group_id: text("sg-1"),
        v_switch_id: text("vsw-1"),
        amount: 3,
        min_amount: Some(1),
        host_name: some("m-[0,3]"),
        instance_name: some("m-[0,3]"),
        log_in: LogIn::KeyPair(text("my-cluster")),
        system_disk: Some(disk.clone()),
        data_disks: vec![disk],
        tags: [tag(), vec![Tag::new("role", "master")]].concat(),
        ..RunInstances::default()
    }
}

async fn addresses(client: &Client) {
    let allocate = AllocateEipAddress {
        client_token: text("tok-8"),
        bandwidth: Some(100),
        internet_charge_type: some("PayByTraffic"),
        name: some("my-cluster"),
        tags: Vec::new(),
    };
    send(client, allocate).await;
    let (allocation_id, instance_id) = (text("eip-1"), text("i-1"));
    send(client, AssociateEipAddress { client_token: text("tok-9"), allocation_id, instance_id }).await;
    send(client, DescribeEipAddresses { allocation_id: some("eip-1"), ..DescribeEipAddresses::default() }).await;
    send(client, UnassociateEipAddress { allocation_id: text("eip-1"), force: false }).await;
    send(client, ReleaseEipAddress { allocation_id: text("eip-1") }).await;
}

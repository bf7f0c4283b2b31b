//! Every action against a strict fake of the cloud, which checks signatures and parameters with its own code.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_double::{Double, Fault, FaultKind, Options};
use http::Response;
use infra_provider::ali_cloud::api::ecs::{
    Disk, InstanceStatus, LogIn, RunInstances, authorize_security_group, create_security_group, delete_instances,
    delete_key_pairs, delete_security_group, describe_available_resource, describe_instances, describe_key_pairs,
    describe_security_groups, import_key_pair, modify_instance_spec, start_instances, stop_instances,
};
use infra_provider::ali_cloud::api::eip::{
    allocate_eip_address, associate_eip_address, describe_eip_addresses, release_eip_address, unassociate_eip_address,
};
use infra_provider::ali_cloud::api::vpc::{
    create_vpc, create_vswitch, delete_vpc, delete_vswitch, describe_vpcs, describe_vswitches,
};
use infra_provider::ali_cloud::api::{
    AccessKey, ApiError, Class, Client, Credentials, Endpoints, InstanceRole, Request, Tag, Transport,
    TransportFailure, WallClock,
};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::scripted::start;

#[derive(Clone)]
struct Wire(Double);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: http::Request<Bytes>, after: Duration) -> Result<Response<Bytes>, TransportFailure> {
        let host = "double".to_owned();
        match timeout(after, self.0.handle(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(lost)) => Err(TransportFailure::Interrupted { host, source: lost.into() }),
            Err(_) => Err(TransportFailure::TimedOut { host, after }),
        }
    }
}

fn double() -> Double {
    Double::new(Options { wall_start: start(), ..Options::default() })
}

fn client_at(double: &Double, credentials: Credentials, now: SystemTime) -> Client {
    let wire = Arc::new(Wire(double.clone()));
    let client = Client::new(credentials, "cn-chengdu", &Endpoints::default(), wire).unwrap();
    client.with_clock(WallClock::starting_at(now))
}

fn client(double: &Double) -> Client {
    client_at(double, Credentials::Key(AccessKey::new("testid", "testsecret")), start())
}

/// Calls until nothing stands in the way any more.
async fn until<A: DeserializeOwned>(client: &Client, request: &Request<A>) -> A {
    for _ in 0..100 {
        match client.call(request).await {
            Ok(answer) => return answer,
            Err(error) if matches!(error.class, Class::NotReady | Class::InUse | Class::Busy) => {
                sleep(Duration::from_millis(500)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{} never went through", request.action)
}

fn tags() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster"), Tag::new("role", "master")]
}

#[tokio::test(start_paused = true)]
async fn a_cluster_comes_and_goes() {
    let double = double();
    let client = client(&double);
    let (kind, zone) = offer(&client).await;

    let vpc_id = until(&client, &create_vpc("n", &tags()).with_token("token-vpc")).await.vpc_id;
    let switch = create_vswitch(&vpc_id, &zone, "172.16.0.0/24", "n", &tags()).with_token("token-vsw");
    let v_switch_id = until(&client, &switch).await.v_switch_id;
    let group = create_security_group(&vpc_id, "n", &tags()).with_token("token-sg");
    let security_group_id = until(&client, &group).await.security_group_id;
    let opened = [(22, "192.0.2.0/24"), (6443, "192.0.2.0/24")];
    until(&client, &authorize_security_group(&security_group_id, opened)).await;
    assert_eq!(double.rules(&security_group_id), ["TCP 22/22 from 192.0.2.0/24", "TCP 6443/6443 from 192.0.2.0/24"]);

    key_pairs(&client).await;
    let disk = Disk { size: 100, category: "cloud_essd".to_owned() };
    let run = RunInstances {
        image_family: Some("acs:debian_12_x64".to_owned()),
        instance_type: kind,
        security_group_id: security_group_id.clone(),
        v_switch_id: v_switch_id.clone(),
        amount: 3,
        instance_name: "中文 my-cluster-master-[0,3]".to_owned(),
        host_names: (0..3).map(|n| format!("my-cluster-master-{n}")).collect(),
        log_in: LogIn::Password("Aa1~=+%^*/()".into()),
        system_disk: disk.clone(),
        data_disks: vec![disk],
        tags: tags(),
        ..RunInstances::default()
    };
    let run = run.request().with_token("token-run");
    let instance_ids = until(&client, &run).await.instance_ids;
    assert_eq!(instance_ids.len(), 3);
    assert_eq!(client.call(&run).await.unwrap().instance_ids, instance_ids, "the same token makes the same machines");
    assert_eq!(double.instances_made(), 3);
    change(&client, &instance_ids[0]).await;

    let eip = address(&client, &instance_ids[0]).await;
    listed(&client, &vpc_id, &v_switch_id, &instance_ids).await;

    take_away(&client, [&eip, &v_switch_id, &security_group_id, &vpc_id], &instance_ids).await;
    assert_eq!(double.leftovers(), Vec::<String>::new());
}

/// Frees everything, and asks for it once more.
async fn take_away(client: &Client, [eip, v_switch, security_group, vpc]: [&str; 4], instances: &[String]) {
    until(client, &unassociate_eip_address(eip)).await;
    until(client, &delete_instances(instances)).await;
    let all =
        [release_eip_address(eip), delete_vswitch(v_switch), delete_security_group(security_group), delete_vpc(vpc)];
    for free in &all {
        until(client, free).await;
    }
    let gone = |again: Result<_, ApiError>| assert_eq!(again.map_err(|error| error.class), Err(Class::Gone));
    for free in all.iter().rev() {
        gone(client.call(free).await);
    }
}

/// What is to be had: a type and a zone.
async fn offer(client: &Client) -> (String, String) {
    let stock = client.call(&describe_available_resource(None, Some((2, 8)), None)).await.unwrap();
    let kind = stock.zones[0].offers().find(|offer| offer.is_available()).unwrap().value.clone();
    (kind, stock.zones[0].zone_id.clone())
}

async fn key_pairs(client: &Client) {
    let public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000+/ c";
    for name in ["brought", "too"] {
        client.call(&import_key_pair(name, public_key, &tags())).await.unwrap();
    }
    let known = client.list(describe_key_pairs(&tags())).await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(known[0].tags.len(), 2);
    let names: Vec<String> = known.into_iter().map(|pair| pair.key_pair_name).collect();
    client.call(&delete_key_pairs(&names)).await.unwrap();
}

/// Stops a machine, gives it another type, and starts it again.
async fn change(client: &Client, id: &str) {
    let ids = [id.to_owned()];
    is(client, id, InstanceStatus::Running).await;
    until(client, &stop_instances(&ids)).await;
    let larger = client.call(&describe_available_resource(None, Some((4, 16)), None)).await.unwrap();
    let instance_type = larger.zones[0].offers().next().unwrap().value.clone();
    until(client, &modify_instance_spec(id, &instance_type).with_token("token-spec")).await;
    until(client, &start_instances(&ids)).await;
    is(client, id, InstanceStatus::Running).await;
    let found = client.list(describe_instances(&ids, &[])).await.unwrap();
    assert_eq!((found[0].instance_type.as_str(), found[0].cpu), (instance_type.as_str(), 4.0));
}

async fn is(client: &Client, id: &str, status: InstanceStatus) {
    for _ in 0..100 {
        let found = client.list(describe_instances(&[id.to_owned()], &[])).await.unwrap();
        if found.iter().any(|instance| instance.status == status) {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("{id} is never {status:?}")
}

/// An elastic address that is bound to the machine.
async fn address(client: &Client, instance: &str) -> String {
    let allocate = allocate_eip_address(100, "n", &tags()).with_token("token-eip");
    let allocated = client.call(&allocate).await.unwrap();
    let allocation_id = allocated.allocation_id;
    until(client, &associate_eip_address(&allocation_id, instance).with_token("token-bind")).await;
    sleep(Duration::from_secs(5)).await;
    let found = client.list(describe_eip_addresses(None, &tags())).await.unwrap();
    assert_eq!((found.len(), found[0].status.as_str(), found[0].instance_id.as_str()), (1, "InUse", instance));
    assert_eq!((&found[0].ip_address, &found[0].tags), (&allocated.eip_address, &tags()));
    allocation_id
}

/// What was made is found again, by tag and by place.
async fn listed(client: &Client, vpc: &str, switch: &str, instances: &[String]) {
    let mut found = client.list(describe_instances(&[], &tags())).await.unwrap();
    found.sort_by(|a, b| a.host_name.cmp(&b.host_name));
    assert_eq!(found.len(), instances.len());
    for (n, instance) in found.iter().enumerate() {
        assert_eq!(instance.host_name, format!("my-cluster-master-{n}"));
        assert_eq!((instance.vpc_id(), instance.v_switch_id()), (vpc, switch));
        assert_eq!((instance.tag("role"), instance.private_ip().is_some()), (Some("master"), true));
    }
    let bound = found.iter().find(|instance| instance.instance_id == instances[0]).unwrap();
    assert!(bound.eip_id().is_some());

    let vpcs = client.list(describe_vpcs(None, &tags())).await.unwrap();
    assert_eq!((vpcs[0].vpc_id.as_str(), vpcs[0].status.as_str(), &vpcs[0].tags), (vpc, "Available", &tags()));
    let switches = client.list(describe_vswitches(None, Some(vpc), &tags())).await.unwrap();
    assert_eq!((switches.len(), switches[0].v_switch_id.as_str()), (1, switch));
    assert_eq!(client.list(describe_security_groups(&tags())).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_corrected() {
    for ahead in [true, false] {
        let hour = Duration::from_secs(3600);
        let now = if ahead { start() + hour } else { start() - hour };
        let double = double();
        let client = client_at(&double, Credentials::Key(AccessKey::new("testid", "testsecret")), now);
        client.call(describe_vpcs(None, &[]).request()).await.unwrap();
        client.call(describe_vpcs(None, &[]).request()).await.unwrap();
        assert_eq!((double.calls().len(), double.refused().len()), (3, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_told_apart() {
    let double = double();
    for (id, secret, hint) in [("nobody", "testsecret", "access key id"), ("testid", "wrong", "check the secret")] {
        let client = client_at(&double, Credentials::Key(AccessKey::new(id, secret)), start());
        let error = client.call(describe_vpcs(None, &[]).request()).await.unwrap_err();
        assert_eq!(error.class, Class::Denied, "{error}");
        let shown = error.to_string();
        assert!(shown.contains(hint) && shown.contains(&error.code) && error.request_id.is_some(), "{shown}");
        assert!(!shown.contains("wrong") && !shown.contains("testsecret"), "{shown}");
    }
    assert_eq!(double.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_roles_keys_work_beyond_their_end() {
    let double = Double::new(Options {
        wall_start: start(),
        keys: Vec::new(),
        ram_role: Some("builder".to_owned()),
        ram_role_lifetime: Duration::from_secs(3600),
        ..Options::default()
    });
    let wire = Arc::new(Wire(double.clone()));
    let role = InstanceRole::new(wire, None, WallClock::starting_at(start()));
    let client = client_at(&double, Credentials::InstanceRole(Arc::new(role)), start());
    for _ in 0..10 {
        client.call(describe_vpcs(None, &[]).request()).await.unwrap();
        sleep(Duration::from_secs(1200)).await;
    }
    assert_eq!(double.refused().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn faults_are_understood() {
    let double = double();
    let client = client(&double);
    let wait = Duration::from_millis(2500);
    for (nth, kind) in [
        (1, FaultKind::Throttled(wait)),
        (2, FaultKind::ErrorAfter),
        (3, FaultKind::LostReply),
        (4, FaultKind::SlowBody(Duration::from_secs(60))),
        (5, FaultKind::Error { status: 503, code: "ServiceUnavailable".to_owned() }),
    ] {
        double.fail(Fault::at("CreateVpc", nth, kind));
    }
    let vpc = create_vpc("n", &[]).with_token("token-vpc");
    let error = client.call(&vpc).await.unwrap_err();
    assert_eq!((error.class, error.may_have_happened), (Class::Throttled, false));
    let told = error.retry_after.unwrap();
    assert!(told > Duration::from_secs(2) && told <= wait, "{told:?}");
    sleep(wait).await;
    for _ in 2..=5 {
        let error = client.call(&vpc).await.unwrap_err();
        assert_eq!((error.class, error.may_have_happened, error.repeatable), (Class::Server, true, true), "{error}");
    }
    client.call(&vpc).await.unwrap();
    assert_eq!((double.counts()["vpcs"], double.too_early()), (1, 0));
}

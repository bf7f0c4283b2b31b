//! Every action against a strict fake of the cloud, which checks signatures and parameters with its own code.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_double::{Double, Fault, FaultKind, Options};
use http::{Request, Response};
use infra_provider::ali_cloud::api::ecs::{
    AuthorizeSecurityGroup, CreateKeyPair, CreateSecurityGroup, DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup,
    DescribeAvailableResource, DescribeImages, DescribeInstanceTypes, DescribeInstances, DescribeKeyPairs,
    DescribeSecurityGroups, Disk, ImportKeyPair, InstanceStatus, ListTagResources, LogIn, ModifyInstanceSpec,
    Permission, RunInstances, StartInstances, StopInstances, TagResources,
};
use infra_provider::ali_cloud::api::eip::{
    AllocateEipAddress, AssociateEipAddress, DescribeEipAddresses, ReleaseEipAddress, UnassociateEipAddress,
};
use infra_provider::ali_cloud::api::vpc::{
    CreateVSwitch, CreateVpc, DeleteVSwitch, DeleteVpc, DescribeVSwitches, DescribeVpcs, DescribeZones,
};
use infra_provider::ali_cloud::api::{
    AccessKey, Action, ApiError, Class, Client, Credentials, Endpoints, InstanceRole, Tag, Transport, TransportFailure,
    WallClock,
};
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
    async fn send(&self, request: Request<Bytes>, after: Duration) -> Result<Response<Bytes>, TransportFailure> {
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
async fn until<A: Action>(client: &Client, request: &A) -> A::Answer {
    for _ in 0..100 {
        match client.call(request).await {
            Ok(answer) => return answer,
            Err(error) if matches!(error.class, Class::NotReady | Class::InUse | Class::Busy) => {
                sleep(Duration::from_millis(500)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{} never went through", A::NAME)
}

fn tags() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster"), Tag::new("role", "master")]
}

fn token(text: &str) -> String {
    format!("token-{text}")
}

#[tokio::test(start_paused = true)]
async fn a_cluster_comes_and_goes() {
    let double = double();
    let client = client(&double);
    let (kind, image, zone) = offers(&client).await;

    let vpc =
        CreateVpc { client_token: token("vpc"), name: Some("n".to_owned()), tags: tags(), ..CreateVpc::default() };
    let vpc_id = until(&client, &vpc).await.vpc_id;
    let switch = CreateVSwitch {
        client_token: token("vsw"),
        vpc_id: vpc_id.clone(),
        zone_id: zone,
        cidr_block: "172.16.0.0/24".to_owned(),
        name: Some("n".to_owned()),
        tags: tags(),
    };
    let v_switch_id = until(&client, &switch).await.v_switch_id;
    let group = CreateSecurityGroup {
        client_token: token("sg"),
        vpc_id: vpc_id.clone(),
        name: Some("n".to_owned()),
        tags: tags(),
        ..CreateSecurityGroup::default()
    };
    let security_group_id = until(&client, &group).await.security_group_id;
    let permissions = vec![Permission::tcp(22, "192.0.2.0/24"), Permission::tcp(6443, "192.0.2.0/24")];
    let open = AuthorizeSecurityGroup { security_group_id: security_group_id.clone(), permissions };
    until(&client, &open).await;
    assert_eq!(double.rules(&security_group_id), ["TCP 22/22 from 192.0.2.0/24", "TCP 6443/6443 from 192.0.2.0/24"]);

    key_pairs(&client).await;
    let run = RunInstances {
        client_token: token("run"),
        image_id: Some(image),
        instance_type: kind,
        security_group_id: security_group_id.clone(),
        v_switch_id: v_switch_id.clone(),
        amount: 3,
        min_amount: Some(3),
        instance_name: Some("中文 my-cluster-master-[0,3]".to_owned()),
        host_name: Some("my-cluster-master-[0,3]".to_owned()),
        log_in: LogIn::Password("Aa1~=+%^*/()".into()),
        system_disk: Some(Disk { size: Some(100), category: Some("cloud_essd".to_owned()), ..Disk::default() }),
        data_disks: vec![Disk { size: Some(100), category: Some("cloud_essd".to_owned()), ..Disk::default() }],
        tags: tags(),
        ..RunInstances::default()
    };
    let instance_ids = until(&client, &run).await.instance_ids;
    assert_eq!(instance_ids.len(), 3);
    assert_eq!(client.call(&run).await.unwrap().instance_ids, instance_ids, "the same token makes the same machines");
    assert_eq!(double.instances_made(), 3);
    change(&client, &instance_ids[0]).await;

    let eip = address(&client, &instance_ids[0]).await;
    listed(&client, &vpc_id, &v_switch_id, &instance_ids).await;

    take_away(&client, [&eip, &v_switch_id, &security_group_id, &vpc_id], instance_ids).await;
    assert_eq!(double.leftovers(), Vec::<String>::new());
}

/// Frees everything, and asks for it once more.
async fn take_away(client: &Client, ids: [&str; 4], instance_ids: Vec<String>) {
    let [allocation_id, v_switch_id, security_group_id, vpc_id] = ids.map(str::to_owned);
    let eip = ReleaseEipAddress { allocation_id: allocation_id.clone() };
    let (switch, group) = (DeleteVSwitch { v_switch_id }, DeleteSecurityGroup { security_group_id });
    let vpc = DeleteVpc { vpc_id };
    until(client, &UnassociateEipAddress { allocation_id, force: false }).await;
    until(client, &DeleteInstances { instance_ids, force: true }).await;
    until(client, &eip).await;
    until(client, &switch).await;
    until(client, &group).await;
    until(client, &vpc).await;

    let gone = |again: Result<_, ApiError>| assert_eq!(again.map_err(|error| error.class), Err(Class::Gone));
    gone(client.call(&vpc).await);
    gone(client.call(&switch).await);
    gone(client.call(&group).await);
    gone(client.call(&eip).await);
}

/// What is to be had: a type, an image, a zone.
async fn offers(client: &Client) -> (String, String, String) {
    let zones = client.call(&DescribeZones {}).await.unwrap().zones;
    let query = DescribeAvailableResource {
        cores: Some(2),
        memory: Some(8.0),
        instance_charge_type: Some("PostPaid".to_owned()),
        ..DescribeAvailableResource::default()
    };
    let stock = client.call(&query).await.unwrap();
    assert_eq!(stock.zones.len(), zones.len());
    let kind = stock.zones[0].offers().find(|offer| offer.is_available()).unwrap().value.clone();
    let types = DescribeInstanceTypes { instance_types: vec![kind.clone()], ..DescribeInstanceTypes::default() };
    let types = client.list(types).await.unwrap();
    assert_eq!((types.len(), types[0].cpu_core_count, types[0].memory_size), (1, 2.0, 8.0));
    let images = client.list(DescribeImages::default()).await.unwrap();
    let image = images.iter().find(|image| image.architecture == "x86_64" && image.os_type == "linux").unwrap();
    (kind, image.image_id.clone(), stock.zones[0].zone_id.clone())
}

async fn key_pairs(client: &Client) {
    let made = client.call(&CreateKeyPair { name: "made".to_owned(), tags: tags() }).await.unwrap();
    assert!(made.private_key_body.expose().contains("PRIVATE KEY"));
    let public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000+/ c".to_owned();
    client.call(&ImportKeyPair { name: "brought".to_owned(), public_key, tags: tags() }).await.unwrap();
    let known = client.list(DescribeKeyPairs { tags: tags(), ..DescribeKeyPairs::default() }).await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(known[0].tags.len(), 2);
    let names = known.into_iter().map(|pair| pair.key_pair_name).collect();
    client.call(&DeleteKeyPairs { names }).await.unwrap();
}

/// Stops a machine, gives it another type, and starts it again.
async fn change(client: &Client, id: &str) {
    let instance_ids = vec![id.to_owned()];
    is(client, id, InstanceStatus::Running).await;
    until(client, &StopInstances { instance_ids: instance_ids.clone(), force: false }).await;
    let larger = DescribeAvailableResource { cores: Some(4), ..DescribeAvailableResource::default() };
    let instance_type = client.call(&larger).await.unwrap().zones[0].offers().next().unwrap().value.clone();
    let modify = ModifyInstanceSpec {
        client_token: token("spec"),
        instance_id: id.to_owned(),
        instance_type: instance_type.clone(),
    };
    until(client, &modify).await;
    until(client, &StartInstances { instance_ids: instance_ids.clone() }).await;
    is(client, id, InstanceStatus::Running).await;
    let found = client.list(DescribeInstances { instance_ids, ..DescribeInstances::default() }).await.unwrap();
    assert_eq!((found[0].instance_type.as_str(), found[0].cpu), (instance_type.as_str(), 4.0));
}

async fn is(client: &Client, id: &str, status: InstanceStatus) {
    for _ in 0..100 {
        let query = DescribeInstances { instance_ids: vec![id.to_owned()], ..DescribeInstances::default() };
        if client.list(query).await.unwrap().iter().any(|instance| instance.status == status) {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("{id} is never {status:?}")
}

/// An elastic address that is bound to the machine.
async fn address(client: &Client, instance: &str) -> String {
    let allocate = AllocateEipAddress {
        client_token: token("eip"),
        bandwidth: Some(100),
        internet_charge_type: Some("PayByTraffic".to_owned()),
        name: Some("n".to_owned()),
        tags: tags(),
    };
    let allocated = client.call(&allocate).await.unwrap();
    let allocation_id = allocated.allocation_id;
    let bind = AssociateEipAddress {
        client_token: token("bind"),
        allocation_id: allocation_id.clone(),
        instance_id: instance.to_owned(),
    };
    until(client, &bind).await;
    sleep(Duration::from_secs(5)).await;
    let found = client.list(DescribeEipAddresses { tags: tags(), ..DescribeEipAddresses::default() }).await.unwrap();
    assert_eq!((found.len(), found[0].status.as_str(), found[0].instance_id.as_str()), (1, "InUse", instance));
    assert_eq!((&found[0].ip_address, &found[0].tags), (&allocated.eip_address, &tags()));
    allocation_id
}

/// What was made is found again, by tag and by place.
async fn listed(client: &Client, vpc: &str, switch: &str, instances: &[String]) {
    let query = DescribeInstances { tags: tags(), vpc_id: Some(vpc.to_owned()), ..DescribeInstances::default() };
    let mut found = client.list(query).await.unwrap();
    found.sort_by(|a, b| a.host_name.cmp(&b.host_name));
    assert_eq!(found.len(), instances.len());
    for (n, instance) in found.iter().enumerate() {
        assert_eq!(instance.host_name, format!("my-cluster-master-{n:03}"));
        assert_eq!((instance.vpc_id(), instance.v_switch_id()), (vpc, switch));
        assert_eq!((instance.tag("role"), instance.private_ip().is_some()), (Some("master"), true));
    }
    let bound = found.iter().find(|instance| instance.instance_id == instances[0]).unwrap();
    assert!(bound.public_ip().is_some() && bound.eip_id().is_some());

    let vpcs = client.list(DescribeVpcs { tags: tags(), ..DescribeVpcs::default() }).await.unwrap();
    assert_eq!((vpcs[0].vpc_id.as_str(), vpcs[0].status.as_str(), &vpcs[0].tags), (vpc, "Available", &tags()));
    let query = DescribeVSwitches { vpc_id: Some(vpc.to_owned()), tags: tags(), ..DescribeVSwitches::default() };
    let switches = client.list(query).await.unwrap();
    assert_eq!((switches.len(), switches[0].v_switch_id.as_str()), (1, switch));
    let query = DescribeSecurityGroups { tags: tags(), ..DescribeSecurityGroups::default() };
    assert_eq!(client.list(query).await.unwrap().len(), 1);

    let more = vec![Tag::new("more", "1")];
    let tag =
        TagResources { resource_type: "instance".to_owned(), resource_ids: instances.to_vec(), tags: more.clone() };
    client.call(&tag).await.unwrap();
    let query = ListTagResources {
        resource_type: "instance".to_owned(),
        resource_ids: instances.to_vec(),
        tags: more,
        next_token: None,
    };
    let tagged = client.list(query).await.unwrap();
    assert!(tagged.iter().any(|tag| tag.tag_key == "more" && tag.tag_value == "1"), "{tagged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_corrected() {
    for ahead in [true, false] {
        let hour = Duration::from_secs(3600);
        let now = if ahead { start() + hour } else { start() - hour };
        let double = double();
        let client = client_at(&double, Credentials::Key(AccessKey::new("testid", "testsecret")), now);
        client.call(&DescribeZones {}).await.unwrap();
        client.call(&DescribeZones {}).await.unwrap();
        assert_eq!((double.calls().len(), double.refused().len()), (3, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_told_apart() {
    let double = double();
    for (id, secret, hint) in [("nobody", "testsecret", "access key id"), ("testid", "wrong", "check the secret")] {
        let client = client_at(&double, Credentials::Key(AccessKey::new(id, secret)), start());
        let error = client.call(&DescribeZones {}).await.unwrap_err();
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
        client.call(&DescribeZones {}).await.unwrap();
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
    let vpc = CreateVpc { client_token: token("vpc"), ..CreateVpc::default() };
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

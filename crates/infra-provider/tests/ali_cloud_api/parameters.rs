//! The parameters of every action, as they go over the wire.

use infra_provider::ali_cloud::api::ecs::{
    Disk, LogIn, RunInstances, authorize_security_group, create_security_group, delete_instances, delete_key_pairs,
    delete_security_group, describe_available_resource, describe_instances, describe_key_pairs,
    describe_security_groups, import_key_pair, modify_instance_spec, start_instances, stop_instances,
};
use infra_provider::ali_cloud::api::eip::{
    allocate_eip_address, associate_eip_address, describe_eip_addresses, release_eip_address, unassociate_eip_address,
};
use infra_provider::ali_cloud::api::vpc::{
    create_vpc, create_vswitch, delete_vpc, delete_vswitch, describe_vpcs, describe_vswitches,
};
use infra_provider::ali_cloud::api::{Request, Tag};

/// The parameters of `request`, `Name=value` joined by spaces, after the action's name.
fn flat<A>(request: &Request<A>) -> String {
    let pairs: Vec<String> = request.parameters.shown().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}: {}", request.action, pairs.join(" "))
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn tags() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster"), Tag::new("role", "master")]
}

const TAGS: &str = "Tag.1.Key=product Tag.1.Value=my-cluster Tag.2.Key=role Tag.2.Value=master";

#[test]
fn machines_are_ordered_as_an_official_client_does() {
    let disk = |size| Disk { size, category: "cloud_essd".to_owned() };
    let order = RunInstances {
        image_id: Some("img~x+y z*".to_owned()),
        instance_type: "ecs.g6.large".to_owned(),
        security_group_id: "sg-1".to_owned(),
        v_switch_id: "vsw-1".to_owned(),
        amount: 3,
        instance_name: "中文-[0,3]".to_owned(),
        log_in: LogIn::Password("Aa1~=+%^*/()".into()),
        system_disk: disk(100),
        data_disks: vec![disk(200)],
        tags: tags(),
        ..RunInstances::default()
    };
    assert_eq!(
        flat(&order.request().with_token("tok-1")),
        format!(
            "RunInstances: Amount=3 ClientToken=tok-1 DataDisk.1.Category=cloud_essd DataDisk.1.DeleteWithInstance=true \
             DataDisk.1.Size=200 ImageId=img~x+y z* InstanceChargeType=PostPaid InstanceName=中文-[0,3] \
             InstanceType=ecs.g6.large MinAmount=1 Password=*** SecurityGroupId=sg-1 \
             SystemDisk.Category=cloud_essd SystemDisk.Size=100 {TAGS} VSwitchId=vsw-1"
        )
    );
    let order = RunInstances {
        image_family: Some("acs:ubuntu".to_owned()),
        amount: 1,
        instance_name: "n".to_owned(),
        host_names: ids(&["a", "b"]),
        log_in: LogIn::KeyPair("k".to_owned()),
        system_disk: disk(40),
        ..RunInstances::default()
    };
    assert_eq!(
        flat(&order.request()),
        "RunInstances: Amount=1 HostNames.1=a HostNames.2=b ImageFamily=acs:ubuntu InstanceChargeType=PostPaid \
         InstanceName=n InstanceType= KeyPairName=k MinAmount=1 SecurityGroupId= SystemDisk.Category=cloud_essd \
         SystemDisk.Size=40 VSwitchId="
    );
}

#[test]
fn machines_are_listed_changed_and_deleted() {
    let two = ids(&["i-1", "i-2"]);
    assert_eq!(
        flat(describe_instances(&two, &tags()).request()),
        format!("DescribeInstances: InstanceIds=[\"i-1\",\"i-2\"] MaxResults=100 {TAGS}")
    );
    assert_eq!(flat(describe_instances(&[], &[]).request()), "DescribeInstances: MaxResults=100");
    assert_eq!(flat(&delete_instances(&two)), "DeleteInstances: Force=true InstanceId.1=i-1 InstanceId.2=i-2");
    assert_eq!(flat(&stop_instances(&two)), "StopInstances: InstanceId.1=i-1 InstanceId.2=i-2");
    assert_eq!(flat(&start_instances(&two)), "StartInstances: InstanceId.1=i-1 InstanceId.2=i-2");
    let request = modify_instance_spec("i-1", "ecs.g6.xlarge").with_token("tok");
    assert_eq!(flat(&request), "ModifyInstanceSpec: ClientToken=tok InstanceId=i-1 InstanceType=ecs.g6.xlarge");
    assert!(!request.regional);
}

#[test]
fn stock_is_asked_for() {
    assert_eq!(
        flat(&describe_available_resource(Some("z"), Some((4, 8)), Some("ecs.g6.large"))),
        "DescribeAvailableResource: Cores=4 DestinationResource=InstanceType InstanceChargeType=PostPaid \
         InstanceType=ecs.g6.large IoOptimized=optimized Memory=8 ZoneId=z"
    );
}

#[test]
fn security_groups_open_in_one_call() {
    let request = create_security_group("vpc-1", "n", &tags()).with_token("tok");
    assert_eq!(flat(&request), format!("CreateSecurityGroup: ClientToken=tok SecurityGroupName=n {TAGS} VpcId=vpc-1"));
    assert_eq!(
        flat(&authorize_security_group("sg-1", [(22, "0.0.0.0/0"), (6443, "192.0.2.0/24")])),
        "AuthorizeSecurityGroup: Permissions.1.IpProtocol=TCP Permissions.1.Policy=accept \
         Permissions.1.PortRange=22/22 Permissions.1.SourceCidrIp=0.0.0.0/0 Permissions.2.IpProtocol=TCP \
         Permissions.2.Policy=accept Permissions.2.PortRange=6443/6443 Permissions.2.SourceCidrIp=192.0.2.0/24 \
         SecurityGroupId=sg-1"
    );
    assert_eq!(flat(&delete_security_group("sg-1")), "DeleteSecurityGroup: SecurityGroupId=sg-1");
    assert_eq!(
        flat(describe_security_groups(&tags()).request()),
        format!("DescribeSecurityGroups: PageNumber=1 PageSize=50 {TAGS}")
    );
}

#[test]
fn key_pairs() {
    assert_eq!(
        flat(&import_key_pair("k", "ssh-ed25519 AAAA", &tags())),
        format!("ImportKeyPair: KeyPairName=k PublicKeyBody=ssh-ed25519 AAAA {TAGS}")
    );
    assert_eq!(flat(&delete_key_pairs(&ids(&["k", "l"]))), "DeleteKeyPairs: KeyPairNames=[\"k\",\"l\"]");
    assert_eq!(
        flat(describe_key_pairs(&tags()).request()),
        format!("DescribeKeyPairs: PageNumber=1 PageSize=50 {TAGS}")
    );
}

#[test]
fn networks() {
    assert_eq!(flat(&create_vpc("n", &tags()).with_token("t2")), format!("CreateVpc: ClientToken=t2 {TAGS} VpcName=n"));
    assert_eq!(
        flat(describe_vpcs(Some("vpc-1"), &tags()).request()),
        format!("DescribeVpcs: PageNumber=1 PageSize=50 {TAGS} VpcId=vpc-1")
    );
    assert_eq!(flat(&delete_vpc("vpc-1")), "DeleteVpc: VpcId=vpc-1");
    assert_eq!(
        flat(&create_vswitch("vpc-1", "z", "172.16.0.0/24", "n", &tags()).with_token("t3")),
        format!("CreateVSwitch: CidrBlock=172.16.0.0/24 ClientToken=t3 {TAGS} VSwitchName=n VpcId=vpc-1 ZoneId=z")
    );
    assert_eq!(
        flat(describe_vswitches(Some("vsw-1"), Some("vpc-1"), &tags()).request()),
        format!("DescribeVSwitches: PageNumber=1 PageSize=50 {TAGS} VSwitchId=vsw-1 VpcId=vpc-1")
    );
    assert_eq!(flat(&delete_vswitch("vsw-1")), "DeleteVSwitch: VSwitchId=vsw-1");
}

#[test]
fn elastic_addresses() {
    assert_eq!(
        flat(&allocate_eip_address(100, "n", &tags()).with_token("t4")),
        format!("AllocateEipAddress: Bandwidth=100 ClientToken=t4 InternetChargeType=PayByTraffic Name=n {TAGS}")
    );
    assert_eq!(
        flat(describe_eip_addresses(Some("eip-1"), &tags()).request()),
        format!("DescribeEipAddresses: AllocationId=eip-1 PageNumber=1 PageSize=100 {TAGS}")
    );
    assert_eq!(
        flat(&associate_eip_address("eip-1", "i-1").with_token("t5")),
        "AssociateEipAddress: AllocationId=eip-1 ClientToken=t5 InstanceId=i-1 InstanceType=EcsInstance"
    );
    assert_eq!(flat(&unassociate_eip_address("eip-1")), "UnassociateEipAddress: AllocationId=eip-1 Force=true");
    assert_eq!(flat(&release_eip_address("eip-1")), "ReleaseEipAddress: AllocationId=eip-1");
}

//! The parameters of every action, as they go over the wire.

use infra_provider::ali_cloud::api::ecs::{
    AuthorizeSecurityGroup, CreateKeyPair, CreateSecurityGroup, DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup,
    DescribeAvailableResource, DescribeImages, DescribeInstanceTypes, DescribeInstances, DescribeKeyPairs,
    DescribeSecurityGroups, Disk, ImportKeyPair, ListTagResources, LogIn, ModifyInstanceSpec, Permission, Protocol,
    RunInstances, StartInstances, StopInstances, TagResources,
};
use infra_provider::ali_cloud::api::eip::{
    AllocateEipAddress, AssociateEipAddress, DescribeEipAddresses, ReleaseEipAddress, UnassociateEipAddress,
};
use infra_provider::ali_cloud::api::vpc::{
    CreateVSwitch, CreateVpc, DeleteVSwitch, DeleteVpc, DescribeVSwitches, DescribeVpcs, DescribeZones,
};
use infra_provider::ali_cloud::api::{Action, Tag};

/// The parameters of `request`, `Name=value` joined by spaces, after the action's name.
fn flat<A: Action>(request: &A) -> String {
    let parameters = request.parameters();
    let pairs: Vec<String> = parameters.shown().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}: {}", A::NAME, pairs.join(" "))
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn id(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn tags() -> Vec<Tag> {
    vec![Tag::new("product", "my-cluster"), Tag::new("role", "master")]
}

const TAGS: &str = "Tag.1.Key=product Tag.1.Value=my-cluster Tag.2.Key=role Tag.2.Value=master";

#[test]
fn machines_are_ordered_as_an_official_client_does() {
    let request = RunInstances {
        client_token: "tok-1".to_owned(),
        image_id: id("img~x+y z*"),
        instance_type: "ecs.g6.large".to_owned(),
        security_group_id: "sg-1".to_owned(),
        v_switch_id: "vsw-1".to_owned(),
        amount: 3,
        min_amount: Some(3),
        instance_name: id("中文-[0,3]"),
        host_name: id("m-[0,3]"),
        unique_suffix: true,
        log_in: LogIn::Password("Aa1~=+%^*/()".into()),
        system_disk: Some(Disk { size: Some(100), category: id("cloud_essd"), performance_level: None }),
        data_disks: vec![Disk { size: Some(100), category: id("cloud_essd"), performance_level: id("PL1") }],
        tags: tags(),
        ..RunInstances::default()
    };
    assert_eq!(
        flat(&request),
        format!(
            "RunInstances: Amount=3 ClientToken=tok-1 DataDisk.1.Category=cloud_essd DataDisk.1.DeleteWithInstance=true \
             DataDisk.1.PerformanceLevel=PL1 DataDisk.1.Size=100 HostName=m-[0,3] ImageId=img~x+y z* \
             InstanceName=中文-[0,3] InstanceType=ecs.g6.large MinAmount=3 Password=*** SecurityGroupId=sg-1 \
             SystemDisk.Category=cloud_essd SystemDisk.Size=100 {TAGS} UniqueSuffix=true VSwitchId=vsw-1"
        )
    );
    let request = RunInstances {
        image_family: id("acs:ubuntu"),
        amount: 1,
        host_names: ids(&["a", "b"]),
        log_in: LogIn::KeyPair("k".to_owned()),
        user_data: Some("#!".into()),
        internet_max_bandwidth_out: Some(5),
        private_ip_address: Some([172, 16, 0, 10].into()),
        instance_charge_type: id("PostPaid"),
        spot_strategy: id("SpotAsPriceGo"),
        auto_release_time: id("2026-11-23T18:00:00Z"),
        dry_run: true,
        ..RunInstances::default()
    };
    assert_eq!(
        flat(&request),
        "RunInstances: Amount=1 AutoReleaseTime=2026-11-23T18:00:00Z DryRun=true HostNames.1=a HostNames.2=b \
         ImageFamily=acs:ubuntu InstanceChargeType=PostPaid InstanceType= InternetMaxBandwidthOut=5 KeyPairName=k \
         PrivateIpAddress=172.16.0.10 SecurityGroupId= SpotStrategy=SpotAsPriceGo UserData=*** VSwitchId="
    );
}

#[test]
fn machines_are_listed_changed_and_deleted() {
    let request = DescribeInstances {
        instance_ids: ids(&["i-1", "i-2"]),
        vpc_id: id("vpc-1"),
        v_switch_id: id("vsw-1"),
        security_group_id: id("sg-1"),
        tags: tags(),
        next_token: id("t"),
    };
    assert_eq!(
        flat(&request),
        format!(
            "DescribeInstances: InstanceIds=[\"i-1\",\"i-2\"] MaxResults=100 NextToken=t SecurityGroupId=sg-1 {TAGS} \
             VSwitchId=vsw-1 VpcId=vpc-1"
        )
    );
    assert_eq!(flat(&DescribeInstances::default()), "DescribeInstances: MaxResults=100");
    let two = || ids(&["i-1", "i-2"]);
    assert_eq!(
        flat(&DeleteInstances { instance_ids: two(), force: true }),
        "DeleteInstances: Force=true InstanceId.1=i-1 InstanceId.2=i-2"
    );
    assert_eq!(
        flat(&StopInstances { instance_ids: two(), force: true }),
        "StopInstances: ForceStop=true InstanceId.1=i-1 InstanceId.2=i-2"
    );
    assert_eq!(flat(&StartInstances { instance_ids: two() }), "StartInstances: InstanceId.1=i-1 InstanceId.2=i-2");
    let request = ModifyInstanceSpec {
        client_token: "tok".to_owned(),
        instance_id: "i-1".to_owned(),
        instance_type: "ecs.g6.xlarge".to_owned(),
    };
    assert_eq!(flat(&request), "ModifyInstanceSpec: ClientToken=tok InstanceId=i-1 InstanceType=ecs.g6.xlarge");
}

#[test]
fn stock_types_and_images_are_asked_for() {
    let request = DescribeAvailableResource {
        zone_id: id("z"),
        cores: Some(4),
        memory: Some(8.0),
        instance_type: id("ecs.g6.large"),
        instance_charge_type: id("PostPaid"),
        system_disk_category: id("cloud_essd"),
    };
    assert_eq!(
        flat(&request),
        "DescribeAvailableResource: Cores=4 DestinationResource=InstanceType InstanceChargeType=PostPaid \
         InstanceType=ecs.g6.large IoOptimized=optimized Memory=8 SystemDiskCategory=cloud_essd ZoneId=z"
    );
    let request = DescribeInstanceTypes {
        instance_types: ids(&["a", "b"]),
        minimum_cores: Some(2),
        maximum_cores: Some(4),
        minimum_memory: Some(0.5),
        maximum_memory: Some(8.0),
        next_token: id("t"),
    };
    assert_eq!(
        flat(&request),
        "DescribeInstanceTypes: InstanceTypes.1=a InstanceTypes.2=b MaxResults=100 MaximumCpuCoreCount=4 \
         MaximumMemorySize=8 MinimumCpuCoreCount=2 MinimumMemorySize=0.5 NextToken=t"
    );
    let request = DescribeImages {
        image_ids: ids(&["m-1", "m-2"]),
        image_family: id("f"),
        image_name: id("n*"),
        image_owner_alias: id("system"),
        architecture: id("x86_64"),
        instance_type: id("ecs.g6.large"),
        ..DescribeImages::default()
    };
    assert_eq!(
        flat(&request),
        "DescribeImages: Architecture=x86_64 ImageFamily=f ImageId=m-1,m-2 ImageName=n* ImageOwnerAlias=system \
         InstanceType=ecs.g6.large PageNumber=1 PageSize=100"
    );
}

#[test]
fn security_groups_open_in_one_call() {
    let request = CreateSecurityGroup {
        client_token: "tok".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        name: id("n"),
        security_group_type: id("normal"),
        tags: tags(),
    };
    assert_eq!(
        flat(&request),
        format!("CreateSecurityGroup: ClientToken=tok SecurityGroupName=n SecurityGroupType=normal {TAGS} VpcId=vpc-1")
    );
    let request = AuthorizeSecurityGroup {
        security_group_id: "sg-1".to_owned(),
        permissions: vec![
            Permission::tcp(22, "0.0.0.0/0"),
            Permission {
                protocol: Protocol::All,
                source_group: id("sg-1"),
                description: id("members"),
                ..Permission::default()
            },
        ],
    };
    assert_eq!(
        flat(&request),
        "AuthorizeSecurityGroup: Permissions.1.IpProtocol=TCP Permissions.1.Policy=accept \
         Permissions.1.PortRange=22/22 Permissions.1.SourceCidrIp=0.0.0.0/0 Permissions.2.Description=members \
         Permissions.2.IpProtocol=ALL Permissions.2.Policy=accept Permissions.2.PortRange=-1/-1 \
         Permissions.2.SourceGroupId=sg-1 SecurityGroupId=sg-1"
    );
    assert_eq!(
        flat(&DeleteSecurityGroup { security_group_id: "sg-1".to_owned() }),
        "DeleteSecurityGroup: SecurityGroupId=sg-1"
    );
    let request = DescribeSecurityGroups {
        security_group_id: id("sg-1"),
        vpc_id: id("vpc-1"),
        tags: tags(),
        ..DescribeSecurityGroups::default()
    };
    assert_eq!(
        flat(&request),
        format!("DescribeSecurityGroups: PageNumber=1 PageSize=50 SecurityGroupId=sg-1 {TAGS} VpcId=vpc-1")
    );
}

#[test]
fn key_pairs_and_tags() {
    assert_eq!(
        flat(&CreateKeyPair { name: "k".to_owned(), tags: tags() }),
        format!("CreateKeyPair: KeyPairName=k {TAGS}")
    );
    let request = ImportKeyPair { name: "k".to_owned(), public_key: "ssh-ed25519 AAAA".to_owned(), tags: tags() };
    assert_eq!(flat(&request), format!("ImportKeyPair: KeyPairName=k PublicKeyBody=ssh-ed25519 AAAA {TAGS}"));
    assert_eq!(flat(&DeleteKeyPairs { names: ids(&["k", "l"]) }), "DeleteKeyPairs: KeyPairNames=[\"k\",\"l\"]");
    assert_eq!(
        flat(&DescribeKeyPairs { name: id("k*"), tags: tags(), ..DescribeKeyPairs::default() }),
        format!("DescribeKeyPairs: KeyPairName=k* PageNumber=1 PageSize=50 {TAGS}")
    );
    let request = TagResources { resource_type: "instance".to_owned(), resource_ids: ids(&["i-1"]), tags: tags() };
    assert_eq!(flat(&request), format!("TagResources: ResourceId.1=i-1 ResourceType=instance {TAGS}"));
    let request = ListTagResources {
        resource_type: "instance".to_owned(),
        resource_ids: ids(&["i-1"]),
        tags: tags(),
        next_token: id("t"),
    };
    assert_eq!(flat(&request), format!("ListTagResources: NextToken=t ResourceId.1=i-1 ResourceType=instance {TAGS}"));
}

#[test]
fn networks() {
    let request =
        CreateVpc { client_token: "t2".to_owned(), cidr_block: id("172.16.0.0/16"), name: id("n"), tags: tags() };
    assert_eq!(flat(&request), format!("CreateVpc: CidrBlock=172.16.0.0/16 ClientToken=t2 {TAGS} VpcName=n"));
    assert_eq!(
        flat(&DescribeVpcs { vpc_id: id("vpc-1"), tags: tags(), ..DescribeVpcs::default() }),
        format!("DescribeVpcs: PageNumber=1 PageSize=50 {TAGS} VpcId=vpc-1")
    );
    assert_eq!(flat(&DeleteVpc { vpc_id: "vpc-1".to_owned() }), "DeleteVpc: VpcId=vpc-1");
    let request = CreateVSwitch {
        client_token: "t3".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        zone_id: "z".to_owned(),
        cidr_block: "172.16.0.0/24".to_owned(),
        name: id("n"),
        tags: tags(),
    };
    assert_eq!(
        flat(&request),
        format!("CreateVSwitch: CidrBlock=172.16.0.0/24 ClientToken=t3 {TAGS} VSwitchName=n VpcId=vpc-1 ZoneId=z")
    );
    let request = DescribeVSwitches {
        v_switch_id: id("vsw-1"),
        vpc_id: id("vpc-1"),
        tags: tags(),
        ..DescribeVSwitches::default()
    };
    assert_eq!(
        flat(&request),
        format!("DescribeVSwitches: PageNumber=1 PageSize=50 {TAGS} VSwitchId=vsw-1 VpcId=vpc-1")
    );
    assert_eq!(flat(&DeleteVSwitch { v_switch_id: "vsw-1".to_owned() }), "DeleteVSwitch: VSwitchId=vsw-1");
    assert_eq!(flat(&DescribeZones {}), "DescribeZones: ");
}

#[test]
fn elastic_addresses() {
    let request = AllocateEipAddress {
        client_token: "t4".to_owned(),
        bandwidth: Some(100),
        internet_charge_type: id("PayByTraffic"),
        name: id("n"),
        tags: tags(),
    };
    assert_eq!(
        flat(&request),
        format!("AllocateEipAddress: Bandwidth=100 ClientToken=t4 InternetChargeType=PayByTraffic Name=n {TAGS}")
    );
    assert_eq!(
        flat(&DescribeEipAddresses { allocation_id: id("eip-1"), tags: tags(), ..DescribeEipAddresses::default() }),
        format!("DescribeEipAddresses: AllocationId=eip-1 PageNumber=1 PageSize=100 {TAGS}")
    );
    let request = AssociateEipAddress {
        client_token: "t5".to_owned(),
        allocation_id: "eip-1".to_owned(),
        instance_id: "i-1".to_owned(),
    };
    assert_eq!(
        flat(&request),
        "AssociateEipAddress: AllocationId=eip-1 ClientToken=t5 InstanceId=i-1 InstanceType=EcsInstance"
    );
    assert_eq!(
        flat(&UnassociateEipAddress { allocation_id: "eip-1".to_owned(), force: true }),
        "UnassociateEipAddress: AllocationId=eip-1 Force=true"
    );
    assert_eq!(flat(&ReleaseEipAddress { allocation_id: "eip-1".to_owned() }), "ReleaseEipAddress: AllocationId=eip-1");
}

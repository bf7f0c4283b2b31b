//! Answers as the cloud writes them, read into their types.

use std::sync::Arc;

use infra_provider::ali_cloud::api::ecs::{
    CreateKeyPair, DescribeAvailableResource, DescribeImages, DescribeInstanceTypes, DescribeInstances,
    DescribeKeyPairs, DescribeSecurityGroups, InstanceStatus, ListTagResources, RunInstances, StockLevel,
};
use infra_provider::ali_cloud::api::eip::{AllocateEipAddress, DescribeEipAddresses};
use infra_provider::ali_cloud::api::vpc::{CreateVSwitch, DescribeVSwitches, DescribeVpcs, DescribeZones};
use infra_provider::ali_cloud::api::{Action, Listing, Tag};

use crate::scripted::{Scripted, answer, client};

async fn read<A: Action>(request: A, body: &str) -> A::Answer {
    client(Scripted::new([answer(200, &[], body)])).call(&request).await.unwrap()
}

async fn all<A: Listing>(request: A, body: &str) -> Vec<A::Item> {
    let server = Scripted::new([answer(200, &[], body)]);
    let items = client(Arc::clone(&server)).list(request).await.unwrap();
    assert_eq!(server.count(), 1);
    items
}

#[tokio::test]
async fn machines() {
    let started = read(
        RunInstances::default(),
        r#"{"RequestId":"r","OrderId":"1","TradePrice":0.1,"InstanceIdSets":{"InstanceIdSet":["i-1","i-2"]}}"#,
    )
    .await;
    assert_eq!(started.instance_ids, ["i-1", "i-2"]);

    let body = r#"{"TotalCount":2,"NextToken":"","RequestId":"r","Instances":{"Instance":[
        {"InstanceId":"i-1","Status":"Running","Cpu":4,"Memory":8192,"InstanceType":"ecs.c6.xlarge","ZoneId":"z",
         "HostName":"m-0","NetworkInterfaces":{"NetworkInterface":[{"PrimaryIpAddress":"172.16.0.5","MacAddress":"x"}]},
         "VpcAttributes":{"VpcId":"vpc-1","VSwitchId":"vsw-1","PrivateIpAddress":{"IpAddress":["172.16.0.6"]}},
         "EipAddress":{"IpAddress":"198.51.100.7","AllocationId":"eip-1","IsSupportUnassociate":true},
         "PublicIpAddress":{"IpAddress":[]},"SecurityGroupIds":{"SecurityGroupId":["sg-1"]},
         "Tags":{"Tag":[{"TagKey":"role","TagValue":"master"},{"TagKey":"bare"}]}},
        {"InstanceId":"i-2","Status":"Dreaming","NetworkInterfaces":{"NetworkInterface":[]},"Tags":null,
         "EipAddress":{"IpAddress":"","AllocationId":""},"PublicIpAddress":{"IpAddress":["198.51.100.8"]}}]}}"#;
    let found = all(DescribeInstances::default(), body).await;
    let [one, two] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.status, one.cpu, one.memory), (InstanceStatus::Running, 4.0, 8192.0));
    assert_eq!(one.private_ip(), Some([172, 16, 0, 5].into()));
    assert_eq!(one.public_ip(), Some([198, 51, 100, 7].into()));
    assert_eq!((one.eip_id(), one.vpc_id(), one.v_switch_id()), (Some("eip-1"), "vpc-1", "vsw-1"));
    assert_eq!((one.tag("role"), one.tag("bare"), one.tag("none")), (Some("master"), Some(""), None));
    assert_eq!(one.security_group_ids, ["sg-1"]);
    assert_eq!((two.status, two.private_ip(), two.eip_id()), (InstanceStatus::Other, None, None));
    assert_eq!(two.public_ip(), Some([198, 51, 100, 8].into()));
}

#[tokio::test]
async fn stock() {
    let body = r#"{"AvailableZones":{"AvailableZone":[
        {"ZoneId":"z-a","Status":"Available","StatusCategory":"WithStock","RegionId":"r","AvailableResources":
         {"AvailableResource":[{"Type":"InstanceType","SupportedResources":{"SupportedResource":[
          {"Value":"ecs.g6.large","Status":"Available","StatusCategory":"ClosedWithStock"},
          {"Value":"ecs.g5.large","Status":"SoldOut","StatusCategory":"WithoutStock"},
          {"Value":"ecs.g7.large","Status":"Available","StatusCategory":"WithoutStock"},
          {"Value":"ecs.g8.large"}]}}]}},
        {"ZoneId":"z-b","StatusCategory":"Whatever"}]}}"#;
    let stock = read(DescribeAvailableResource::default(), body).await;
    let [a, b] = &stock.zones[..] else { panic!("{stock:?}") };
    let available: Vec<&str> = a.offers().filter(|o| o.is_available()).map(|o| o.value.as_str()).collect();
    assert_eq!(available, ["ecs.g6.large", "ecs.g8.large"]);
    assert_eq!((a.status_category, b.status_category), (StockLevel::WithStock, StockLevel::Unknown));
    assert!(StockLevel::WithStock > StockLevel::ClosedWithStock && b.offers().next().is_none());

    let body = r#"{"InstanceTypes":{"InstanceType":[
        {"InstanceTypeId":"ecs.t5-lc2m1.nano","CpuCoreCount":1,"MemorySize":0.5,"CpuArchitecture":"X86"}]}}"#;
    let types = all(DescribeInstanceTypes::default(), body).await;
    assert_eq!((types[0].cpu_core_count, types[0].memory_size), (1.0, 0.5));

    let body = r#"{"TotalCount":1,"Images":{"Image":[{"ImageId":"m-1","OSName":"Debian","OSType":"linux","Size":20,
        "Status":"Available","Architecture":"x86_64"}]}}"#;
    let images = all(DescribeImages::default(), body).await;
    assert_eq!((images[0].os_name.as_str(), images[0].size), ("Debian", 20.0));
}

#[tokio::test]
async fn networks_and_addresses() {
    let tag = vec![Tag::new("product", "c")];
    let body = r#"{"TotalCount":1,"PageSize":50,"Vpcs":{"Vpc":[{"VpcId":"vpc-1","VpcName":"n","Status":"Available",
        "CidrBlock":"172.16.0.0/12","VSwitchIds":{"VSwitchId":["vsw-1"]},"Tags":{"Tag":[{"Key":"product","Value":"c"}]}}]}}"#;
    let vpcs = all(DescribeVpcs::default(), body).await;
    assert_eq!((vpcs[0].vpc_id.as_str(), &vpcs[0].v_switch_ids[..]), ("vpc-1", &["vsw-1".to_owned()][..]));
    assert_eq!(vpcs[0].tags, tag);

    assert_eq!(read(CreateVSwitch::default(), r#"{"VSwitchId":"vsw-1"}"#).await.v_switch_id, "vsw-1");
    let body = r#"{"TotalCount":1,"VSwitches":{"VSwitch":[{"VSwitchId":"vsw-1","VSwitchName":"n","VpcId":"vpc-1",
        "ZoneId":"z","Status":"Pending","CidrBlock":"172.16.0.0/24","AvailableIpAddressCount":252}]}}"#;
    let switches = all(DescribeVSwitches::default(), body).await;
    assert_eq!((switches[0].v_switch_id.as_str(), switches[0].available_ip_address_count), ("vsw-1", 252));
    assert_eq!((switches[0].v_switch_name.as_str(), switches[0].vpc_id.as_str()), ("n", "vpc-1"));

    let zones = read(DescribeZones {}, r#"{"Zones":{"Zone":[{"ZoneId":"z","LocalName":"甲"}]}}"#).await;
    assert_eq!(zones.zones[0].zone_id, "z");

    let allocated =
        read(AllocateEipAddress::default(), r#"{"AllocationId":"eip-1","EipAddress":"198.51.100.7"}"#).await;
    assert_eq!((allocated.allocation_id.as_str(), allocated.eip_address.as_str()), ("eip-1", "198.51.100.7"));
    let body = r#"{"TotalCount":1,"EipAddresses":{"EipAddress":[{"AllocationId":"eip-1","IpAddress":"198.51.100.7",
        "Status":"InUse","InstanceId":"i-1","Bandwidth":"100","Tags":{"Tag":[{"Key":"product","Value":"c"}]}}]}}"#;
    let eips = all(DescribeEipAddresses::default(), body).await;
    assert_eq!((eips[0].status.as_str(), eips[0].instance_id.as_str(), &eips[0].tags), ("InUse", "i-1", &tag));
}

#[tokio::test]
async fn groups_keys_and_tags() {
    let tag = vec![Tag::new("product", "c")];
    let body = r#"{"TotalCount":1,"SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-1","VpcId":"vpc-1",
        "SecurityGroupName":"n","Tags":{"Tag":[{"TagKey":"product","TagValue":"c"}]}}]}}"#;
    let groups = all(DescribeSecurityGroups::default(), body).await;
    assert_eq!((groups[0].security_group_id.as_str(), &groups[0].tags), ("sg-1", &tag));

    let body = r#"{"KeyPairName":"k","KeyPairFingerPrint":"f","KeyPairId":"ssh-1","PrivateKeyBody":"-----BEGIN hush"}"#;
    let made = read(CreateKeyPair::default(), body).await;
    assert_eq!(made.private_key_body.expose(), "-----BEGIN hush");
    assert!(!format!("{made:?}").contains("hush"));
    let body = r#"{"TotalCount":1,"KeyPairs":{"KeyPair":[{"KeyPairName":"k","Tags":{"Tag":[{"TagKey":"product","TagValue":"c"}]}}]}}"#;
    let pairs = all(DescribeKeyPairs::default(), body).await;
    assert_eq!((pairs[0].key_pair_name.as_str(), &pairs[0].tags), ("k", &tag));

    let body = r#"{"NextToken":"","TagResources":{"TagResource":[{"ResourceId":"i-1","ResourceType":"instance",
        "TagKey":"product","TagValue":"c"}]}}"#;
    let tagged = all(ListTagResources::default(), body).await;
    assert_eq!((tagged[0].resource_id.as_str(), tagged[0].tag_value.as_str()), ("i-1", "c"));
}

//! Answers as the cloud writes them, read into their types.

use std::sync::Arc;

use infra_provider::ali_cloud::api::ecs::{
    InstanceStatus, RunInstances, StockLevel, describe_available_resource, describe_instances, describe_key_pairs,
    describe_security_groups,
};
use infra_provider::ali_cloud::api::eip::{allocate_eip_address, describe_eip_addresses};
use infra_provider::ali_cloud::api::vpc::{create_vswitch, describe_vpcs, describe_vswitches};
use infra_provider::ali_cloud::api::{Listing, Request, Tag};
use serde::de::DeserializeOwned;

use crate::scripted::{Scripted, answer, client};

async fn read<A: DeserializeOwned>(request: Request<A>, body: &str) -> A {
    client(Scripted::new([answer(200, &[], body)])).call(&request).await.unwrap()
}

async fn all<T: DeserializeOwned>(request: Listing<T>, body: &str) -> Vec<T> {
    let server = Scripted::new([answer(200, &[], body)]);
    let items = client(Arc::clone(&server)).list(request).await.unwrap();
    assert_eq!(server.count(), 1);
    items
}

#[tokio::test]
async fn machines() {
    let started = read(
        RunInstances::default().request(),
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
    let found = all(describe_instances(&[], &[]), body).await;
    let [one, two] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.status, one.cpu, one.memory), (InstanceStatus::Running, 4.0, 8192.0));
    assert_eq!(one.private_ip(), Some([172, 16, 0, 5].into()));
    assert_eq!((one.eip_id(), one.vpc_id(), one.v_switch_id()), (Some("eip-1"), "vpc-1", "vsw-1"));
    assert_eq!((one.tag("role"), one.tag("bare"), one.tag("none")), (Some("master"), Some(""), None));
    assert_eq!(one.security_group_ids, ["sg-1"]);
    assert_eq!((two.status, two.private_ip(), two.eip_id()), (InstanceStatus::Other, None, None));
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
    let stock = read(describe_available_resource(None, None, None), body).await;
    let [a, b] = &stock.zones[..] else { panic!("{stock:?}") };
    let available: Vec<&str> = a.offers().filter(|o| o.is_available()).map(|o| o.value.as_str()).collect();
    assert_eq!(available, ["ecs.g6.large", "ecs.g8.large"]);
    let levels: Vec<StockLevel> = a.offers().map(|offer| offer.status_category).collect();
    assert_eq!(levels[..2], [StockLevel::ClosedWithStock, StockLevel::WithoutStock]);
    assert_eq!(levels[3], StockLevel::Unknown);
    assert!(StockLevel::WithStock > StockLevel::ClosedWithStock && b.offers().next().is_none());
}

#[tokio::test]
async fn networks_and_addresses() {
    let tag = vec![Tag::new("product", "c")];
    let body = r#"{"TotalCount":1,"PageSize":50,"Vpcs":{"Vpc":[{"VpcId":"vpc-1","VpcName":"n","Status":"Available",
        "CidrBlock":"172.16.0.0/12","VSwitchIds":{"VSwitchId":["vsw-1"]},"Tags":{"Tag":[{"Key":"product","Value":"c"}]}}]}}"#;
    let vpcs = all(describe_vpcs(None, &[]), body).await;
    assert_eq!((vpcs[0].vpc_id.as_str(), vpcs[0].cidr_block.as_str()), ("vpc-1", "172.16.0.0/12"));
    assert_eq!(vpcs[0].tags, tag);

    let create = create_vswitch("vpc-1", "z", "172.16.0.0/24", "n", &[]);
    assert_eq!(read(create, r#"{"VSwitchId":"vsw-1"}"#).await.v_switch_id, "vsw-1");
    let body = r#"{"TotalCount":1,"VSwitches":{"VSwitch":[{"VSwitchId":"vsw-1","VSwitchName":"n","VpcId":"vpc-1",
        "ZoneId":"z","Status":"Pending","CidrBlock":"172.16.0.0/24","AvailableIpAddressCount":252}]}}"#;
    let switches = all(describe_vswitches(None, None, &[]), body).await;
    assert_eq!((switches[0].v_switch_id.as_str(), switches[0].zone_id.as_str()), ("vsw-1", "z"));
    assert_eq!((switches[0].vpc_id.as_str(), switches[0].cidr_block.as_str()), ("vpc-1", "172.16.0.0/24"));

    let allocated =
        read(allocate_eip_address(5, "n", &[]), r#"{"AllocationId":"eip-1","EipAddress":"198.51.100.7"}"#).await;
    assert_eq!((allocated.allocation_id.as_str(), allocated.eip_address.as_str()), ("eip-1", "198.51.100.7"));
    let body = r#"{"TotalCount":1,"EipAddresses":{"EipAddress":[{"AllocationId":"eip-1","IpAddress":"198.51.100.7",
        "Status":"InUse","InstanceId":"i-1","Bandwidth":"100","Tags":{"Tag":[{"Key":"product","Value":"c"}]}}]}}"#;
    let eips = all(describe_eip_addresses(None, &[]), body).await;
    assert_eq!((eips[0].status.as_str(), eips[0].instance_id.as_str(), &eips[0].tags), ("InUse", "i-1", &tag));
}

#[tokio::test]
async fn groups_and_keys() {
    let tag = vec![Tag::new("product", "c")];
    let body = r#"{"TotalCount":1,"SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-1","VpcId":"vpc-1",
        "SecurityGroupName":"n","Tags":{"Tag":[{"TagKey":"product","TagValue":"c"}]}}]}}"#;
    let groups = all(describe_security_groups(&[]), body).await;
    assert_eq!((groups[0].security_group_id.as_str(), &groups[0].tags), ("sg-1", &tag));

    let body = r#"{"TotalCount":1,"KeyPairs":{"KeyPair":[{"KeyPairName":"k","Tags":{"Tag":[{"TagKey":"product","TagValue":"c"}]}}]}}"#;
    let pairs = all(describe_key_pairs(&[]), body).await;
    assert_eq!((pairs[0].key_pair_name.as_str(), &pairs[0].tags), ("k", &tag));
}

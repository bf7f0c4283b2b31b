//! Lists: pages, filters, tags, delays, stock.

use std::time::Duration;

use cloud_double::{Consistency, Options, Quotas, Stock, StockRule};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::account;
use crate::life::{ids, network, order};

fn listed<'a>(answer: &'a Value, path: &str) -> &'a Vec<Value> {
    answer.pointer(path).and_then(Value::as_array).unwrap()
}

#[tokio::test(start_paused = true)]
async fn pages_have_ten_rows_unless_told_otherwise() {
    let (_, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let mut order = order(&vswitch, &group);
    order.push(("Amount", "100"));
    let mut all = ids(&caller.call("RunInstances", &order).await.unwrap());
    order[4].1 = "25";
    all.extend(ids(&caller.call("RunInstances", &order).await.unwrap()));
    let instances = "/Instances/Instance";
    let first = caller.call("DescribeInstances", &[]).await.unwrap();
    assert_eq!((listed(&first, instances).len(), &first["TotalCount"]), (10, &json!(125)));
    // Fewer than ten and more than a hundred are moved inside.
    for (asked, given) in [("1", 10), ("60", 60), ("500", 100)] {
        let page = caller.call("DescribeInstances", &[("MaxResults", asked)]).await.unwrap();
        assert_eq!(listed(&page, instances).len(), given);
    }
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let page = caller.call("DescribeInstances", &[("MaxResults", "50"), ("NextToken", &token)]).await.unwrap();
        found.extend(listed(&page, instances).iter().map(|i| i["InstanceId"].as_str().unwrap().to_string()));
        token = page["NextToken"].as_str().unwrap().to_string();
        if token.is_empty() {
            break;
        }
        assert!(token.parse::<u32>().is_err(), "opaque");
    }
    assert_eq!(found, all);
    assert_eq!(caller.code("DescribeInstances", &[("NextToken", "NTA")]).await, "InvalidParameter.NextToken");
    let page = [("PageNumber", "3"), ("PageSize", "60")];
    assert_eq!(listed(&caller.call("DescribeInstances", &page).await.unwrap(), instances).len(), 5);
    let many = json!(all[..101]).to_string();
    assert_eq!(caller.code("DescribeInstances", &[("InstanceIds", &many)]).await, "InvalidParameter.InstanceIds");
    assert_eq!(caller.code("DescribeInstances", &[("InstanceIds", "i-1")]).await, "InvalidParameter.InstanceIds");
    assert_eq!(caller.code("DescribeInstanceStatus", &[("PageSize", "51")]).await, "InvalidParameter.PageSize");
}

#[tokio::test(start_paused = true)]
async fn everything_is_found_by_its_tags() {
    let (_, caller) = account(Options { quotas: Quotas { vpcs: 20, ..Quotas::default() }, ..Options::default() });
    let tag = [("Tag.1.Key", "product"), ("Tag.1.Value", "c")];
    let other = [("Tag.1.Key", "product"), ("Tag.1.Value", "d")];
    let with = |mut parameters: Vec<(&'static str, &'static str)>| {
        parameters.extend(tag);
        parameters
    };
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_string();
    let vpc = text(&caller.call("CreateVpc", &with(vec![])).await.unwrap(), "VpcId");
    for _ in 0..12 {
        caller.call("CreateVpc", &other).await.unwrap();
    }
    sleep(Duration::from_secs(4)).await;
    let mut new = with(vec![("ZoneId", "cn-chengdu-a"), ("CidrBlock", "172.16.0.0/24")]);
    new.push(("VpcId", &vpc));
    let vswitch = text(&caller.call("CreateVSwitch", &new).await.unwrap(), "VSwitchId");
    let mut new = with(vec![]);
    new.push(("VpcId", &vpc));
    let group = text(&caller.call("CreateSecurityGroup", &new).await.unwrap(), "SecurityGroupId");
    caller.call("AllocateEipAddress", &with(vec![])).await.unwrap();
    let key = with(vec![("KeyPairName", "c-key"), ("PublicKeyBody", "ssh-ed25519 AAAA c")]);
    caller.call("ImportKeyPair", &key).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    let mut order = order(&vswitch, &group);
    order.extend(tag);
    let id = ids(&caller.call("RunInstances", &order).await.unwrap()).remove(0);
    for (action, path) in [
        ("DescribeVpcs", "/Vpcs/Vpc"),
        ("DescribeVSwitches", "/VSwitches/VSwitch"),
        ("DescribeSecurityGroups", "/SecurityGroups/SecurityGroup"),
        ("DescribeEipAddresses", "/EipAddresses/EipAddress"),
        ("DescribeKeyPairs", "/KeyPairs/KeyPair"),
        ("DescribeInstances", "/Instances/Instance"),
    ] {
        let found = caller.call(action, &tag).await.unwrap();
        assert_eq!((listed(&found, path).len(), &found["TotalCount"]), (1, &json!(1)), "{action}");
        let none = caller.call(action, &[("Tag.1.Key", "product"), ("Tag.1.Value", "e")]).await.unwrap();
        assert_eq!(listed(&none, path).len(), 0, "{action}");
    }
    let more =
        [("ResourceType", "instance"), ("ResourceId.1", id.as_str()), ("Tag.1.Key", "role"), ("Tag.1.Value", "node")];
    caller.call("TagResources", &more).await.unwrap();
    let found = caller.call("ListTagResources", &more[..2]).await.unwrap();
    assert_eq!(listed(&found, "/TagResources/TagResource").len(), 2);
    let too_many: Vec<(String, String)> = (1..=51).map(|n| (format!("ResourceId.{n}"), format!("i-{n}"))).collect();
    let mut call: Vec<(&str, &str)> = too_many.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    call.extend([("ResourceType", "instance"), ("Tag.1.Key", "a")]);
    assert_eq!(caller.code("TagResources", &call).await, "InvalidParameter.ResourceId");
}

#[tokio::test(start_paused = true)]
async fn lists_can_lag_behind() {
    let second = Duration::from_secs;
    let consistency = Consistency {
        missing: second(2),
        without_interfaces: second(4),
        without_address: second(6),
        repeated_address: second(8),
    };
    let (_, caller) = account(Options { consistency, ..Options::default() });
    let (_, vswitch, group) = network(&caller).await;
    let mut order = order(&vswitch, &group);
    order.push(("Amount", "2"));
    caller.call("RunInstances", &order).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let answer = caller.call("DescribeInstances", &[]).await.unwrap();
        let address = |instance: &Value| {
            let interface = &instance["NetworkInterfaces"]["NetworkInterface"][0];
            interface["PrimaryIpAddress"].as_str().unwrap_or("none").to_string()
        };
        seen.push(listed(&answer, "/Instances/Instance").iter().map(address).collect::<Vec<_>>().join(" "));
        sleep(second(2)).await;
    }
    assert_eq!(seen, ["", "none none", " ", "172.16.0.1 172.16.0.1", "172.16.0.1 172.16.0.2"]);
}

#[tokio::test(start_paused = true)]
async fn stock_is_told_by_zone_and_is_not_always_true() {
    let rule = |zone: &str, stock| StockRule {
        zone: Some(format!("cn-chengdu-{zone}")),
        instance_type: Some("ecs.g6.large".to_string()),
        stock,
    };
    let stock = vec![rule("a", Stock::Phantom), rule("b", Stock::Gone), rule("c", Stock::NotOnSale)];
    let (double, caller) = account(Options { stock, ..Options::default() });
    let (_, vswitch, group) = network(&caller).await;
    let question = [
        ("DestinationResource", "InstanceType"),
        ("Cores", "2"),
        ("Memory", "8.0"),
        ("InstanceChargeType", "PostPaid"),
    ];
    let answer = caller.call("DescribeAvailableResource", &question).await.unwrap();
    let zones: Vec<(String, Vec<String>)> = listed(&answer, "/AvailableZones/AvailableZone")
        .iter()
        .map(|zone| {
            let entries = listed(zone, "/AvailableResources/AvailableResource/0/SupportedResources/SupportedResource");
            let entry = |entry: &Value| format!("{} {}", entry["Value"], entry["StatusCategory"]).replace('"', "");
            (zone["ZoneId"].as_str().unwrap().to_string(), entries.iter().map(entry).collect())
        })
        .collect();
    assert_eq!(zones[0].1, ["ecs.g6.large WithStock", "ecs.g7.large WithStock", "ecs.g8y.large WithStock"]);
    assert_eq!(zones[1].1[0], "ecs.g6.large WithoutStock");
    assert_eq!(zones[2].1, ["ecs.g7.large WithStock", "ecs.g8y.large WithStock"]);
    assert_eq!(caller.code("RunInstances", &order(&vswitch, &group)).await, "OperationDenied.NoStock");
    double.set_stock(vec![rule("a", Stock::NotOnSale)]);
    assert_eq!(caller.code("RunInstances", &order(&vswitch, &group)).await, "Zone.NotOnSale");
    double.set_stock(vec![rule("a", Stock::Left(2))]);
    let mut order = order(&vswitch, &group);
    order.push(("Amount", "3"));
    assert_eq!(caller.code("RunInstances", &order).await, "OperationDenied.NoStock", "all or nothing");
    order.push(("MinAmount", "1"));
    assert_eq!(ids(&caller.call("RunInstances", &order).await.unwrap()).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_zone_can_be_answered_with_all() {
    let question = [("DestinationResource", "InstanceType"), ("ZoneId", "cn-chengdu-b")];
    for (stock_of_all_zones, zones) in [(false, 1), (true, 3)] {
        let (_, caller) = account(Options { stock_of_all_zones, ..Options::default() });
        let answer = caller.call("DescribeAvailableResource", &question).await.unwrap();
        assert_eq!(listed(&answer, "/AvailableZones/AvailableZone").len(), zones);
    }
}

#[tokio::test(start_paused = true)]
async fn types_and_images_are_found_by_what_they_are() {
    let (_, caller) = account(Options::default());
    let question = [("MinimumCpuCoreCount", "4"), ("MaximumMemorySize", "8.0"), ("CpuArchitecture", "X86")];
    let answer = caller.call("DescribeInstanceTypes", &question).await.unwrap();
    let found: Vec<&str> =
        listed(&answer, "/InstanceTypes/InstanceType").iter().map(|t| t["InstanceTypeId"].as_str().unwrap()).collect();
    assert_eq!(found, ["ecs.c6.xlarge", "ecs.c7.xlarge", "ecs.c8i.xlarge"]);
    let family = [("ImageFamily", "acs:debian_12_x64")];
    let images = caller.call("DescribeImages", &family).await.unwrap();
    assert_eq!(listed(&images, "/Images/Image").len(), 2);
    let newest = caller.call("DescribeImageFromFamily", &family).await.unwrap();
    assert_eq!(newest["Image"]["ImageId"], "debian_12_x64_20G_alibase_20260101.vhd");
    let named = caller.call("DescribeImages", &[("ImageName", "ubuntu_24*")]).await.unwrap();
    assert_eq!(named["TotalCount"], 1);
    let zones = caller.call("DescribeZones", &[]).await.unwrap();
    assert_eq!(listed(&zones, "/Zones/Zone").len(), 3);
}

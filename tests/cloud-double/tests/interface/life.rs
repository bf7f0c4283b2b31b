//! Three masters and three nodes, from creation to deletion.

use std::time::Duration;

use cloud_double::{Options, Timing};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::account;
use crate::caller::Caller;

/// A network and a group that are ready.
pub(crate) async fn network(caller: &Caller) -> (String, String, String) {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_string();
    let vpc = text(&caller.call("CreateVpc", &[("CidrBlock", "172.16.0.0/16")]).await.unwrap(), "VpcId");
    sleep(Duration::from_secs(5)).await;
    let zone = format!("{}-a", caller.region);
    let order = [("VpcId", vpc.as_str()), ("ZoneId", &zone), ("CidrBlock", "172.16.0.0/24")];
    let vswitch = text(&caller.call("CreateVSwitch", &order).await.unwrap(), "VSwitchId");
    let group = text(&caller.call("CreateSecurityGroup", &[("VpcId", &vpc)]).await.unwrap(), "SecurityGroupId");
    sleep(Duration::from_secs(5)).await;
    (vpc, vswitch, group)
}

/// What an order of machines cannot do without.
pub(crate) fn order<'a>(vswitch: &'a str, group: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("VSwitchId", vswitch),
        ("SecurityGroupId", group),
        ("InstanceType", "ecs.g6.large"),
        ("ImageId", "debian_12_x64_20G_alibase_20260101.vhd"),
    ]
}

pub(crate) fn ids(answer: &Value) -> Vec<String> {
    let ids = answer["InstanceIdSets"]["InstanceIdSet"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_string()).collect()
}

async fn three_and_three(timing: Timing, first_scheme: bool) -> (Duration, usize) {
    let (double, mut caller) = account(Options { timing, ..Options::default() });
    caller.first_scheme = first_scheme;
    let start = Instant::now();
    let (vpc, vswitch, group) = network(&caller).await;
    let mut all = Vec::new();
    for role in ["master", "node"] {
        let name = format!("{role}-[0,3]");
        let mut order = order(&vswitch, &group);
        order.extend([("Amount", "3"), ("HostName", &name), ("InstanceName", &name), ("Password", "Aa1~=+%^*/()")]);
        order.extend([("Tag.1.Key", "product"), ("Tag.1.Value", "c"), ("Tag.2.Key", "role"), ("Tag.2.Value", role)]);
        all.extend(ids(&caller.call("RunInstances", &order).await.unwrap()));
    }
    let eip = caller.call("AllocateEipAddress", &[("Bandwidth", "100"), ("InternetChargeType", "PayByTraffic")]).await;
    let eip = eip.unwrap()["AllocationId"].as_str().unwrap().to_string();
    sleep(timing.running).await;
    let seen = caller.call("DescribeInstances", &[("InstanceIds", &json!(all).to_string())]).await.unwrap();
    let seen = seen["Instances"]["Instance"].as_array().unwrap().clone();
    assert!(seen.iter().all(|instance| instance["Status"] == "Running"), "{seen:?}");
    assert_eq!(seen[4]["HostName"], "node-001");
    assert_eq!(seen[4]["NetworkInterfaces"]["NetworkInterface"][0]["PrimaryIpAddress"], "172.16.0.5");
    caller.call("AssociateEipAddress", &[("AllocationId", &eip), ("InstanceId", &all[0])]).await.unwrap();
    let took = start.elapsed();
    assert_eq!(double.leftovers().len(), 10, "{:?}", double.leftovers());

    sleep(timing.eip).await;
    caller.call("UnassociateEipAddress", &[("AllocationId", &eip)]).await.unwrap();
    let named: Vec<(String, &str)> =
        all.iter().enumerate().map(|(index, id)| (format!("InstanceId.{}", index + 1), id.as_str())).collect();
    let mut doomed: Vec<(&str, &str)> = named.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    doomed.push(("Force", "True"));
    caller.call("DeleteInstances", &doomed).await.unwrap();
    sleep(timing.delete).await;
    caller.call("ReleaseEipAddress", &[("AllocationId", &eip)]).await.unwrap();
    caller.call("DeleteVSwitch", &[("VSwitchId", &vswitch)]).await.unwrap();
    caller.call("DeleteSecurityGroup", &[("SecurityGroupId", &group)]).await.unwrap();
    caller.call("DeleteVpc", &[("VpcId", &vpc)]).await.unwrap();
    assert_eq!(double.leftovers(), Vec::<String>::new());
    assert_eq!((double.refused(), double.instances_made()), (vec![], 6));
    (took, double.calls().len())
}

#[tokio::test(start_paused = true)]
async fn six_machines_come_and_go_by_both_schemes_and_profiles() {
    for (timing, first_scheme) in [(Timing::A, true), (Timing::A, false), (Timing::B, true), (Timing::B, false)] {
        let (took, calls) = three_and_three(timing, first_scheme).await;
        // Ten seconds of waiting for the network, the start of the machines, and eight calls of which some wait.
        let least = Duration::from_secs(10) + timing.running + timing.call * 7;
        assert!(took >= least && took < least + timing.call * 3, "{took:?}");
        assert_eq!(calls, 14);
    }
}

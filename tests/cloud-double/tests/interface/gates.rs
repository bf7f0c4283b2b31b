//! Nothing can be used before it is ready, and nothing can be deleted while something needs it.

use std::time::Duration;

use cloud_double::{Options, Timing};
use tokio::time::sleep;

use crate::account;
use crate::caller::Caller;
use crate::life::{ids, network, order};

async fn text(caller: &Caller, action: &str, parameters: &[(&str, &str)], name: &str) -> String {
    caller.call(action, parameters).await.unwrap()[name].as_str().unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_refuses_what_is_built_on_it() {
    let (double, caller) = account(Options::default());
    let vpc = text(&caller, "CreateVpc", &[], "VpcId").await;
    let vswitch = [("VpcId", vpc.as_str()), ("ZoneId", "cn-chengdu-b"), ("CidrBlock", "172.16.0.0/24")];
    assert_eq!(caller.code("CreateVSwitch", &vswitch).await, "IncorrectVpcStatus");
    assert_eq!(caller.code("CreateSecurityGroup", &[("VpcId", &vpc)]).await, "IncorrectVpcStatus");
    assert_eq!(text(&caller, "DescribeVpcAttribute", &[("VpcId", &vpc)], "Status").await, "Pending");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(text(&caller, "DescribeVpcAttribute", &[("VpcId", &vpc)], "Status").await, "Available");
    let vswitch = text(&caller, "CreateVSwitch", &vswitch, "VSwitchId").await;
    let group = text(&caller, "CreateSecurityGroup", &[("VpcId", &vpc)], "SecurityGroupId").await;
    assert_eq!(caller.code("RunInstances", &order(&vswitch, &group)).await, "IncorrectVSwitchStatus");
    let sibling = [("VpcId", vpc.as_str()), ("ZoneId", "cn-chengdu-b"), ("CidrBlock", "172.16.1.0/24")];
    assert_eq!(caller.code("CreateVSwitch", &sibling).await, "IncorrectVSwitchStatus");
    sleep(Duration::from_secs(3)).await;
    caller.call("CreateVSwitch", &sibling).await.unwrap();
    assert_eq!(caller.code("DeleteVSwitch", &[("VSwitchId", &vswitch)]).await, "TaskConflict");
    caller.call("RunInstances", &order(&vswitch, &group)).await.unwrap();
    assert_eq!(double.instances_made(), 1);
}

#[tokio::test(start_paused = true)]
async fn machines_and_addresses_go_through_their_states() {
    let (_, caller) = account(Options { timing: Timing { call: Duration::ZERO, ..Timing::A }, ..Options::default() });
    let (_, vswitch, group) = network(&caller).await;
    let id = ids(&caller.call("RunInstances", &order(&vswitch, &group)).await.unwrap()).remove(0);
    let eip = text(&caller, "AllocateEipAddress", &[], "AllocationId").await;
    let status = async || {
        let seen = caller.call("DescribeInstanceStatus", &[("InstanceId.1", &id)]).await.unwrap();
        seen["InstanceStatuses"]["InstanceStatus"][0]["Status"].as_str().unwrap_or("gone").to_string()
    };
    let address = async || {
        let seen = caller.call("DescribeEipAddresses", &[("AllocationId", &eip)]).await.unwrap();
        seen["EipAddresses"]["EipAddress"][0]["Status"].as_str().unwrap_or("gone").to_string()
    };
    let bind = [("AllocationId", eip.as_str()), ("InstanceId", id.as_str())];
    let delete = [("InstanceId.1", id.as_str())];
    let (eip, force) = ([("AllocationId", eip.as_str())], [("InstanceId.1", id.as_str()), ("Force", "true")]);
    assert_eq!(status().await, "Pending");
    assert_eq!(caller.code("AssociateEipAddress", &bind).await, "IncorrectInstanceStatus");
    assert_eq!(caller.code("DeleteInstances", &force).await, "IncorrectInstanceStatus.Initializing");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(status().await, "Starting");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(status().await, "Running");
    caller.call("AssociateEipAddress", &bind).await.unwrap();
    assert_eq!(address().await, "Associating");
    assert_eq!(caller.code("UnassociateEipAddress", &eip).await, "IncorrectEipStatus");
    assert_eq!(caller.code("AssociateEipAddress", &bind).await, "IncorrectEipStatus");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(address().await, "InUse");
    assert_eq!(caller.code("ReleaseEipAddress", &eip).await, "IncorrectEipStatus");
    caller.call("UnassociateEipAddress", &eip).await.unwrap();
    assert_eq!(address().await, "Unassociating");
    assert_eq!(caller.code("ReleaseEipAddress", &eip).await, "IncorrectEipStatus");
    assert_eq!(caller.code("DeleteInstances", &delete).await, "IncorrectInstanceStatus");
    sleep(Duration::from_secs(2)).await;
    caller.call("ReleaseEipAddress", &eip).await.unwrap();
    assert_eq!(caller.code("ReleaseEipAddress", &eip).await, "InvalidAllocationId.NotFound");
    caller.call("DeleteInstances", &force).await.unwrap();
    assert_eq!(status().await, "Stopping");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(status().await, "gone");
    assert_eq!(caller.code("DeleteInstances", &force).await, "InvalidInstanceId.NotFound");
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_stays() {
    let (double, caller) = account(Options::default());
    let (vpc, vswitch, group) = network(&caller).await;
    let id = ids(&caller.call("RunInstances", &order(&vswitch, &group)).await.unwrap()).remove(0);
    sleep(Duration::from_secs(10)).await;
    let (vpc, vswitch) = ([("VpcId", vpc.as_str())], [("VSwitchId", vswitch.as_str())]);
    let group = [("SecurityGroupId", group.as_str())];
    assert_eq!(caller.code("DeleteVSwitch", &vswitch).await, "DependencyViolation");
    assert_eq!(caller.code("DeleteSecurityGroup", &group).await, "DependencyViolation");
    assert_eq!(caller.code("DeleteVpc", &vpc).await, "DependencyViolation.Instance");
    caller.call("DeleteInstances", &[("InstanceId.1", &id), ("Force", "True")]).await.unwrap();
    assert_eq!(caller.code("DeleteVSwitch", &vswitch).await, "DependencyViolation", "it takes its time");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(caller.code("DeleteVpc", &vpc).await, "DependencyViolation.VSwitch");
    caller.call("DeleteVSwitch", &vswitch).await.unwrap();
    assert_eq!(caller.code("DeleteVpc", &vpc).await, "DependencyViolation.SecurityGroup");
    caller.call("DeleteSecurityGroup", &group).await.unwrap();
    caller.call("DeleteVpc", &vpc).await.unwrap();
    for (action, what, code) in [
        ("DeleteVSwitch", &vswitch, "InvalidVSwitchId.NotFound"),
        ("DeleteSecurityGroup", &group, "InvalidSecurityGroupId.NotFound"),
        ("DeleteVpc", &vpc, "InvalidVpcId.NotFound"),
    ] {
        assert_eq!(caller.code(action, what).await, code);
    }
    assert!(double.leftovers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn networks_must_fit_into_each_other() {
    let (_, caller) = account(Options::default());
    let (vpc, vswitch, _) = network(&caller).await;
    let mut new = vec![("VpcId", vpc.as_str()), ("ZoneId", "cn-chengdu-a"), ("CidrBlock", "10.0.0.0/24")];
    assert_eq!(caller.code("CreateVSwitch", &new).await, "InvalidCidrBlock.Malformed");
    new[2].1 = "172.16.0.128/25";
    assert_eq!(caller.code("CreateVSwitch", &new).await, "InvalidCidrBlock.Overlapped");
    (new[1].1, new[2].1) = ("cn-chengdu-z", "172.16.1.0/24");
    assert_eq!(caller.code("CreateVSwitch", &new).await, "InvalidZoneId.NotFound");
    let (_, _, stranger) = network(&caller).await;
    assert_eq!(caller.code("RunInstances", &order(&vswitch, &stranger)).await, "OperationDenied.InconsistentNetwork");
}

#[tokio::test(start_paused = true)]
async fn a_vpc_may_be_slow_to_forget_a_vswitch() {
    let timing = Timing { vswitch_delete: Duration::from_secs(2), ..Timing::A };
    let (_, caller) = account(Options { timing, ..Options::default() });
    let (vpc, vswitch, group) = network(&caller).await;
    caller.call("DeleteSecurityGroup", &[("SecurityGroupId", &group)]).await.unwrap();
    caller.call("DeleteVSwitch", &[("VSwitchId", &vswitch)]).await.unwrap();
    assert_eq!(caller.code("DeleteVpc", &[("VpcId", &vpc)]).await, "DependencyViolation.VSwitch");
    sleep(Duration::from_secs(2)).await;
    caller.call("DeleteVpc", &[("VpcId", &vpc)]).await.unwrap();
}

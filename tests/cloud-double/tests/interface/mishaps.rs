//! Injected faults, and what must never be done.

use std::time::Duration;

use cloud_double::{Disconnect, Fault, FaultKind, Lost, Options, Verdict};
use tokio::time::{sleep, timeout};

use crate::account;
use crate::life::{ids, network, order};

#[tokio::test(start_paused = true)]
async fn calls_fail_before_or_after_they_did_something() {
    let (double, caller) = account(Options::default());
    let busy = FaultKind::Error { status: 503, code: "ServiceUnavailable".to_string() };
    double.fail(Fault::at("CreateVpc", 1, FaultKind::ErrorAfter));
    double.fail(Fault::at("CreateVpc", 2, busy));
    double.fail(Fault::at("CreateVpc", 3, FaultKind::Reset));
    double.fail(Fault::at("CreateVpc", 4, FaultKind::LostReply));
    double.fail(Fault::at("CreateVpc", 5, FaultKind::Throttled(Duration::from_millis(2000))));
    double.fail(Fault::at("CreateVpc", 6, FaultKind::SlowBody(Duration::from_secs(30))));
    let refusal = caller.call("CreateVpc", &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (500, "InternalError"));
    assert_eq!(double.counts()["vpcs"], 1, "it happened");
    assert_eq!(caller.call("CreateVpc", &[]).await.unwrap_err().status, 503);
    assert_eq!(caller.send(caller.request("CreateVpc", &[])).await.unwrap_err(), Lost { effect: false });
    assert_eq!(double.counts()["vpcs"], 1);
    assert_eq!(caller.send(caller.request("CreateVpc", &[])).await.unwrap_err(), Lost { effect: true });
    assert_eq!(double.counts()["vpcs"], 2);
    assert_eq!(caller.call("CreateVpc", &[]).await.unwrap_err().retry_after, Some(2000));
    sleep(Duration::from_secs(2)).await;
    let start = double.now();
    caller.call("CreateVpc", &[]).await.unwrap();
    assert!(double.now() - start > Duration::from_secs(30));
    assert_eq!(double.calls()[3].verdict, Verdict::Lost { effect: true });
    assert_eq!(double.refused().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_helps_when_the_answer_was_an_error() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    double.fail(Fault::at("RunInstances", 1, FaultKind::ErrorAfter));
    let mut order = order(&vswitch, &group);
    order.push(("ClientToken", "t"));
    assert_eq!(caller.code("RunInstances", &order).await, "InternalError");
    assert_eq!(ids(&caller.call("RunInstances", &order).await.unwrap()).len(), 1);
    assert_eq!(double.instances_made(), 1);
}

#[tokio::test(start_paused = true)]
async fn machines_can_be_fewer_and_disappear() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    double.fail(Fault::at("RunInstances", 1, FaultKind::Partial(2)));
    double.fail(Fault::at("RunInstances", 2, FaultKind::Partial(2)));
    double.fail(Fault::at("RunInstances", 3, FaultKind::Vanish(Duration::from_secs(2))));
    let mut order = order(&vswitch, &group);
    order.extend([("Amount", "3"), ("MinAmount", "1")]);
    assert_eq!(ids(&caller.call("RunInstances", &order).await.unwrap()).len(), 2);
    order.pop();
    assert_eq!(caller.code("RunInstances", &order).await, "OperationDenied.NoStock");
    assert_eq!(ids(&caller.call("RunInstances", &order).await.unwrap()).len(), 3);
    assert_eq!(double.counts()["instances"], 5);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(double.counts()["instances"], 4);
}

#[tokio::test(start_paused = true)]
async fn binding_can_come_to_nothing() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    double.fail(Fault::at("AssociateEipAddress", 1, FaultKind::BindFails));
    let id = ids(&caller.call("RunInstances", &order(&vswitch, &group)).await.unwrap()).remove(0);
    let eip = caller.call("AllocateEipAddress", &[]).await.unwrap()["AllocationId"].as_str().unwrap().to_string();
    sleep(Duration::from_secs(10)).await;
    let status = async || {
        sleep(Duration::from_secs(2)).await;
        let seen = caller.call("DescribeEipAddresses", &[("AllocationId", &eip)]).await.unwrap();
        seen["EipAddresses"]["EipAddress"][0]["Status"].as_str().unwrap().to_string()
    };
    for expected in ["Available", "InUse"] {
        caller.call("AssociateEipAddress", &[("AllocationId", &eip), ("InstanceId", &id)]).await.unwrap();
        assert_eq!(status().await, expected);
    }
    // An address stays when its machine goes.
    caller.call("DeleteInstances", &[("InstanceId.1", &id), ("Force", "true")]).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(status().await, "Available");
}

#[tokio::test(start_paused = true)]
async fn a_severed_caller_waits_in_vain() {
    for effect in [false, true] {
        let (double, caller) = account(Options::default());
        double.disconnect(Disconnect { after: 1, effect });
        caller.call("CreateVpc", &[]).await.unwrap();
        let patience = Duration::from_secs(3600);
        assert!(timeout(patience, caller.call("CreateVpc", &[])).await.is_err());
        double.disconnected().await;
        assert!(timeout(patience, caller.call("CreateVpc", &[])).await.is_err());
        assert_eq!(double.counts()["vpcs"], 1 + usize::from(effect));
        let verdicts: Vec<Verdict> = double.calls().into_iter().map(|call| call.verdict).collect();
        assert_eq!(verdicts, [Verdict::Done, Verdict::Lost { effect }, Verdict::Lost { effect: false }]);
        double.reconnect();
        caller.call("CreateVpc", &[]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_stop_the_call() {
    let (double, caller) = account(Options::default());
    assert!(timeout(Duration::from_millis(10), caller.call("CreateVpc", &[])).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(double.counts()["vpcs"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_users_must_stay() {
    let (double, caller) = account(Options::default());
    let vpc = double.seed_vpc("cn-chengdu", "10.0.0.0/8");
    let vswitch = double.seed_vswitch(&vpc, "cn-chengdu-c", "10.1.0.0/24");
    let group = double.seed_security_group("cn-chengdu", &vpc);
    let eip = double.seed_eip("cn-chengdu");
    double.seed_key_pair("cn-chengdu", "mine", "ssh-ed25519 AAAA me");
    assert_eq!(double.leftovers(), Vec::<String>::new());
    let mut order = order(&vswitch, &group);
    order.push(("KeyPairName", "mine"));
    let id = ids(&caller.call("RunInstances", &order).await.unwrap()).remove(0);
    assert_eq!(double.leftovers().len(), 1);
    sleep(Duration::from_secs(10)).await;
    caller.call("DeleteInstances", &[("InstanceId.1", &id), ("Force", "true")]).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    assert!(double.violations().is_empty());
    for (action, name, value) in [
        ("DeleteVSwitch", "VSwitchId", vswitch.as_str()),
        ("DeleteSecurityGroup", "SecurityGroupId", &group),
        ("DeleteVpc", "VpcId", &vpc),
        ("ReleaseEipAddress", "AllocationId", &eip),
        ("DeleteKeyPairs", "KeyPairNames", "[\"mine\"]"),
    ] {
        assert_eq!(caller.code(action, &[(name, value)]).await, "Forbidden.RAM", "{action}");
    }
    assert_eq!(double.violations().len(), 5, "{:?}", double.violations());
    assert!(double.leftovers().is_empty());
}

//! Repeated calls: with a client token, without one, too often.

use std::time::Duration;

use cloud_double::{Options, Throttle, Timing, Verdict};
use tokio::time::sleep;

use crate::account;
use crate::life::{ids, network, order};

#[tokio::test(start_paused = true)]
async fn a_token_makes_machines_once() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let mut order = order(&vswitch, &group);
    order.extend([("Amount", "2"), ("ClientToken", "t-1")]);
    let first = ids(&caller.call("RunInstances", &order).await.unwrap());
    let again = ids(&caller.call("RunInstances", &order).await.unwrap());
    assert_eq!((first, double.instances_made()), (again, 2));
    assert_eq!(double.calls().last().unwrap().verdict, Verdict::Replayed);
    order[4].1 = "3";
    assert_eq!(caller.code("RunInstances", &order).await, "IdempotentParameterMismatch");
    order.pop();
    order.push(("ClientToken", "t-2"));
    caller.call("RunInstances", &order).await.unwrap();
    order.pop();
    caller.call("RunInstances", &order).await.unwrap();
    assert_eq!(double.instances_made(), 8, "without a token everything is new");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_use_a_token_up() {
    let (_, caller) = account(Options::default());
    let mut vpc = vec![("ClientToken", "t"), ("CidrBlock", "172.16.0.0/33")];
    assert_eq!(caller.code("CreateVpc", &vpc).await, "InvalidVpcCidrBlock.Malformed");
    vpc[1].1 = "172.16.0.0/16";
    assert_eq!(caller.code("CreateVpc", &vpc).await, "done");
    let long = "x".repeat(65);
    assert_eq!(caller.code("CreateVpc", &[("ClientToken", &long)]).await, "InvalidParameter.ClientToken");
}

#[tokio::test(start_paused = true)]
async fn a_twin_under_way_is_refused() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let mut order = order(&vswitch, &group);
    order.push(("ClientToken", "t"));
    let (one, two) = tokio::join!(caller.code("RunInstances", &order), caller.code("RunInstances", &order));
    assert_eq!([one.as_str(), two.as_str()], ["done", "IdempotentProcessing"]);
    let vpc = [("ClientToken", "t")];
    let (one, two) = tokio::join!(caller.code("CreateVpc", &vpc), caller.code("CreateVpc", &vpc));
    assert_eq!([one.as_str(), two.as_str()], ["done", "OperationFailed.LastTokenProcessing"]);
    assert_eq!((double.instances_made(), double.counts()["vpcs"], double.peak_concurrency()), (1, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn who_calls_too_often_is_told_to_wait_and_watched() {
    let throttle =
        Throttle { action: Some("CreateVpc".to_string()), limit: 1, window: Duration::from_secs(60), tells: true };
    let timing = Timing { call: Duration::ZERO, ..Timing::A };
    let (double, mut caller) = account(Options { throttles: vec![throttle], timing, ..Options::default() });
    caller.call("CreateVpc", &[]).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let refusal = caller.call("CreateVpc", &[]).await.unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.retry_after), ("Throttling.User", Some(50_000)));
    assert_eq!(double.too_early(), 0);
    assert_eq!(caller.code("AllocateEipAddress", &[]).await, "done", "another action is free");
    caller.region = "cn-beijing".to_string();
    assert_eq!(caller.code("CreateVpc", &[]).await, "done", "another region is free");
    caller.region = "cn-chengdu".to_string();
    sleep(Duration::from_secs(49)).await;
    assert_eq!(caller.code("CreateVpc", &[]).await, "Throttling.User");
    assert_eq!(double.too_early(), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(caller.code("CreateVpc", &[]).await, "done");
}

#[tokio::test(start_paused = true)]
async fn every_action_can_be_throttled_by_itself() {
    let throttle = Throttle { action: None, limit: 2, window: Duration::from_secs(60), tells: false };
    let (double, caller) = account(Options { throttles: vec![throttle], ..Options::default() });
    for action in ["DescribeVpcs", "DescribeInstances", "DescribeKeyPairs"] {
        let codes = [caller.code(action, &[]).await, caller.code(action, &[]).await, caller.code(action, &[]).await];
        assert_eq!(codes, ["done", "done", "Throttling.User"]);
        assert_eq!((double.calls_made_of(action), caller.call(action, &[]).await.unwrap_err().retry_after), (3, None));
    }
    assert_eq!((double.calls_made(), double.too_early()), (12, 0), "nobody was told when to come again");
    double.forget_calls();
    assert_eq!((double.calls_made(), double.calls().len()), (12, 0));
}

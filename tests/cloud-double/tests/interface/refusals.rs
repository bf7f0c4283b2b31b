//! Callers that are not authorised, and invalid requests.

use std::time::Duration;

use bytes::Bytes;
use cloud_double::{Key, Options, Quotas};
use http::{Request, Uri};
use tokio::time::sleep;

use crate::account;
use crate::caller::{Caller, read};
use crate::life::{network, order};

/// The same request with something replaced in its address.
fn forged(request: Request<Bytes>, from: &str, to: &str) -> Request<Bytes> {
    let (mut head, body) = request.into_parts();
    let address = head.uri.to_string();
    assert!(address.contains(from), "{address}");
    head.uri = address.replace(from, to).parse::<Uri>().unwrap();
    Request::from_parts(head, body)
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_cannot_be_changed() {
    let (double, mut caller) = account(Options::default());
    for first_scheme in [true, false] {
        caller.first_scheme = first_scheme;
        let request = forged(caller.request("CreateVpc", &[("VpcName", "mine")]), "mine", "other");
        let refusal = read(&caller.send(request).await.unwrap()).unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, "SignatureDoesNotMatch"));
        assert!(refusal.message.contains("the server signs"), "{}", refusal.message);
        caller.secret = "wrong".to_string();
        assert_eq!(caller.code("DescribeRegions", &[]).await, "SignatureDoesNotMatch");
        caller.secret = "testsecret".to_string();
    }
    assert!(double.leftovers().is_empty());
    assert_eq!(double.refused().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_once() {
    let (_, mut caller) = account(Options::default());
    for first_scheme in [true, false] {
        caller.first_scheme = first_scheme;
        let request = caller.request("DescribeRegions", &[]);
        assert!(read(&caller.send(request.clone()).await.unwrap()).is_ok());
        assert_eq!(read(&caller.send(request).await.unwrap()).unwrap_err().code, "SignatureNonceUsed");
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_must_agree_within_a_quarter_of_an_hour() {
    let (_, mut caller) = account(Options::default());
    for (ahead, expected) in
        [(-950, "InvalidTimeStamp.Expired"), (-800, "done"), (800, "done"), (950, "InvalidTimeStamp.Expired")]
    {
        for first_scheme in [true, false] {
            (caller.ahead, caller.first_scheme) = (ahead, first_scheme);
            assert_eq!(caller.code("DescribeRegions", &[]).await, expected, "{ahead}");
        }
    }
    caller.ahead = 950;
    let answer = caller.send(caller.request("DescribeRegions", &[])).await.unwrap();
    assert!(answer.headers()["date"].to_str().unwrap().ends_with(" GMT"), "the caller can set its clock");
}

#[tokio::test(start_paused = true)]
async fn keys_and_tokens_must_be_known_and_fresh() {
    let key = Key { token: Some("t".to_string()), expires: Some(Duration::from_secs(60)), ..Key::new("STS.x", "s") };
    let (_, mut caller) = account(Options { keys: vec![Key::new("testid", "testsecret"), key], ..Options::default() });
    for first_scheme in [true, false] {
        caller.first_scheme = first_scheme;
        caller.id = "nobody".to_string();
        let refusal = caller.call("DescribeRegions", &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidAccessKeyId.NotFound"));
        caller.id = "testid".to_string();
        caller.token = Some("t".to_string());
        assert_eq!(caller.code("DescribeRegions", &[]).await, "InvalidSecurityToken.MismatchWithAccessKey");
        caller.token = None;
    }
    (caller.id, caller.secret) = ("STS.x".to_string(), "s".to_string());
    assert_eq!(caller.code("DescribeRegions", &[]).await, "InvalidAccessKeyId.NotFound");
    caller.token = Some("u".to_string());
    assert_eq!(caller.code("DescribeRegions", &[]).await, "InvalidSecurityToken.Malformed");
    caller.token = Some("t".to_string());
    assert_eq!(caller.code("DescribeRegions", &[]).await, "done");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(caller.code("DescribeRegions", &[]).await, "InvalidSecurityToken.Expired");
}

#[tokio::test(start_paused = true)]
async fn a_role_of_the_machine_gives_keys_that_are_renewed() {
    let options = Options {
        ram_role: Some("builder".to_string()),
        ram_role_lifetime: Duration::from_secs(400),
        ..Options::default()
    };
    let (_, mut caller) = account(options);
    let ask = async |caller: &Caller, path: &str| {
        let request = Request::get(format!("http://100.100.100.200{path}")).body(Bytes::new()).unwrap();
        let answer = caller.send(request).await.unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
    };
    let path = "/latest/meta-data/ram/security-credentials/";
    assert_eq!(ask(&caller, path).await, (200, "builder".to_string()));
    assert_eq!(ask(&caller, &format!("{path}other")).await.0, 404);
    let mut ids = Vec::new();
    for pause in [0, 299, 2] {
        sleep(Duration::from_secs(pause)).await;
        let credentials = ask(&caller, &format!("{path}builder")).await.1;
        let credentials: serde_json::Value = serde_json::from_str(&credentials).unwrap();
        let text = |name: &str| credentials[name].as_str().unwrap().to_string();
        (caller.id, caller.secret, caller.token) =
            (text("AccessKeyId"), text("AccessKeySecret"), Some(text("SecurityToken")));
        assert_eq!(caller.code("DescribeRegions", &[]).await, "done");
        ids.push(caller.id.clone());
    }
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn actions_belong_to_a_version_and_have_their_parameters() {
    let (double, mut caller) = account(Options::default());
    assert_eq!(caller.code("CreateVolcano", &[]).await, "InvalidAction.NotFound");
    for (version, code) in
        [(None, "done"), (Some("2016-04-28"), "InvalidAction.NotFound"), (Some("2011-01-01"), "InvalidVersion")]
    {
        caller.version = version;
        assert_eq!(caller.code("DescribeKeyPairs", &[]).await, code);
    }
    caller.version = None;
    let refusal = caller.call("CreateVSwitch", &[("VpcId", "vpc-x")]).await.unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.message.contains("ZoneId")), ("MissingParameter", true));
    assert_eq!(caller.code("DescribeVpcAttribute", &[("VpcId", "")]).await, "MissingParameter");
    assert_eq!(caller.code("DeleteInstances", &[]).await, "MissingParameter");
    let refusal = caller.call("CreateVpc", &[("VPCName", "typo")]).await.unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.message.contains("VPCName")), ("InvalidParameter.Unknown", true));
    assert_eq!(caller.code("CreateVpc", &[("RegionId", "cn-atlantis")]).await, "InvalidRegionId.NotFound");
    assert_eq!(caller.code("CreateVpc", &[("DryRun", "true")]).await, "DryRunOperation");
    assert!(double.leftovers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_with_an_answer_that_can_be_read() {
    let (_, caller) = account(Options::default());
    for (uri, code) in [
        ("http://127.0.0.1/?Action=DescribeRegions", "MissingParameter"),
        ("http://127.0.0.1/?Action=%zz", "InvalidParameter"),
        ("http://127.0.0.1/?a=1&a=2", "InvalidParameter.a"),
        ("http://127.0.0.1/elsewhere", "InvalidAction.NotFound"),
    ] {
        let answer = caller.send(Request::get(uri).body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(read(&answer).unwrap_err().code, code);
    }
    let request = caller.request("DescribeRegions", &[]);
    let (mut head, body) = request.into_parts();
    head.headers.insert("authorization", "ACS3-HMAC-SHA256 Credential=a".parse().unwrap());
    let answer = caller.send(Request::from_parts(head, body)).await.unwrap();
    assert_eq!(read(&answer).unwrap_err().code, "IncompleteSignature");
}

#[tokio::test(start_paused = true)]
async fn an_order_of_machines_is_checked_through() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let image = "debian_12_arm64_20G_alibase_20260101.vhd";
    for (change, code) in [
        (("Amount", "101"), "InvalidParameter.Amount"),
        (("Amount", "0"), "InvalidParameter.Amount"),
        (("MinAmount", "2"), "InvalidParameter.MinAmount"),
        (("Password", "short1A"), "InvalidPassword.Malformed"),
        (("Password", "onlyletters"), "InvalidPassword.Malformed"),
        (("Password", "Umlaut1äbc"), "InvalidPassword.Malformed"),
        (("KeyPairName", "nobodys"), "InvalidKeyPairName.NotFound"),
        (("ImageId", "gone.vhd"), "InvalidImageId.NotFound"),
        (("ImageId", image), "ImageNotSupportInstanceType"),
        (("InstanceType", "ecs.x.huge"), "InvalidInstanceType.ValueNotSupported"),
        (("SystemDisk.Category", "cloud_tape"), "InvalidDiskCategory.ValueNotSupported"),
        (("SystemDisk.Category", "cloud_auto"), "InvalidInstanceType.NotSupportDiskCategory"),
        (("SystemDisk.Size", "10"), "InvalidDiskSize.ValueNotSupported"),
        (("HostName", "under_score"), "InvalidHostName.Malformed"),
        (("UserData", "*"), "InvalidUserData.Base64FormatInvalid"),
        (("PrivateIpAddress", "172.16.0.254"), "InvalidIPAddress.AlreadyUsed"),
        (("AutoReleaseTime", "2020-01-01T00:00:00Z"), "InvalidAutoReleaseTime.Malformed"),
        (("Tag.1.Key", "acs:mine"), "InvalidTagKey.Malformed"),
        (("Tag.2.Key", "gap"), "InvalidParameter.Tag"),
        (("DryRun", "true"), "DryRunOperation"),
    ] {
        let mut order = order(&vswitch, &group);
        order.retain(|(name, _)| *name != change.0);
        order.push(change);
        assert_eq!(caller.code("RunInstances", &order).await, code, "{change:?}");
    }
    let large = "QUFB".repeat(6000);
    let mut order = order(&vswitch, &group);
    order.push(("UserData", &large));
    assert_eq!(caller.code("RunInstances", &order).await, "InvalidUserData.SizeExceeded");
    assert_eq!(double.instances_made(), 0);
    let logged = double.calls().into_iter().find(|call| call.parameters.contains_key("Password")).unwrap();
    assert_eq!(logged.parameters["Password"], "***");
}

#[tokio::test(start_paused = true)]
async fn limits_of_the_account_hold() {
    let quotas = Quotas { vpcs: 1, eips: 1, cpus_of_type: 6, instances: 5, ..Quotas::default() };
    let (_, caller) = account(Options { quotas, ..Options::default() });
    let (_, vswitch, group) = network(&caller).await;
    assert_eq!(caller.code("CreateVpc", &[]).await, "QuotaExceeded.Vpc");
    caller.call("AllocateEipAddress", &[]).await.unwrap();
    assert_eq!(caller.code("AllocateEipAddress", &[]).await, "QuotaExceeded.Eip");
    let mut order = order(&vswitch, &group);
    order.push(("Amount", "4"));
    assert_eq!(caller.code("RunInstances", &order).await, "QuotaExceed.ElasticQuota");
    order[4].1 = "3";
    caller.call("RunInstances", &order).await.unwrap();
    order[2].1 = "ecs.c6.large";
    assert_eq!(caller.code("RunInstances", &order).await, "QuotaExceeded.Instance");
}

#[tokio::test(start_paused = true)]
async fn rules_are_checked_and_counted_once() {
    let (double, caller) = account(Options::default());
    let (_, _, group) = network(&caller).await;
    let rule = |protocol: &'static str, ports: &'static str, source: &'static str| {
        [
            ("SecurityGroupId", group.as_str()),
            ("Permissions.1.IpProtocol", protocol),
            ("Permissions.1.PortRange", ports),
            ("Permissions.1.SourceCidrIp", source),
        ]
    };
    for (rule, code) in [
        (rule("SCTP", "1/1", "0.0.0.0/0"), "InvalidIpProtocol.Malformed"),
        (rule("TCP", "22", "0.0.0.0/0"), "InvalidPortRange.Malformed"),
        (rule("TCP", "22/22", "0.0.0.0/33"), "InvalidSourceCidrIp.Malformed"),
        (rule("TCP", "22/22", "192.0.2.7"), "done"),
        (rule("tcp", "22/22", "192.0.2.7"), "done"),
    ] {
        assert_eq!(caller.code("AuthorizeSecurityGroup", &rule).await, code);
    }
    let mut both = rule("TCP", "22/22", "0.0.0.0/0").to_vec();
    both.push(("IpProtocol", "TCP"));
    assert_eq!(caller.code("AuthorizeSecurityGroup", &both).await, "InvalidParameter.Permissions");
    assert_eq!(double.rules(&group), ["TCP 22/22 from 192.0.2.7"]);
    caller.call("RevokeSecurityGroup", &rule("TCP", "22/22", "192.0.2.7")).await.unwrap();
    assert!(double.rules(&group).is_empty());
}

//! Machines: names, sizes, keys, disks, and real instances.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cloud_double::{Addresses, Double, InstanceHook, InstanceSeed, Options, Timing};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use crate::account;
use crate::caller::Caller;
use crate::life::{ids, network, order};

async fn instances(caller: &Caller) -> Vec<Value> {
    let answer = caller.call("DescribeInstances", &[("MaxResults", "100")]).await.unwrap();
    answer["Instances"]["Instance"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn names_are_counted_up() {
    let (_, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    for (name, unique) in [("node-[7,2]", "false"), ("plain", "true"), ("same", "false")] {
        let mut order = order(&vswitch, &group);
        order.extend([("Amount", "2"), ("HostName", name), ("UniqueSuffix", unique)]);
        caller.call("RunInstances", &order).await.unwrap();
    }
    let mut listed = order(&vswitch, &group);
    listed.extend([
        ("Amount", "2"),
        ("HostNames.1", "one"),
        ("HostNames.2", "two"),
        ("PrivateIpAddress", "172.16.0.50"),
    ]);
    caller.call("RunInstances", &listed).await.unwrap();
    let seen = instances(&caller).await;
    let names: Vec<&str> = seen.iter().map(|instance| instance["HostName"].as_str().unwrap()).collect();
    assert_eq!(names, ["node-07", "node-08", "plain001", "plain002", "same", "same", "one", "two"]);
    let addresses: Vec<&str> =
        seen[5..].iter().map(|i| i["VpcAttributes"]["PrivateIpAddress"]["IpAddress"][0].as_str().unwrap()).collect();
    assert_eq!(addresses, ["172.16.0.6", "172.16.0.50", "172.16.0.51"]);
}

#[tokio::test(start_paused = true)]
async fn the_size_changes_only_while_stopped() {
    let (_, mut caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let id = ids(&caller.call("RunInstances", &order(&vswitch, &group)).await.unwrap()).remove(0);
    sleep(Duration::from_secs(10)).await;
    let (one, spec) =
        ([("InstanceId.1", id.as_str())], [("InstanceId", id.as_str()), ("InstanceType", "ecs.g6.xlarge")]);
    assert_eq!(caller.code("ModifyInstanceSpec", &spec).await, "IncorrectInstanceStatus");
    caller.call("StopInstances", &one).await.unwrap();
    assert_eq!(instances(&caller).await[0]["Status"], "Stopping");
    assert_eq!(caller.code("StartInstances", &one).await, "IncorrectInstanceStatus");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(instances(&caller).await[0]["Status"], "Stopped");
    // These two name no region, as the official client calls them.
    caller.region = String::new();
    caller.call("ModifyInstanceSpec", &spec).await.unwrap();
    caller.call("StartInstance", &spec[..1]).await.unwrap();
    caller.region = "cn-chengdu".to_string();
    assert_eq!(instances(&caller).await[0]["Status"], "Starting");
    sleep(Duration::from_secs(7)).await;
    let seen = instances(&caller).await.remove(0);
    assert_eq!((&seen["Status"], &seen["Cpu"], &seen["Memory"]), (&"Running".into(), &4.into(), &16384.into()));
}

#[tokio::test(start_paused = true)]
async fn machines_leave_by_themselves_and_leave_disks_behind() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let mut order = order(&vswitch, &group);
    let later = OffsetDateTime::from(double.wall() + Duration::from_secs(3600)).replace_nanosecond(0).unwrap();
    let later = later.format(&Rfc3339).unwrap();
    order.extend([
        ("AutoReleaseTime", later.as_str()),
        ("DataDisk.1.Size", "100"),
        ("DataDisk.1.Category", "cloud_essd"),
        ("DataDisk.2.Size", "50"),
        ("DataDisk.2.Category", "cloud_essd"),
        ("DataDisk.2.DeleteWithInstance", "false"),
    ]);
    caller.call("RunInstances", &order).await.unwrap();
    sleep(Duration::from_secs(3590)).await;
    assert_eq!(double.counts()["instances"], 1);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(double.counts()["instances"], 0);
    assert!(double.leftovers()[0].starts_with("disk of i-"), "{:?}", double.leftovers());
}

#[tokio::test(start_paused = true)]
async fn key_pairs_are_kept_as_long_as_they_are_used() {
    let (double, caller) = account(Options::default());
    let (_, vswitch, group) = network(&caller).await;
    let key = [("KeyPairName", "c-key"), ("PublicKeyBody", "ssh-ed25519 AAAA c")];
    assert_eq!(
        caller.code("ImportKeyPair", &[key[0], ("PublicKeyBody", "nonsense")]).await,
        "InvalidPublicKeyBody.Malformed"
    );
    caller.call("ImportKeyPair", &key).await.unwrap();
    assert_eq!(caller.code("ImportKeyPair", &key).await, "KeyPair.AlreadyExist");
    caller.call("CreateKeyPair", &[("KeyPairName", "other")]).await.unwrap();
    let mut order = order(&vswitch, &group);
    order.push(key[0]);
    let id = ids(&caller.call("RunInstances", &order).await.unwrap()).remove(0);
    let delete = [("KeyPairNames", "[\"c-key\",\"other\",\"never-there\"]")];
    assert_eq!(caller.code("DeleteKeyPairs", &delete).await, "InvalidOperation.KeyPairInUse");
    sleep(Duration::from_secs(10)).await;
    caller.call("DeleteInstances", &[("InstanceId.1", &id), ("Force", "true")]).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    caller.call("DeleteKeyPairs", &delete).await.unwrap();
    assert_eq!(double.counts()["key pairs"], 0);
}

/// Remembers what it was asked for, and takes its time.
#[derive(Default)]
struct Workshop(Mutex<Vec<String>>);

#[async_trait]
impl InstanceHook for Workshop {
    async fn started(&self, seed: &InstanceSeed) -> Result<Addresses, String> {
        sleep(Duration::from_secs(20)).await;
        let key = seed.public_key.clone().unwrap_or_default();
        self.0.lock().unwrap().push(format!("started {} at {} with {key}", seed.host_name, seed.private_ip));
        if seed.host_name == "bad" {
            return Err("no room".to_string());
        }
        Ok(Addresses { private: Some(Ipv4Addr::new(172, 17, 0, 9)), public: Some(Ipv4Addr::new(198, 51, 100, 7)) })
    }

    async fn released(&self, _: &str) {
        self.0.lock().unwrap().push("released".to_string());
    }

    async fn bound(&self, _: &str, eip: Ipv4Addr) {
        self.0.lock().unwrap().push(format!("bound {eip}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_runs_when_somebody_made_it_real() {
    let workshop = Arc::new(Workshop::default());
    let hook: Arc<dyn InstanceHook> = workshop.clone();
    let timing = Timing { call: Duration::ZERO, ..Timing::A };
    let double = Double::with_hook(Options { timing, ..Options::default() }, hook);
    let caller = Caller::new(double.clone());
    let (_, vswitch, group) = network(&caller).await;
    caller.call("ImportKeyPair", &[("KeyPairName", "c-key"), ("PublicKeyBody", "ssh-ed25519 AAAA c")]).await.unwrap();
    let mut order = order(&vswitch, &group);
    order.extend([("HostName", "good"), ("KeyPairName", "c-key")]);
    let id = ids(&caller.call("RunInstances", &order).await.unwrap()).remove(0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(instances(&caller).await[0]["Status"], "Starting", "its time is over, but nobody made it");
    sleep(Duration::from_secs(6)).await;
    let seen = instances(&caller).await.remove(0);
    assert_eq!(seen["Status"], "Running");
    assert_eq!(seen["VpcAttributes"]["PrivateIpAddress"]["IpAddress"][0], "172.17.0.9");
    let eip = caller.call("AllocateEipAddress", &[]).await.unwrap()["AllocationId"].as_str().unwrap().to_string();
    caller.call("AssociateEipAddress", &[("AllocationId", &eip), ("InstanceId", &id)]).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(instances(&caller).await[0]["EipAddress"]["IpAddress"], "198.51.100.7");
    caller.call("DeleteInstances", &[("InstanceId.1", &id), ("Force", "true")]).await.unwrap();
    order[4].1 = "bad";
    caller.call("RunInstances", &order).await.unwrap();
    double.quiesce().await;
    assert_eq!(double.counts()["instances"], 0);
    assert!(double.violations()[0].contains("no room"), "{:?}", double.violations());
    let key = "ssh-ed25519 AAAA c";
    let told = workshop.0.lock().unwrap().clone();
    let expected = [
        format!("started good at 172.16.0.1 with {key}"),
        "bound 203.0.113.10".into(),
        "released".into(),
        format!("started bad at 172.16.0.1 with {key}"),
    ];
    assert_eq!(told, expected);
}

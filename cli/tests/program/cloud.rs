//! `--provider ALI_CLOUD` against a fake cloud on loopback: requests, messages, refusals, releases.
//!
//! No machine is ever real here: nothing listens where the first master's public address is.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cloud_double::{Double, Options, Server, Stock, StockRule, Timing, serve};
use serde_json::Value;

use crate::support::{Outcome, Program, finish};

/// Times of the stand-in, so that a test takes no longer than it must.
const FACTOR: f64 = 0.02;

/// The program, and a cloud that it can ask.
struct Scene {
    program: Program,
    double: Double,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = Options {
            timing: Timing::A.scaled(FACTOR),
            // Of this machine, and nobody's.
            first_eip: [127, 77, 0, 10].into(),
            ..options
        };
        let (double, server) = runtime.block_on(async {
            let double = Double::new(options);
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let server = serve(&double, listener).unwrap();
            (double, server)
        });
        let program = Program::with_kubernetes();
        Self { program, double, server, _runtime: runtime }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(arguments);
        let endpoint = format!("http://{}", self.server.address());
        command.env("SEALER_ALIYUN_ECS_ENDPOINT", &endpoint).env("SEALER_ALIYUN_VPC_ENDPOINT", &endpoint);
        command.env("ACCESSKEYID", "testid").env("ACCESSKEYSECRET", "testsecret");
        command.env("SEALER_ADMIN_CIDR", "203.0.113.7/32");
        command
    }

    fn call(&self, arguments: &[&str]) -> Outcome {
        finish(&mut self.command(arguments))
    }

    fn actions(&self) -> Vec<String> {
        self.double.calls().into_iter().map(|call| call.action).collect()
    }

    fn state(&self) -> std::path::PathBuf {
        self.program.path("home/.sealer/my-cluster")
    }
}

#[test]
fn a_dry_run_lists_three_and_three_without_asking_anybody() {
    let scene = Scene::new();
    let arguments = ["run", "kube:1", "--masters", "3", "--nodes", "3", "--region", "cn-hangzhou", "--dry-run"];
    let outcome = scene.call(&arguments);
    outcome.code(0);
    for line in [
        "cluster my-cluster: hosts are made first",
        "  + region cn-hangzhou, the zone with the best stock",
        "  + security group that lets 203.0.113.7/32 reach ports 22 and 6443",
        "  + 3 masters (my-cluster-master-0 to 2): 4 processors, 8 GiB of memory",
        "  + 3 nodes (my-cluster-node-0 to 2)",
        "  + elastic address",
        "nothing was changed",
    ] {
        assert!(outcome.stdout.contains(line), "{line}: {}", outcome.stdout);
    }
    let outcome = scene.call(&[&arguments[..], &["-o", "json"]].concat());
    let planned: Value = serde_json::from_str(&outcome.code(0).stdout).unwrap();
    assert!(planned["provider"].as_array().unwrap().len() > 5 && planned["refused"].is_null(), "{planned}");
    // What comes after a cluster that is not there cannot be planned.
    let outcome = scene.call(&["run", "kube:1", "shop:1", "--masters", "1", "--dry-run"]);
    outcome.code(0);
    assert!(outcome.stderr.contains("what shop:1 would do"), "{}", outcome.stderr);
    // The key is not needed to say so.
    let mut command = scene.command(&["run", "kube:1", "--masters", "1", "--dry-run"]);
    finish(command.env_remove("ACCESSKEYID").env_remove("ACCESSKEYSECRET")).code(0);
    assert!(scene.actions().is_empty() && !scene.state().exists());
}

#[test]
fn what_the_runtime_cannot_make_is_refused_before_anything_is_asked() {
    let scene = Scene::new();
    scene
        .call(&["run", "kube:1", "--masters", "3", "--podcidr", "10.96.0.0/12"])
        .fails(2, &["pod network 10.96.0.0/12", "overlap"]);
    assert!(scene.actions().is_empty() && !scene.state().exists());
}

#[test]
fn what_is_missing_is_told_before_anything_is_asked() {
    let scene = Scene::new();
    let arguments = ["run", "kube:1", "--masters", "1"];
    let without = |names: &[&str]| {
        let mut command = scene.command(&arguments);
        for name in names {
            command.env_remove(name);
        }
        finish(&mut command)
    };
    without(&["ACCESSKEYID", "ACCESSKEYSECRET"]).fails(1, &["no access key for Alibaba Cloud: set ACCESSKEYID"]);
    without(&["ACCESSKEYSECRET"]).fails(1, &["ACCESSKEYID is set, ACCESSKEYSECRET is not"]);
    without(&["SEALER_ADMIN_CIDR"]).fails(1, &["cannot tell under which address", "--admin-cidr"]);
    scene.call(&["run", "kube:1", "--masters", "1", "--admin-cidr", "me"]).fails(1, &["AdminCidr `me`"]);
    scene.call(&["run", "kube:1", "--masters", "1", "--region", "Mars"]).fails(1, &["`Mars` is no region"]);
    let mut command = scene.command(&arguments);
    finish(command.env("SEALER_ALIYUN_ECS_ENDPOINT", "ftp://x")).fails(1, &["`ftp://x` is no endpoint"]);
    let exposed = "http://ecs.example.test";
    finish(command.env("SEALER_ALIYUN_ECS_ENDPOINT", exposed)).fails(1, &[exposed, "--insecure-cloud-endpoint"]);
    assert!(scene.actions().is_empty() && !scene.state().exists());
    // Who works without the cloud is not troubled.
    let mut command = scene.command(&["run", "kube:1", "--provider", "CONTAINER", "--masters", "1", "--dry-run"]);
    finish(command.env_remove("ACCESSKEYSECRET")).code(0);
}

#[test]
fn a_wrong_key_fails_at_once_and_says_what_the_cloud_said() {
    let scene = Scene::new();
    let began = Instant::now();
    let mut command = scene.command(&["run", "kube:1", "--masters", "1"]);
    let outcome = finish(command.env("ACCESSKEYSECRET", "hush-hush"));
    outcome.fails(1, &["SignatureDoesNotMatch", "(HTTP 40", "request ", "check the secret (ACCESSKEYSECRET)"]);
    assert!(!outcome.stderr.contains("hush-hush") && began.elapsed() < Duration::from_secs(5));
    let mut command = scene.command(&["run", "kube:1", "--masters", "1"]);
    finish(command.env("ACCESSKEYID", "nobody")).fails(1, &["InvalidAccessKeyId", "request ", "(ACCESSKEYID)"]);
    assert_eq!(scene.double.leftovers(), Vec::<String>::new());
}

#[test]
fn the_key_can_come_from_the_file_of_the_clouds_own_tool() {
    let scene = Scene::new();
    let config = r#"{"current": "work", "profiles": [
        {"name": "work", "mode": "AK", "access_key_id": "testid", "access_key_secret": "testsecret", "region_id": "cn-beijing"},
        {"name": "sso", "mode": "CloudSSO"}]}"#;
    scene.program.write("home/.aliyun/config.json", config);
    let delete = |profile: Option<&str>| {
        let mut command = scene.command(&["delete", "--yes", "-c", "gone", "--provider", "ALI_CLOUD"]);
        command.env_remove("ACCESSKEYID").env_remove("ACCESSKEYSECRET");
        profile.map(|name| command.env("ALIBABA_CLOUD_PROFILE", name));
        finish(&mut command)
    };
    delete(None).fails(1, &["there is no cluster gone", "ALI_CLOUD has nothing under that name"]);
    let regions: Vec<String> =
        scene.double.calls().iter().filter_map(|call| call.parameters.get("RegionId").cloned()).collect();
    assert!(!regions.is_empty() && regions.iter().all(|region| region == "cn-beijing"), "{regions:?}");
    delete(Some("sso")).fails(1, &[".aliyun/config.json: profile `sso` logs in by CloudSSO"]);
    assert!(!scene.program.path("home/.sealer/gone").exists());
}

#[test]
fn sold_out_is_told_with_what_was_tried_and_can_be_cleaned_up() {
    let gone = StockRule { zone: None, instance_type: None, stock: Stock::Phantom };
    let scene = Scene::with(Options { stock: vec![gone], ..Options::default() });
    let outcome = scene.call(&["run", "kube:1", "--masters", "1"]);
    outcome.fails(1, &["lacks 1 master machines", "OperationDenied.NoStock", "another size or region"]);
    scene.call(&["delete", "--yes", "-c", "my-cluster"]).code(0);
    assert_eq!(scene.double.leftovers(), Vec::<String>::new());
    assert!(!scene.state().exists());
}

#[test]
fn machines_of_a_killed_run_are_found_by_their_tags() {
    let scene = Scene::new();
    // Nobody answers at this port, so the run waits for SSH until it is killed.
    let mut run = scene.command(&["run", "kube:1", "--masters", "1", "--nodes", "1", "--port", "1"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(run.stderr.take().unwrap()).lines().take(200) {
        lines.push(line.unwrap());
        if lines.last().is_some_and(|line| line.contains("for SSH on 2 hosts")) {
            break;
        }
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let text = lines.join("\n");
    for part in [
        "made            VPC vpc-",
        "public address 127.77.0.10 eip-",
        "ordering 1 master of ecs.",
        "ordering 1 node of ecs.",
        "my-cluster-master-0 is ready",
        "hosts",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert_eq!(scene.double.instances_made(), 2, "{text}");
    std::fs::remove_dir_all(scene.state()).unwrap();

    let delete = ["delete", "--yes", "-c", "my-cluster", "--provider", "ALI_CLOUD"];
    scene.call(&delete[..4]).fails(1, &["there is no cluster my-cluster"]);
    let elsewhere = scene.call(&[&delete[..], &["--region", "cn-shanghai"]].concat());
    elsewhere.fails(1, &["ALI_CLOUD has nothing under that name", "--region"]);
    let outcome = scene.call(&delete);
    outcome.code(0).says(&["my-cluster-master-0 is gone", "freed", "VPC vpc-"]);
    assert_eq!(outcome.stdout, "cluster my-cluster is gone: 2 hosts\n");
    assert_eq!(scene.double.leftovers(), Vec::<String>::new());
    assert_eq!(scene.double.violations(), Vec::<String>::new());
    assert!(!scene.state().exists());
}

#[test]
fn sizes_of_the_images_own_clusterfile_hold_for_machines_that_are_counted() {
    let scene = Scene::new();
    let own = "apiVersion: sealer.aliyun.com/v1alpha1\nkind: Cluster\nmetadata:\n  name: shop\nspec:\n  provider: ALI_CLOUD\n  image: own:1\n  \
               masters: {cpu: 8, memory: 16, count: 3, systemDisk: 200}\n  nodes: {cpu: 2, memory: 4, count: 5, dataDisks: [40]}\n";
    scene.program.write("own/etc/Clusterfile", own);
    scene.program.write("own/bin/kubeadm", "");
    scene.program.write("own/Kubefile", "FROM scratch\nCOPY bin bin\nCOPY etc etc\n");
    scene.program.call(&["build", "-q", "-t", "own:1", &scene.program.text("own")]).code(0);
    let outcome = scene.call(&["run", "own:1", "--masters", "1", "--nodes", "2", "--dry-run"]);
    let text = &outcome.code(0).stdout;
    let master = "1 master (my-cluster-master-0): 8 processors, 16 GiB of memory, system disk 200 GiB";
    assert!(text.contains(master), "{text}");
    assert!(text.contains("2 nodes (my-cluster-node-0 to 1): 2 processors, 4 GiB of memory"), "{text}");
    assert!(text.contains("data disk 40 GiB"), "{text}");
    assert!(text.contains("from the Clusterfile inside own:1: provider ALI_CLOUD, masters and nodes"), "{text}");
    assert!(text.contains("left out of the Clusterfile inside own:1: metadata.name;"), "the name is yours: {text}");

    // Who makes machines is not for the image to say.
    let refused = scene.call(&["run", "own:1"]);
    refused.fails(2, &["the Clusterfile inside own:1 has ALI_CLOUD make the machines", "agree with `--yes`"]);
    assert_eq!(scene.double.instances_made(), 0);
}

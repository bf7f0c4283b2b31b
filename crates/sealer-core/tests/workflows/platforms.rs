//! A cluster of hosts with several processors: each has the rootfs and the program for its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sealer_core::cloudimage::{self, Platform};
use sealer_core::clusterfile::{Cluster, Clusterfile, Role};
use sealer_core::host::{self, PullRequest};
use sealer_core::registry_client::{Memory, Registry};
use sealer_core::{Error, PushRequest, push};

use crate::lab::{Bench, address};

/// The start of a program for a processor, as ELF numbers it.
fn program(path: &Path, machine: u8) {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(64, 0);
    head[18] = machine;
    fs::write(path, head).unwrap();
}

/// An image for both, this machine's program for amd64, a master of amd64 and a node of arm64.
async fn bench() -> (Bench, Clusterfile) {
    let mut bench = Bench::with_platforms("lab", Platform::parse_list("linux/amd64,linux/arm64").unwrap()).await;
    let own = bench.directory.path().join("for-amd64");
    program(&own, 62);
    bench.sealer = bench.sealer.with_binary(own);
    bench.hosts.of_machine(address(2), "aarch64");
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.add_hosts(&Role::Master, [address(1)]);
    cluster.add_hosts(&Role::Node, [address(2), address(3)]);
    (bench, cluster.into())
}

fn of_host(bench: &Bench, host: u8, path: &str) -> Vec<u8> {
    fs::read(bench.hosts.of(address(host)).join(path)).unwrap()
}

#[tokio::test]
async fn every_host_gets_the_rootfs_and_the_program_for_its_processor() {
    let (mut bench, wanted) = bench().await;
    let foreign = bench.directory.path().join("for-arm64");
    program(&foreign, 183);
    bench.sealer = bench.sealer.with_foreign_binary(foreign);
    bench.apply(&wanted).await.unwrap();
    for (host, who, machine) in [(1, "amd64\n", 62), (2, "arm64\n", 183), (3, "amd64\n", 62)] {
        assert_eq!(of_host(&bench, host, "data/shop/rootfs/who"), who.as_bytes(), "host {host}");
        assert_eq!(of_host(&bench, host, "bin/sealer")[18], machine, "host {host}");
    }
    // The master has what the node of the other processor will ask it for; the nodes have their own alone.
    let arm64 = bench.sealer.images().get_for("lab:1", &"linux/arm64".parse().unwrap()).unwrap();
    let own = arm64.layers().last().unwrap().digest.hex();
    let has = |host: u8| bench.hosts.of(address(host)).join("data/shop/content/blobs/sha256").join(&own).is_file();
    assert_eq!([has(1), has(2), has(3)], [true, true, false]);
    assert_eq!(bench.hosts.ran("--carried-images --platform linux/arm64"), 1);
}

#[tokio::test]
async fn a_program_that_is_missing_is_told_before_anything_is_done() {
    let (bench, wanted) = bench().await;
    let error = bench.apply(&wanted).await.unwrap_err();
    let Error::NoBinary { host, architecture, known } = &error else { panic!("{error}") };
    assert_eq!((*host, architecture.as_str(), known.len()), (address(2), "arm64", 1));
    assert!(error.to_string().contains("for-amd64 for amd64"), "{error}");
    assert!(bench.remembered().is_none());
    assert!(!bench.is_installed(address(1)) && !bench.is_installed(address(2)));
}

#[tokio::test]
async fn a_cluster_whose_hosts_all_have_another_processor_than_this_machine() {
    let (mut bench, _) = bench().await;
    let foreign = bench.directory.path().join("for-arm64");
    program(&foreign, 183);
    bench.sealer = bench.sealer.with_foreign_binary(foreign);
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.add_hosts(&Role::Master, [address(2)]);
    bench.apply(&cluster.into()).await.unwrap();
    assert_eq!(of_host(&bench, 2, "data/shop/rootfs/who"), b"arm64\n");
    assert_eq!(bench.hosts.ran("--platform"), 0, "nothing of the other platform comes");
}

#[tokio::test]
async fn a_host_asks_only_for_what_its_platforms_need() {
    let (mut bench, _) = bench().await;
    let registry = Arc::new(Memory::default());
    bench.sealer = bench.sealer.with_registry(registry.clone());
    push(&bench.sealer, &PushRequest::new("lab:1"), &|_| ()).await.unwrap();
    bench.sealer.images().remove(&["lab:1"], false).unwrap();
    // Applying pulls one platform: the manifests of the other are not here to be given to hosts.
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.add_hosts(&Role::Master, [address(1)]);
    bench.apply(&cluster.into()).await.unwrap();
    assert_eq!(bench.sealer.images().get("lab:1").unwrap().absent_platforms().len(), 1);
    assert_eq!(of_host(&bench, 1, "data/shop/rootfs/who"), b"amd64\n");
}

#[tokio::test]
async fn a_host_unpacks_no_foreign_platform_because_it_is_the_only_one() {
    let foreign = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    let mut bench = Bench::with_platforms("lab", Platform::parse_list(foreign).unwrap()).await;
    let registry = Arc::new(Memory::default());
    bench.sealer = bench.sealer.with_registry(registry.clone());
    let mut pushed = PushRequest::new("lab:1");
    pushed.destination = Some("sea.hub/sealer/content:1".to_owned());
    let image = push(&bench.sealer, &pushed, &|_| ()).await.unwrap().digest;
    let root = bench.directory.path().join("host");
    let request = |platform: Option<Platform>| PullRequest {
        rootfs: root.join("rootfs"),
        root: root.clone(),
        image,
        cluster: "shop".to_owned(),
        carried_images: false,
        platform,
        platforms: Vec::new(),
        from: Vec::new(),
        ca: None,
        login: None,
    };
    let sources: [(String, Arc<dyn Registry>); 1] = [("sea.hub".to_owned(), registry)];
    let refused = host::pull(&request(None), &sources).await.unwrap_err();
    assert!(matches!(&refused, Error::Image(cloudimage::Error::NoPlatform { .. })), "{refused:?}");
    assert!(!root.join("rootfs").exists());
    host::pull(&request(Some(foreign.parse().unwrap())), &sources).await.unwrap();
    assert!(root.join("rootfs/who").is_file());
}

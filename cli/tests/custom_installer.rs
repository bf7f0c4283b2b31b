//! The vendor's installer of `examples/custom-installer` is run: built, applied, applied again, deleted.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/custom-installer/appliance.rs"]
mod appliance;
#[path = "../examples/custom-installer/rack.rs"]
mod rack;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sealer::sealer_core::testing::Directories;

const CLUSTERFILE: &str = "apiVersion: sealer.io/v2
kind: Cluster
metadata: {name: shop}
spec: {image: 'appliance:1', provider: RACK, masters: {count: 1}, nodes: {count: 2}}
";
/// An image that holds no Kubernetes at all.
const KUBEFILE: &str = "FROM scratch
LABEL cluster.alpha.sealer.io/cluster-runtime-type=appliance
COPY scripts scripts
";

/// Calls the installer as its program does, but with hosts that are directories.
fn call(home: &Path, hosts: &Directories, arguments: &[&str]) -> ExitCode {
    let (root, state) = (home.join("root"), home.join("state"));
    let places = ["--root", root.to_str().unwrap(), "--state", state.to_str().unwrap()];
    let arguments = ["installer"].iter().chain(arguments).chain(&places);
    let binary = home.join("binary");
    sealer::run_with(arguments, &|sealer| {
        let sealer = sealer.with_connector(Arc::new(hosts.clone())).with_binary(&binary);
        sealer.with_provider(Arc::new(rack::Rack::new())).with_runtime(Arc::new(appliance::Appliance::new()))
    })
}

#[test]
fn an_appliance_without_kubernetes_is_applied_twice_and_deleted() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::create_dir_all(path("context/scripts")).unwrap();
    fs::write(path("context/Kubefile"), KUBEFILE).unwrap();
    fs::write(path("context/scripts/start.sh"), "echo started >> ../log").unwrap();
    fs::write(path("context/scripts/stop.sh"), "true").unwrap();
    fs::write(path("Clusterfile"), CLUSTERFILE).unwrap();
    fs::write(path("binary"), "#!/bin/sh\n").unwrap();
    let hosts = Directories::new(path("hosts"));
    let file = path("Clusterfile").display().to_string();
    let context = path("context").display().to_string();
    let done =
        |arguments: &[&str]| assert_eq!(call(home.path(), &hosts, arguments), ExitCode::SUCCESS, "{arguments:?}");

    done(&["build", "-q", "-t", "appliance:1", &context]);
    done(&["apply", "-f", &file]);
    let data = |host: &str| hosts.of(host.parse().unwrap()).join("data/shop");
    for host in rack::RACK {
        assert_eq!(fs::read_to_string(data(host).join("log")).unwrap(), "started\n", "{host}");
        assert!(data(host).join("host.json").is_file(), "{host}");
    }
    let before = (hosts.ran("start.sh"), hosts.ran("host pull"));
    assert_eq!(before, (3, 3));

    done(&["apply", "-f", &file]);
    assert_eq!((hosts.ran("start.sh"), hosts.ran("host pull")), before, "nothing to do");

    done(&["delete", "--yes", "-c", "shop"]);
    assert!(rack::RACK.iter().all(|host| !data(host).exists()));
    assert!(!path("state/shop").exists());
}

#[test]
fn a_host_that_is_left_out_is_in_the_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::create_dir_all(path("context/scripts")).unwrap();
    fs::write(path("context/Kubefile"), KUBEFILE).unwrap();
    fs::write(path("context/scripts/start.sh"), "true").unwrap();
    fs::write(path("context/scripts/stop.sh"), "true").unwrap();
    let listed = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: shop}\n\
                  spec: {image: 'appliance:1', hosts: [{ips: [10.1.0.11], roles: [master]}, {ips: [10.1.0.12-10.1.0.13], roles: [node]}]}\n";
    fs::write(path("Clusterfile"), listed).unwrap();
    fs::write(path("binary"), "#!/bin/sh\n").unwrap();
    let hosts = Directories::new(path("hosts"));
    let (file, context) = (path("Clusterfile").display().to_string(), path("context").display().to_string());
    let call = |arguments: &[&str]| call(home.path(), &hosts, arguments);
    let installed = |host: &str| hosts.of(host.parse().unwrap()).join("data/shop/host.json").is_file();

    assert_eq!(call(&["build", "-q", "-t", "appliance:1", &context]), ExitCode::SUCCESS);
    hosts.unreachable("10.1.0.13".parse().unwrap(), 2);
    assert_eq!(call(&["apply", "-f", &file]), ExitCode::from(1));
    assert_eq!(call(&["apply", "-f", &file, "--ignore-unreachable"]), ExitCode::from(4));
    assert!(installed("10.1.0.11") && installed("10.1.0.12") && !installed("10.1.0.13"));
    assert_eq!(call(&["apply", "-f", &file]), ExitCode::SUCCESS);

    // Nobody can be asked here.
    assert_eq!(call(&["delete", "-n", "10.1.0.12"]), ExitCode::from(2));
    assert!(installed("10.1.0.12"));
    assert_eq!(call(&["delete", "-n", "10.1.0.12", "--dry-run"]), ExitCode::SUCCESS);
    assert_eq!(call(&["delete", "-n", "10.1.0.12", "--force"]), ExitCode::SUCCESS);
    assert!(!installed("10.1.0.12"));
    assert_eq!(call(&["join", "-n", "10.1.0.14"]), ExitCode::SUCCESS);
    assert!(installed("10.1.0.14") && installed("10.1.0.13"));
    assert_eq!(call(&["delete", "-c", "shop"]), ExitCode::from(2));
    assert_eq!(call(&["delete", "-c", "shop", "-y"]), ExitCode::SUCCESS);
    assert!(!path("state/shop").exists());
}

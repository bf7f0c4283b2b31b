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

    done(&["delete", "-c", "shop"]);
    assert!(rack::RACK.iter().all(|host| !data(host).exists()));
    assert!(!path("state/shop").exists());
}

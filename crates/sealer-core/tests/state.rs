//! The state of a cluster is private, written atomically, and held by one process at a time.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealer_core::clusterfile::{Clusterfile, parse};
use sealer_core::{Error, State};

const TEXT: &str = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: shop}\nspec:\n  image: shop:1.4\n  ssh: {passwd: hunter2}\n  hosts:\n    - {ips: [192.0.2.2], roles: [master]}\n";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn wanted() -> Clusterfile {
    parse(TEXT).unwrap()
}

#[test]
fn what_is_remembered_is_private_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::new(&directory.path().join("states"));
    assert!(state.clusters().unwrap().is_empty() && state.clusterfile("shop").unwrap().is_none());

    let held = state.lock("shop").unwrap();
    held.remember(&wanted()).unwrap();
    held.write("kubeconfig", b"secret").unwrap();
    assert_eq!(mode(held.path()), 0o700);
    for file in ["Clusterfile", "kubeconfig", "lock"] {
        assert_eq!(mode(&held.file(file)), 0o600, "{file}");
    }
    assert_eq!(held.clusterfile().unwrap().unwrap(), wanted());
    assert_eq!(state.clusters().unwrap(), ["shop"]);
}

#[test]
fn only_one_holds_a_cluster_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::new(directory.path());
    let held = state.lock("shop").unwrap();
    assert!(matches!(state.lock("shop"), Err(Error::Busy { cluster }) if cluster == "shop"));
    let _other = state.lock("other").unwrap();
    drop(held);
    drop(state.lock("shop").unwrap());
}

#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let held = State::new(directory.path()).lock("shop").unwrap();
    held.remember(&wanted()).unwrap();
    // A directory cannot be replaced by a file.
    fs::create_dir(held.file("kubeconfig")).unwrap();
    assert!(matches!(held.write("kubeconfig", b"secret"), Err(Error::State { act: "write", .. })));
    assert_eq!(held.clusterfile().unwrap().unwrap(), wanted());
    let mut files: Vec<_> = fs::read_dir(held.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["Clusterfile", "kubeconfig", "lock"], "no temporary file is left");
}

#[test]
fn states_of_somebody_else_or_open_to_everybody_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("states");
    fs::create_dir(&root).unwrap();
    let refused = || {
        let state = State::new(&root);
        let errors = [state.lock("shop").err(), state.clusters().err(), state.clusterfile("shop").err()];
        errors.map(|error| error_report::one_line(&error.unwrap()))
    };
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    for said in refused() {
        assert!(said.contains("everybody may write to it (mode 0777); run `chmod o-w "), "{said}");
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&root, Some(12345), None).unwrap();
        refused().iter().for_each(|said| assert!(said.contains("belongs to user 12345"), "{said}"));
        assert_eq!(State::new(&root).close_to_others().unwrap(), None, "it is not ours to close");
        std::os::unix::fs::chown(&root, Some(0), None).unwrap();
    }
    assert_eq!(State::new(&root).close_to_others().unwrap(), Some(0o755));
    assert_eq!((mode(&root), State::new(&root).close_to_others().unwrap()), (0o700, None));
    assert_eq!(State::new(&directory.path().join("none")).close_to_others().unwrap(), None);
}

#[test]
fn a_forgotten_cluster_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::new(directory.path());
    let held = state.lock("shop").unwrap();
    held.remember(&wanted()).unwrap();
    fs::create_dir_all(held.file("pki")).unwrap();
    fs::write(held.file("pki").join("ca.key"), "key").unwrap();
    held.forget().unwrap();
    assert!(state.clusters().unwrap().is_empty());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

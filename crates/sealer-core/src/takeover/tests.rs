//! States that are taken over, on an API in memory.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use runtime::facts::{ApiFacts, HostFacts};
use runtime::{Marker, Secrets};

use super::*;
use crate::cluster_copy::tests::{Desk, through, wanted};
use crate::testing::KubernetesApi;

const REQUIREMENTS: Requirements = runtime::Kubeadm::REQUIREMENTS;

/// What the first master says.
fn observed(api: &KubernetesApi, authority: &str) -> Observed {
    let mut marker = Marker::default();
    (marker.cluster, marker.role, marker.authority) = ("shop".to_owned(), "master".to_owned(), authority.to_owned());
    let mut host = HostFacts::default();
    host.marker = Some(marker);
    let remotes: crate::Remotes = api.masters(&[1]).into_iter().map(|remote| (remote.address(), remote)).collect();
    let mut facts = Facts::default();
    facts.hosts.insert(IpAddr::from([10, 0, 0, 1]), host);
    facts.api = Some(ApiFacts::default());
    Observed { remotes, facts, ..Observed::default() }
}

fn authority(desk: &Desk) -> String {
    Secrets::load(desk.state.path(), &[]).unwrap().unwrap().fingerprint()
}

async fn renewed(desk: &Desk, observed: &Observed, given: &Cluster) -> Result<bool, Error> {
    let mut shared = Shared::of(observed, given, &REQUIREMENTS);
    desk.with_run(async |run| shared.renew(&run, &desk.state, observed, given).await).await
}

/// The same request with logins of another operator.
fn given(password: &str) -> Cluster {
    let mut given = wanted().cluster;
    given.ssh.password = Some(password.into());
    given.hosts[0].ssh = given.ssh.clone();
    given
}

fn files(desk: &Desk) -> Vec<String> {
    let mut names = desk.state.names_in("").unwrap();
    names.extend(desk.state.names_in("pki").unwrap().into_iter().map(|name| format!("pki/{name}")));
    names
}

#[tokio::test(start_paused = true)]
async fn another_workstation_gets_the_state_with_its_own_logins() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::empty());
    let observed = observed(&api, &authority(&alice));
    assert!(!renewed(&bob, &observed, &given("b")).await.unwrap(), "there is no copy yet");
    assert!(bob.state.clusterfile().unwrap().is_none());
    alice.save(&through(&api, &[1])).await.unwrap();
    assert!(renewed(&bob, &observed, &given("b")).await.unwrap());

    assert_eq!(authority(&bob), authority(&alice));
    let cluster = bob.state.clusterfile().unwrap().unwrap().cluster;
    assert_eq!((cluster.name.as_str(), cluster.hosts.len(), cluster.ssh.user.as_str()), ("shop", 1, "ops"));
    assert_eq!(cluster.hosts[0].ssh.password, Some("b".into()));
    let (ours, theirs): (Vec<_>, Vec<_>) = files(&bob).into_iter().partition(|name| !name.starts_with("pki/"));
    assert_eq!(ours, ["Clusterfile", "copy.json", "known_hosts", "lock", "secrets.json"]);
    assert_eq!(theirs.len(), 10);
    assert!(theirs.iter().all(|name| bob.state.read(name).unwrap() == alice.state.read(name).unwrap()));
    for name in files(&bob) {
        let mode = std::fs::metadata(bob.state.file(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert!(!renewed(&bob, &observed, &given("b")).await.unwrap(), "once");
    assert!(bob.warnings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_newer_state_wins_and_says_so_and_an_unfinished_apply_keeps_its_journal() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::empty());
    let observed = observed(&api, &authority(&alice));
    let cluster = through(&api, &[1]);
    alice.save(&cluster).await.unwrap();
    renewed(&bob, &observed, &given("b")).await.unwrap();
    let mut more = bob.state.clusterfile().unwrap().unwrap();
    more.cluster.add_hosts(&clusterfile::Role::Node, [IpAddr::from([10, 0, 0, 9])]);
    bob.state.remember(&more).unwrap();
    bob.save(&cluster).await.unwrap();

    // Alice wanted something else meanwhile and was interrupted.
    let mut other = wanted();
    other.cluster.cert_sans.push("shop.example.com".to_owned());
    alice.state.remember(&other).unwrap();
    alice.state.write("journal.jsonl", b"{}\n").unwrap();
    alice.state.write("known_hosts", b"10.0.0.7 ssh-ed25519 BBBB\n").unwrap();
    assert!(renewed(&alice, &observed, &wanted().cluster).await.unwrap());
    let now = alice.state.clusterfile().unwrap().unwrap().cluster;
    assert_eq!((now.hosts.len(), now.cert_sans.len()), (2, 0));
    assert_eq!(now.hosts[0].ssh.password, Some("hunter5".into()), "her own login");
    assert!(alice.state.file("journal.jsonl").is_file());
    let known = alice.state.read("known_hosts").unwrap().unwrap();
    assert_eq!(known.expose().lines().count(), 2, "host keys of both");
    let warnings = alice.warnings();
    assert!(
        warnings[0].contains("generation 2") && warnings[0].contains("newer than the one here (1)"),
        "{warnings:?}"
    );

    // What was changed here since the copy is newer than that.
    alice.state.remember(&other).unwrap();
    assert!(!renewed(&alice, &observed, &wanted().cluster).await.unwrap());
    alice.save(&cluster).await.unwrap();
    assert_eq!(fetch(&cluster).await.unwrap().unwrap().0.generation, 3);
}

#[tokio::test(start_paused = true)]
async fn another_cluster_of_this_name_is_never_taken_for_ours() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::new());
    let cluster = through(&api, &[1]);
    alice.save(&cluster).await.unwrap();
    let observed = observed(&api, &authority(&alice));
    assert_ne!(authority(&alice), authority(&bob));
    assert!(!renewed(&bob, &observed, &given("b")).await.unwrap(), "preflight says what is wrong");
    bob.save(&cluster).await.unwrap();
    let warnings = bob.warnings();
    assert!(warnings[0].contains("of another cluster that is called shop too"), "{warnings:?}");
    assert_eq!(fetch(&cluster).await.unwrap().unwrap().0.authority, authority(&alice));

    // A marker of yet another cluster: a copy that was put there.
    let foreign = self::observed(&api, "0123");
    let refused = renewed(&Desk::empty(), &foreign, &given("b")).await.unwrap_err().to_string();
    assert!(refused.contains("is of another cluster than the marker of 10.0.0.1"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn secrets_that_do_not_belong_together_are_not_taken_over() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::empty());
    let observed = observed(&api, &authority(&alice));
    let other = Desk::new().state.read("pki/ca.key").unwrap().unwrap();
    alice.state.write("pki/ca.key", other.expose().as_bytes()).unwrap();
    alice.save(&through(&api, &[1])).await.unwrap();
    let refused = renewed(&bob, &observed, &given("b")).await.unwrap_err().to_string();
    assert!(refused.contains("has no secrets of the cluster"), "{refused}");
    assert_eq!(files(&bob), ["lock"], "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_was_cut_off_is_done_again() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::empty());
    let observed = observed(&api, &authority(&alice));
    alice.save(&through(&api, &[1])).await.unwrap();
    // As after a kill in the middle: some files, and what was to be verified.
    std::fs::create_dir_all(bob.state.file("pki")).unwrap();
    bob.state.write("pki/ca.crt", b"half").unwrap();
    std::fs::create_dir_all(bob.state.file("taking-over/pki")).unwrap();
    bob.state.write("taking-over/secrets.json", b"{}").unwrap();
    assert!(renewed(&bob, &observed, &given("b")).await.unwrap());
    assert_eq!(authority(&bob), authority(&alice));
    assert!(!bob.state.file("taking-over").exists());
}

#[tokio::test(start_paused = true)]
async fn without_a_state_here_an_api_that_fails_is_an_error_and_with_one_a_warning() {
    let (api, alice) = (KubernetesApi::default(), Desk::new());
    let observed = observed(&api, &authority(&alice));
    api.stop(1);
    assert!(matches!(renewed(&Desk::empty(), &observed, &given("b")).await, Err(Error::ClusterApi { .. })));
    assert!(!renewed(&alice, &observed, &given("b")).await.unwrap());
    assert!(alice.warnings()[0].contains("is not known: cannot read"));
}

//! Whatever goes wrong at whichever call of a workflow: the same command finishes, and then there is nothing to do.
//!
//! Every call to a host, to the API (the lock, each part of the copy) and to the provider goes wrong in every way that it
//! can, one at a time, on a cluster of the real kubeadm runtime whose hosts are simulated.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use sealer_core::clusterfile::{Cluster, Clusterfile, Config, MachineSpec, ProviderName};
use sealer_core::runtime::HostChange;
use sealer_core::{Class, Error, Outcome};

use crate::lab::address;
use crate::simulated::{Act, Call, FAULTS, Fault, Image, Kind, Place, listed};

fn counted(masters: u32, nodes: u32) -> Clusterfile {
    let mut cluster = Cluster::new("shop", "shop:1");
    cluster.provider = ProviderName::CONTAINER;
    cluster.machines.masters = Some(MachineSpec::of(masters));
    cluster.machines.nodes = Some(MachineSpec::of(nodes));
    cluster.into()
}

/// The first master is replaced, the node gets a label, the registries a login.
fn mixed() -> Clusterfile {
    let mut wanted = listed(&[2, 3, 5], &[4]);
    wanted.cluster.hosts[3].labels.insert("disk".to_owned(), "ssd".to_owned());
    let registry = &mut wanted.cluster.registry;
    (registry.username, registry.password) = (Some("puller".to_owned()), Some("secret".into()));
    wanted
}

/// Expects that it is done, and that doing it again does nothing.
fn expect_done(place: &Place, act: &Act, what: &str) {
    match act {
        Act::Apply(wanted) => {
            let known = place.remembered().unwrap();
            place.world.state().model.expect(&known);
            if wanted.cluster.machines.is_empty() {
                assert_eq!(known.hosts.len(), wanted.cluster.hosts.len(), "{what}");
            } else {
                assert_eq!(place.provider.machines.counts().hosts, known.hosts.len(), "{what}");
            }
            let again = place.perform(act, None).unwrap().unwrap().unwrap();
            assert_eq!((again.outcome, again.done), (Outcome::Unchanged, 0), "{what}: again");
            let state = place.world.state();
            let changes: Vec<_> = state.calls.iter().filter(|call| call.kind == Kind::Change).collect();
            assert!(changes.is_empty(), "{what}: again {changes:?}");
        }
        Act::Delete => {
            let state = place.world.state();
            assert!(state.model.members.is_empty() || place.provider.machines.counts().hosts == 0, "{what}");
            drop(state);
            let again = place.perform(act, None).unwrap().unwrap_err();
            assert!(matches!(again, Error::NoCluster { .. }), "{what}: {again}");
        }
    }
}

/// For each kind of call, how often each fault was tried there.
type Matrix = BTreeMap<String, BTreeMap<Fault, usize>>;

/// Has every call of `act` go wrong in each of these ways, each time on a cluster as `from` left it.
fn matrix(title: &str, image: &Image, from: Option<&Place>, act: &Act, faults: &[Fault]) {
    let smooth = Place::new(image, from);
    smooth.perform(act, None).unwrap().unwrap();
    let calls = smooth.world.state().calls.clone();
    expect_done(&smooth, act, "without a fault");
    let (mut matrix, mut runs) = (Matrix::new(), 0);
    for call in &calls {
        for fault in faults.iter().copied().filter(|fault| call.kind.suffers(*fault)) {
            let place = Place::new(image, from);
            let first = place.perform(act, Some((&call.name, fault)));
            let what = format!("{title}: {fault:?} at {}", call.name);
            let Some(host) = place.world.state().hit else { panic!("{what}: it was not called") };
            if !matches!(first, Some(Ok(_))) {
                expect_remembered(&place, &what);
            }
            expect_told(first.map(|first| first.map(drop)), fault, host, &what);
            match place.perform(act, None).unwrap() {
                Ok(_) => {}
                Err(Error::NoCluster { .. }) if matches!(act, Act::Delete) => {}
                Err(error) => panic!("{what}: the same again: {}", error_report::one_line(&error)),
            }
            expect_done(&place, act, &what);
            *matrix.entry(call.label.clone()).or_default().entry(fault).or_default() += 1;
            runs += 1;
        }
    }
    print(title, &matrix, runs);
}

/// Expects that a host to which something was done is known, however the run ended: only then can it be cleaned.
fn expect_remembered(place: &Place, what: &str) {
    let state = place.world.state();
    let is_done = |call: &Call| call.kind == Kind::Change && !call.label.starts_with("api: ");
    let Some(plan) = state.model.plan.clone().filter(|_| state.calls.iter().any(is_done)) else { return };
    drop(state);
    let known = place.remembered().unwrap_or_else(|| panic!("{what}: nothing is remembered"));
    // Those that leave are forgotten before the copy in the cluster is.
    for host in plan.hosts.iter().filter(|host| host.change != HostChange::Leave) {
        assert!(known.host(host.address).is_some(), "{what}: {} is not remembered", host.address);
    }
}

/// Expects that a run that did not end well says where.
fn expect_told(first: Option<Result<(), Error>>, fault: Fault, host: Option<IpAddr>, what: &str) {
    match first {
        None => assert!(matches!(fault, Fault::KilledBefore | Fault::KilledAfter), "{what}"),
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let text = error_report::one_line(&error);
            let named = host.is_none_or(|host| text.contains(&host.to_string()));
            assert!(named, "{what}: {text}");
            assert!(!text.contains("space exceeded") || text.contains("etcdctl alarm disarm"), "{what}: {text}");
            assert!(!matches!(error.class(), Class::Usage | Class::Interrupted), "{what}: {text}");
        }
    }
}

fn print(title: &str, matrix: &Matrix, runs: usize) {
    let mut text = format!("\n{title}: {runs} runs, each finished by the same command; then nothing to do\n");
    text += &format!("{:<28}", "call");
    FAULTS.iter().for_each(|fault| text += &format!("{:>14}", format!("{fault:?}")));
    for (label, faults) in matrix {
        text += &format!("\n{label:<28}");
        for fault in FAULTS {
            let tried = faults.get(&fault).map_or("-".to_owned(), ToString::to_string);
            text += &format!("{tried:>14}");
        }
    }
    println!("{text}");
}

/// A cluster that was made without disturbance.
fn made(image: &Image, wanted: Clusterfile) -> Place {
    let place = Place::new(image, None);
    place.perform(&Act::apply(wanted), None).unwrap().unwrap();
    place
}

#[test]
fn creating_three_masters_and_a_node() {
    matrix("create 3 + 1", &Image::new(), None, &Act::apply(listed(&[1, 2, 3], &[4])), &FAULTS);
}

/// A master whose `etc/a` holds this.
fn with(data: &str) -> Act {
    let mut wanted = listed(&[1], &[]);
    wanted.configs.push(Config::new("etc/a", data));
    Act::apply(wanted)
}

/// What `etc/a` of that master holds.
fn there(place: &Place) -> String {
    fs::read_to_string(place.directory.path().join("hosts/10.0.0.1/data/shop/rootfs/etc/a")).unwrap()
}

/// Two is begun and taken back, and that is broken off as well, anywhere: what was done for the first two does not count.
#[test]
fn a_change_that_is_begun_again_after_another_one_is_done_again() {
    let image = Image::new();
    let begun = Place::new(&image, None);
    begun.perform(&with("one"), None).unwrap().unwrap();
    let last = "finish@10.0.0.1 on 10.0.0.1 #0";
    assert!(begun.perform(&with("two"), Some((last, Fault::KilledBefore))).is_none());
    assert_eq!(there(&begun), "two");
    let smooth = Place::new(&image, Some(&begun));
    smooth.perform(&with("one"), None).unwrap().unwrap();
    assert_eq!(there(&smooth), "one");
    let calls = smooth.world.state().calls.clone();
    let (mut undone, changes) = (0, calls.iter().filter(|call| call.kind == Kind::Change));
    for (call, fault) in changes.flat_map(|call| [(call, Fault::KilledBefore), (call, Fault::KilledAfter)]) {
        let place = Place::new(&image, Some(&begun));
        assert!(place.perform(&with("one"), Some((&call.name, fault))).is_none());
        undone += usize::from(there(&place) == "one");
        place.perform(&with("two"), None).unwrap().unwrap();
        assert_eq!(there(&place), "two", "{fault:?} at {}", call.name);
        expect_done(&place, &with("two"), &call.name);
    }
    assert!(undone > 3, "it was undone only {undone} times");
}

#[test]
fn a_change_of_a_file_that_is_taken_back_is_a_change_too() {
    let image = Image::new();
    let place = Place::new(&image, None);
    place.perform(&with("one"), None).unwrap().unwrap();
    let call = "rootfs@10.0.0.1 on 10.0.0.1 #0";
    assert!(place.perform(&with("two"), Some((call, Fault::KilledAfter))).is_none());
    let back = place.perform(&with("one"), None).unwrap().unwrap().unwrap();
    assert_eq!(back.outcome, Outcome::Changed);
    assert_eq!(there(&place), "one");
    expect_done(&place, &with("one"), "taken back");
}

/// The virtual address of the API servers is a setting like others: names, certificates and lvscare follow it.
#[test]
fn the_virtual_address_changes() {
    let image = Image::new();
    let standing = made(&image, listed(&[1], &[4]));
    let mut wanted = listed(&[1], &[4]);
    wanted.cluster.set_env("IPvsVIPv4", "10.103.97.9");
    let wanted = Act::apply(wanted);
    matrix("another virtual address", &image, Some(&standing), &wanted, &[Fault::KilledBefore, Fault::KilledAfter]);
}

#[test]
fn a_mixed_change() {
    let image = Image::new();
    let standing = made(&image, listed(&[1, 2, 3], &[4]));
    let title = "replace a master, label a node, give the registries a login";
    matrix(title, &image, Some(&standing), &Act::apply(mixed()), &FAULTS);
}

#[test]
fn a_dead_master_is_replaced() {
    let image = Image::new();
    let standing = made(&image, listed(&[1, 2, 3], &[4]));
    standing.world.state().model.lost.insert(address(1));
    let wanted = Act::apply(listed(&[2, 3, 5], &[4]));
    matrix("replace a dead master", &image, Some(&standing), &wanted, &[Fault::KilledAfter, Fault::Lost]);
}

#[test]
fn counts_go_up_and_down() {
    let image = Image::new();
    let standing = made(&image, counted(1, 2));
    matrix("1 + 2 -> 2 + 1 machines", &image, Some(&standing), &Act::apply(counted(2, 1)), &FAULTS);
}

#[test]
fn deleting() {
    let image = Image::new();
    let standing = made(&image, listed(&[1, 2, 3], &[4]));
    matrix("delete 3 + 1", &image, Some(&standing), &Act::Delete, &FAULTS);
    let standing = made(&image, counted(1, 1));
    matrix("delete 1 + 1 machines", &image, Some(&standing), &Act::Delete, &FAULTS);
}

#[test]
fn another_workstation_takes_over_and_goes_on() {
    let image = Image::new();
    let standing = made(&image, listed(&[1, 2, 3], &[4]));
    fs::remove_dir_all(standing.directory.path().join("state")).unwrap();
    let mut wanted = listed(&[1, 2, 3], &[4]);
    wanted.cluster.hosts[3].labels.insert("disk".to_owned(), "ssd".to_owned());
    matrix("takeover, then a label", &image, Some(&standing), &Act::apply(wanted), &FAULTS);
}

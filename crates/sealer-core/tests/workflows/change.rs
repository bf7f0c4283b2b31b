//! Hosts that come and go: added, removed, dead, unreachable, given back; and who has to agree.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sealer_core::clusterfile::{Clusterfile, MachineSpec, Role};
use sealer_core::infra_provider;
use sealer_core::runtime::Drain;
use sealer_core::{ApplyOptions, Class, Consent, Error, Event, Outcome};

use crate::lab::{Bench, address, agreed, counted, listed, made};

/// A master and these nodes.
fn with_nodes(nodes: &[u8]) -> Clusterfile {
    let mut file = listed();
    file.cluster.hosts.pop();
    file.cluster.add_hosts(&Role::Node, nodes.iter().map(|last| address(*last)));
    file
}

#[tokio::test]
async fn hosts_come_and_go_in_one_apply() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let keys = bench.sealer.state().root().join("shop/known_hosts");
    std::fs::write(&keys, "10.0.0.1 ssh-ed25519 A\n10.0.0.2 ssh-ed25519 B\n").unwrap();

    let planned = bench.plan(&with_nodes(&[3])).await.unwrap();
    assert_eq!(planned.plan.leaving().map(|host| host.address).collect::<Vec<_>>(), [address(2)]);
    assert!(bench.is_installed(address(2)), "a dry run asks for nothing and changes nothing");

    let applied = bench.change(with_nodes(&[3])).await.unwrap();
    assert_eq!((applied.outcome, applied.done), (Outcome::Changed, 4));
    let left: Vec<_> = applied.left.iter().map(|host| (host.address, host.unreachable.is_none())).collect();
    assert_eq!(left, [(address(2), true)]);
    assert!(bench.is_installed(address(3)) && !bench.is_installed(address(2)));
    assert_eq!(bench.hosts(), [address(1), address(3)]);
    assert_eq!(std::fs::read_to_string(&keys).unwrap(), "10.0.0.1 ssh-ed25519 A\n", "its key is forgotten");
    assert_eq!(bench.apply(&with_nodes(&[3])).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn without_consent_nothing_is_touched() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let (before, ran) = (bench.file(), bench.hosts.ran(""));
    let refused = bench.apply(&with_nodes(&[3])).await.unwrap_err();
    assert_eq!(refused.class(), Class::Usage);
    assert!(matches!(&refused, Error::NotConfirmed { hosts, .. } if *hosts == [address(2)]), "{refused}");
    assert_eq!((bench.file(), bench.hosts.ran("")), (before, ran));
    assert!(bench.is_installed(address(2)) && !bench.is_installed(address(3)));

    // Who is asked sees who leaves, once, and not when nobody leaves.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut options = ApplyOptions::default();
    let heard = Arc::clone(&asked);
    options.consent = Consent::new(move |plan| {
        heard.lock().unwrap().extend(plan.leaving().map(|host| host.address));
        true
    });
    bench.apply_by(with_nodes(&[2, 3]), &options).await.unwrap();
    assert!(asked.lock().unwrap().is_empty());
    bench.apply_by(with_nodes(&[3]), &options).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [address(2)]);
}

#[tokio::test]
async fn a_dead_host_leaves_on_the_side_of_the_cluster_only() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.unreachable(address(2), usize::MAX);
    let mut options = agreed();
    options.drain = Drain::new(7, true);
    let applied = bench.apply_by(with_nodes(&[]), &options).await.unwrap();
    assert!(applied.left[0].unreachable.as_deref().is_some_and(|why| why.contains("told to fail")), "{applied:?}");
    assert_eq!(bench.hosts.ran("true forget 10.0.0.2 within 7 force true"), 1);
    assert_eq!(bench.hosts(), [address(1)]);
    assert!(bench.is_installed(address(2)), "nothing on it was cleaned");

    // When it is back, it is nobody's.
    bench.hosts.unreachable(address(2), 0);
    assert_eq!(bench.apply(&with_nodes(&[])).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_wanted_host_that_cannot_be_reached_stops_it_unless_it_is_ignored() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(address(2), 2);
    assert!(matches!(bench.apply(&listed()).await, Err(Error::Connect(failures)) if failures[0].0 == address(2)));
    assert!(bench.remembered().is_none());
    let mut options = ApplyOptions::default();
    options.ignore_unreachable = true;
    let applied = bench.apply_by(listed(), &options).await.unwrap();
    assert_eq!((applied.outcome, applied.done), (Outcome::Partly, 3));
    assert!(applied.unreachable[&address(2)].contains("told to fail"));
    assert!(bench.is_installed(address(1)) && !bench.is_installed(address(2)));
    let applied = bench.apply(&listed()).await.unwrap();
    assert_eq!((applied.outcome, applied.done), (Outcome::Changed, 3), "the same command does the rest");
}

#[tokio::test]
async fn a_change_that_failed_is_known_until_it_is_finished() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.fail("true remove");
    assert_eq!(bench.change(with_nodes(&[3])).await.unwrap_err().class(), Class::Partly);
    assert_eq!(bench.hosts(), [address(1), address(3), address(2)], "the host that leaves is still known");
    assert!(matches!(bench.apply(&with_nodes(&[3])).await, Err(Error::NotConfirmed { .. })));
    bench.hosts.repair();
    bench.change(with_nodes(&[3])).await.unwrap();
    assert!(!bench.is_installed(address(2)));
    assert_eq!(bench.hosts(), [address(1), address(3)]);
    assert!(
        bench.remembered().unwrap().annotations.keys().all(|key| !key.contains("leaving") && !key.contains("before"))
    );
}

#[tokio::test]
async fn a_cluster_in_the_middle_of_a_change_is_deleted_with_all_its_hosts() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.fail("true remove");
    bench.change(with_nodes(&[3])).await.unwrap_err();
    bench.hosts.repair();
    assert_eq!(bench.delete(false).await.unwrap().hosts, 3);
    assert!((1..=3).all(|last| !bench.is_installed(address(last))));
}

#[tokio::test]
async fn nodes_that_only_the_cluster_knows_leave_when_they_are_ours() {
    let bench = Bench::new().await;
    bench.apply(&with_nodes(&[2, 3])).await.unwrap();
    bench.hosts.answer_with(sealer_core::testing::KubernetesApi::default());
    bench.hosts.answer_for_api(address(1), [1, 2, 3, 4, 5].map(address));
    // What is remembered here is older than the cluster: it lacks three nodes. One of them is ours; the others, one of
    // which cannot be asked, may have been joined by somebody else's tool.
    bench.sealer.state().lock("shop").unwrap().remember(&with_nodes(&[2])).unwrap();
    bench.hosts.unreachable(address(4), usize::MAX);
    assert!(matches!(bench.apply(&with_nodes(&[2])).await,
        Err(Error::NotConfirmed { hosts, .. }) if hosts == [address(3)]));
    let applied = bench.change(with_nodes(&[2])).await.unwrap();
    let left: Vec<_> = applied.left.iter().map(|host| (host.address, host.unreachable.is_none())).collect();
    assert_eq!(left, [(address(3), true)]);
    assert!(!bench.is_installed(address(3)));
    assert_eq!((bench.hosts.ran("true forget 10.0.0.4"), bench.hosts.ran("true forget 10.0.0.5")), (0, 0));
}

#[tokio::test]
async fn a_finished_host_keeps_its_role() {
    let bench = Bench::new().await;
    bench.apply(&with_nodes(&[2])).await.unwrap();
    let mut other = with_nodes(&[]);
    other.cluster.add_hosts(&Role::Master, [address(2)]);
    let refused = bench.change(other).await.unwrap_err();
    assert_eq!(refused.class(), Class::Usage);
    assert_eq!(
        refused.to_string(),
        "10.0.0.2 is a node of cluster shop and cannot become a master while it is part of it"
    );
}

/// Masters and nodes of the counting provider.
fn machines(masters: u32, nodes: u32) -> Clusterfile {
    let mut file = counted(nodes);
    file.cluster.machines.masters = Some(MachineSpec::of(masters));
    file
}

#[tokio::test]
async fn counts_go_up_and_down_and_the_youngest_are_given_back() {
    let bench = Bench::new().await;
    bench.apply(&machines(1, 1)).await.unwrap();
    let planned = bench.plan(&machines(1, 3)).await.unwrap();
    assert!(planned.plan.is_empty() && planned.given_back.is_empty(), "{planned:?}");
    assert_eq!(bench.provider.counts().hosts, 2, "a dry run makes nothing");
    bench.apply(&machines(3, 3)).await.unwrap();
    assert_eq!(bench.hosts(), [1, 3, 4, 2, 5, 6].map(made));

    let planned = bench.plan(&machines(1, 1)).await.unwrap();
    assert_eq!(planned.given_back, [3, 4, 5, 6].map(made));
    let applied = bench.change(machines(1, 1)).await.unwrap();
    assert_eq!(bench.hosts(), [made(1), made(2)]);
    assert!(applied.left.iter().all(|host| host.given_back) && applied.left.len() == 4, "{applied:?}");
    assert_eq!(bench.hosts.ran("true remove"), 4, "they left the cluster before");
    assert_eq!(bench.provider.counts().hosts, 2);
    assert_eq!(bench.apply(&machines(1, 1)).await.unwrap().outcome, Outcome::Unchanged);
    // What comes at such an address later is a new host.
    assert_eq!(bench.apply(&machines(1, 2)).await.unwrap().done, 3);
}

#[tokio::test]
async fn consent_is_asked_for_before_machines_are_made() {
    let bench = Bench::new().await;
    bench.apply(&machines(1, 3)).await.unwrap();
    let before = (bench.provider.counts(), bench.file());
    for wanted in [machines(3, 1), machines(1, 1)] {
        assert!(matches!(bench.apply(&wanted).await,
            Err(Error::NotConfirmed { hosts, .. }) if hosts == [made(3), made(4)]));
    }
    assert_eq!((bench.provider.counts(), bench.file()), before);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counter, mut options) = (Arc::clone(&asked), ApplyOptions::default());
    options.consent = Consent::new(move |_| counter.fetch_add(1, Ordering::Relaxed) == 0);
    bench.apply_by(machines(3, 1), &options).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once for all of it");
    assert_eq!(bench.provider.counts().hosts, 4);
}

#[tokio::test]
async fn machines_go_back_whatever_interrupts_it() {
    let bench = Bench::new().await;
    bench.apply(&machines(1, 3)).await.unwrap();
    // At the provider, before anything.
    bench.provider.fail_next();
    assert!(matches!(bench.change(machines(1, 1)).await, Err(Error::Provider(_))));
    // In the plan: they are not given back before they left.
    bench.hosts.fail("true remove");
    assert_eq!(bench.change(machines(1, 1)).await.unwrap_err().class(), Class::Partly);
    assert_eq!(bench.provider.counts().hosts, 4);
    let interrupted = bench.file();
    bench.hosts.repair();
    // After the plan, by the provider: the next that it hears is about giving back.
    let fail = |event: Event| {
        if matches!(event, Event::Planned { .. }) {
            bench.provider.fail_next();
        }
    };
    let error = sealer_core::apply(&bench.sealer, machines(1, 1), &agreed(), &fail).await.unwrap_err();
    assert!(matches!(&error, Error::NotGivenBack { hosts, .. } if *hosts == [made(3), made(4)]), "{error}");
    assert_eq!((error.class(), bench.provider.counts().hosts), (Class::Partly, 4));
    let applied = bench.change(machines(1, 1)).await.unwrap();
    assert_eq!((applied.outcome, applied.done, bench.provider.counts().hosts), (Outcome::Changed, 0, 2));
    // Killed after that, before it was remembered: nothing is left to do but to remember it.
    bench.sealer.state().lock("shop").unwrap().remember(&interrupted).unwrap();
    bench.change(machines(1, 1)).await.unwrap();
    assert_eq!((bench.hosts(), bench.provider.counts().hosts), (vec![made(1), made(2)], 2));
}

#[tokio::test]
async fn machines_that_nobody_remembers_are_given_back() {
    let bench = Bench::new().await;
    bench.apply(&machines(1, 1)).await.unwrap();
    let small = bench.file();
    bench.apply(&machines(1, 2)).await.unwrap();
    // Killed between making the machine and remembering it, and then not wanted any more.
    bench.sealer.state().lock("shop").unwrap().remember(&small).unwrap();
    std::fs::remove_dir_all(bench.hosts.of(made(3))).unwrap();
    let applied = bench.change(machines(1, 1)).await.unwrap();
    let left: Vec<IpAddr> = applied.left.iter().map(|host| host.address).collect();
    assert_eq!((left, bench.provider.counts().hosts), (vec![made(3)], 2));
}

#[tokio::test]
async fn deleting_asks() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let refused = sealer_core::delete(&bench.sealer, "shop", &sealer_core::DeleteOptions::default(), &|_| ()).await;
    assert!(matches!(refused, Err(Error::NotConfirmed { hosts, .. }) if hosts == [address(1), address(2)]));
    assert!(bench.is_installed(address(1)));

    // Also when no host was made yet.
    let bench = Bench::new().await;
    bench.provider.fail_next();
    assert!(matches!(bench.apply(&counted(1)).await, Err(Error::Provider(infra_provider::Error::Interrupted { .. }))));
    let refused = sealer_core::delete(&bench.sealer, "shop", &sealer_core::DeleteOptions::default(), &|_| ()).await;
    assert_eq!(refused.unwrap_err().to_string(), "cluster shop would be deleted, and nobody agreed to that");
}

#[tokio::test]
async fn a_mixed_change_that_stops_after_any_step_is_finished_by_the_same_call() {
    for stop_after in 0.. {
        let bench = Bench::new().await;
        bench.apply(&machines(1, 2)).await.unwrap();
        let (options, finished) = (agreed(), AtomicUsize::new(0));
        let stop = |event: Event| {
            let is_step = matches!(event, Event::Step { step: sealer_core::runtime::Event::Finished { .. } });
            let count = if is_step { finished.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
            if (is_step || matches!(event, Event::Planned { .. })) && count == stop_after {
                options.cancel.cancel();
            }
        };
        let stopped = sealer_core::apply(&bench.sealer, machines(2, 1), &options, &stop).await;
        if let Err(error) = &stopped {
            assert_eq!(error.class(), Class::Interrupted, "{error}");
            bench.change(machines(2, 1)).await.unwrap();
        }
        assert_eq!((bench.hosts(), bench.provider.counts().hosts), ([1, 4, 2].map(made).to_vec(), 3), "{stop_after}");
        assert!([1, 4, 2].map(made).into_iter().all(|host| bench.is_installed(host)) && !bench.is_installed(made(3)));
        assert_eq!(bench.apply(&machines(2, 1)).await.unwrap().outcome, Outcome::Unchanged);
        if stopped.is_ok() {
            assert!(stop_after > 4, "four steps, and giving back");
            return;
        }
    }
}

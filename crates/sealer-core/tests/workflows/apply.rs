//! What apply makes, repeats, resumes and refuses.

use sealer_core::clusterfile::{Cluster, ProviderName};
use sealer_core::{Class, Error, Event, Outcome};

use crate::lab::{Bench, address, counted, listed, made};

#[tokio::test]
async fn a_cluster_is_made_once() {
    let bench = Bench::new().await;
    let planned = bench.plan(&listed()).await.unwrap();
    assert_eq!((planned.plan.steps.len(), planned.plan.hosts.len()), (6, 2));
    assert_eq!(bench.hosts.ran(""), 0, "a dry run runs nothing");
    assert!(bench.remembered().is_none());
    assert!(!bench.sealer.state().root().exists(), "a dry run leaves nothing behind");

    let applied = bench.apply(&listed()).await.unwrap();
    assert_eq!((applied.outcome, applied.done, applied.skipped), (Outcome::Changed, 6, 0));
    assert!(applied.kubeconfig.is_none(), "this runtime has none");
    assert!(bench.is_installed(address(1)) && bench.is_installed(address(2)));
    assert_eq!(bench.hosts.ran("host pull"), 2);
    assert!(bench.hosts.of(address(2)).join("data/shop/rootfs/scripts/a.sh").is_file(), "the content arrived");

    let again = bench.apply(&listed()).await.unwrap();
    assert_eq!((again.outcome, again.done), (Outcome::Unchanged, 0));
    assert!(bench.plan(&listed()).await.unwrap().plan.is_empty());
    assert_eq!(bench.hosts.ran("host pull"), 2);
}

#[tokio::test]
async fn a_failed_step_is_where_the_next_call_resumes() {
    let bench = Bench::new().await;
    bench.hosts.fail("true install");
    let error = bench.apply(&listed()).await.unwrap_err();
    assert_eq!(error.class(), Class::Partly);
    assert!(matches!(error, Error::Unfinished { done: 2, total: 6, .. }), "{error}");
    bench.hosts.repair();
    let applied = bench.apply(&listed()).await.unwrap();
    assert_eq!((applied.done, applied.skipped), (4, 2));
    assert_eq!(bench.hosts.ran("host pull"), 2, "content is not sent again");
}

#[tokio::test]
async fn what_exists_is_decided_by_hosts_and_not_by_what_is_remembered() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let mark = |cluster: &Cluster| cluster.annotations.get("sealer.io/applied-image").cloned();
    assert!(mark(&bench.remembered().unwrap()).is_some_and(|mark| mark.starts_with("sha256:")));

    // A host that was installed anew is made anew, whatever is remembered.
    std::fs::remove_dir_all(bench.hosts.of(address(2))).unwrap();
    assert_eq!(bench.apply(&listed()).await.unwrap().done, 3);

    // A state directory without the mark, as of a run that was killed at its end.
    let mut without = listed();
    without.cluster = bench.remembered().unwrap();
    without.cluster.annotations.remove("sealer.io/applied-image");
    bench.sealer.state().lock("shop").unwrap().remember(&without).unwrap();
    assert_eq!(bench.apply(&listed()).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn hosts_of_another_provider_are_refused() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let mut elsewhere = listed();
    elsewhere.cluster.provider = ProviderName::CONTAINER;
    assert!(matches!(bench.apply(&elsewhere).await, Err(Error::OtherProvider { .. })));
    assert!(matches!(bench.plan(&elsewhere).await, Err(Error::OtherProvider { .. })));
}

#[tokio::test]
async fn hosts_are_made_once_and_remembered_before_they_are_used() {
    let bench = Bench::new().await;
    bench.hosts.fail("true install");
    bench.apply(&counted(1)).await.unwrap_err();
    let hosts: Vec<_> = bench.remembered().unwrap().hosts.iter().map(|host| host.address).collect();
    assert_eq!(hosts, [made(1), made(2)]);
    bench.hosts.repair();
    bench.apply(&counted(1)).await.unwrap();
    let counts = bench.provider.counts();
    assert_eq!((counts.provisions, counts.releases, counts.hosts, counts.updates), (2, 0, 2, 0));
}

#[tokio::test]
async fn a_provider_that_fails_leaves_a_cluster_that_can_be_deleted() {
    let bench = Bench::new().await;
    bench.provider.fail_next();
    assert!(matches!(bench.apply(&counted(1)).await, Err(Error::Provider(_))));
    assert!(bench.remembered().unwrap().hosts.is_empty());
    bench.delete(false).await.unwrap();
    assert!(bench.remembered().is_none());
}

#[tokio::test]
async fn events_come_in_the_order_that_is_documented() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    let kinds: Vec<&str> = bench.events.lock().unwrap().iter().map(kind).collect();
    let mut order = kinds.clone();
    order.dedup();
    assert_eq!(order, ["provider", "phase", "planned", "step"]);
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Provider { .. } => "provider",
        Event::Phase { .. } => "phase",
        Event::Planned { .. } => "planned",
        Event::Step { .. } => "step",
        _ => "other",
    }
}

//! Machines that change under a cluster: drained first, changed, and given their pods back.

use sealer_core::infra_provider::PendingUpdate;
use sealer_core::{Class, Outcome};

use crate::lab::{Bench, counted, made};

#[tokio::test]
async fn a_machine_changes_between_drain_and_uncordon() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    bench.provider.set_pending(vec![PendingUpdate::new(made(2), "node-1", "4 CPU -> 8 CPU")]);
    let applied = bench.apply(&counted(1)).await.unwrap();
    assert_eq!((applied.outcome, applied.done, bench.provider.counts().updates), (Outcome::Changed, 3, 1));
    assert_eq!((bench.hosts.ran("true drain"), bench.hosts.ran("true uncordon")), (1, 1));
    assert_eq!(bench.apply(&counted(1)).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_refused_drain_leaves_the_machine_as_it_is() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    bench.provider.set_pending(vec![PendingUpdate::new(made(2), "node-1", "4 CPU -> 8 CPU")]);
    bench.hosts.fail("true drain");
    let error = bench.apply(&counted(1)).await.unwrap_err();
    assert_eq!(error.class(), Class::Partly, "{error}");
    assert_eq!((bench.provider.counts().updates, bench.hosts.ran("true uncordon")), (0, 0));

    bench.hosts.repair();
    assert_eq!(bench.apply(&counted(1)).await.unwrap().done, 3);
    assert_eq!((bench.provider.counts().updates, bench.hosts.ran("true uncordon")), (1, 1));
}

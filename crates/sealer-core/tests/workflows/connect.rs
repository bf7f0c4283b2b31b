//! How hosts are connected to: at once, and again while their machines are starting.

use sealer_core::{Error, Event};

use crate::lab::{Bench, address, counted, listed, made};

#[tokio::test(start_paused = true)]
async fn machines_that_were_just_made_are_waited_for() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(made(2), 5);
    bench.apply(&counted(1)).await.unwrap();
    let waiting = |event: &Event| matches!(event, Event::Waiting { hosts, .. } if *hosts == [made(2)]);
    assert_eq!(bench.events.lock().unwrap().iter().filter(|event| waiting(event)).count(), 1, "it is told once");
}

#[tokio::test(start_paused = true)]
async fn machines_that_do_not_start_are_given_up() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(made(1), usize::MAX);
    assert!(matches!(bench.apply(&counted(1)).await, Err(Error::Connect(failures)) if failures[0].0 == made(1)));
    assert!((50..70).contains(&bench.hosts.connects()), "{}", bench.hosts.connects());
    assert_eq!(bench.hosts.ran(""), 0);
}

#[tokio::test]
async fn hosts_that_exist_are_not_waited_for_and_all_failures_are_told() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(address(1), 1);
    bench.hosts.unreachable(address(2), 1);
    assert!(matches!(bench.apply(&listed()).await, Err(Error::Connect(failures)) if failures.len() == 2));
    assert!(bench.remembered().is_none(), "a mistyped address has no consequences");
}

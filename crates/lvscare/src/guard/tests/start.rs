//! Tests of the start, the end, and the time between two guards.

use async_trait::async_trait;

use super::*;
use crate::{Addressing, Change, Error};

#[tokio::test(start_paused = true)]
async fn a_fresh_start_leaves_out_who_refuses_and_waits_for_nobody_longer_than_the_time_out() {
    let switch = FakeProbe::new();
    switch.set(server(1), FakeBehavior::Refuse);
    switch.set(server(3), FakeBehavior::Freeze);
    let scene = Scene::over(FakeDataplane::new(), switch, desired(&[1, 2, 3])).await;
    let gap = scene.until(&[server(2)], Duration::from_millis(460)).await;
    assert!(gap.is_some(), "{:?}", scene.servers());
    millis(5000).await;
    let added: Vec<_> = scene.table.log().into_iter().map(|(_, change)| change).collect();
    assert_eq!(added, [Change::SetService(service()), Change::SetServer(server(2), 1)]);
    let expected = Event::Started { service: service().address, healthy: 1, servers: 3 };
    assert!(scene.told().contains(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_over_without_a_change() {
    let before = Scene::begin().await;
    let table = before.end().await;
    let changes = table.log().len();
    let switch = FakeProbe::new();
    for n in 1..=3 {
        switch.set(server(n), well(200));
    }
    let scene = Scene::over(table, switch, desired(&[1, 2, 3])).await;
    millis(3000).await;
    assert_eq!(scene.table.log().len(), changes);
    assert!(matches!(scene.told()[..], [Event::Started { healthy: 3, servers: 3, .. }]));
}

#[tokio::test(start_paused = true)]
async fn a_restart_finds_who_died_meanwhile() {
    let switch = FakeProbe::new();
    switch.set(server(2), FakeBehavior::Refuse);
    switch.set(server(3), FakeBehavior::Freeze);
    let scene = Scene::over(table_with(&[1, 2, 3]), switch, desired(&[1, 2, 3])).await;
    assert!(scene.until(&[server(1), server(3)], Duration::from_millis(50)).await.is_some());
    assert!(scene.until(&[server(1)], Duration::from_millis(460)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_another_list_keeps_those_that_stay() {
    let scene = Scene::over(table_with(&[1, 2, 9]), FakeProbe::new(), desired(&[1, 2, 3])).await;
    let changes: Vec<_> = scene.table.log().into_iter().map(|(_, change)| change).collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&Change::SetServer(server(3), 1)));
    assert!(changes.contains(&Change::RemoveServer(server(9))));
}

#[tokio::test(start_paused = true)]
async fn a_service_without_servers_is_filled() {
    let scene = Scene::over(table_with(&[]), FakeProbe::new(), desired(&[1, 2])).await;
    assert_eq!(scene.servers(), [server(1), server(2)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_leaves_the_rules_and_nothing_running() {
    let scene = Scene::begin().await;
    scene.switch.set(server(2), FakeBehavior::Freeze);
    millis(300).await;
    let switch = scene.switch.clone();
    let table = scene.end().await;
    assert_eq!(table.rules(service().address), Some(rules(&[1, 2, 3])));
    let checks: Vec<_> = (1..=3).map(|n| (switch.checks(server(n)), switch.running(server(n)))).collect();
    millis(5000).await;
    let later: Vec<_> = (1..=3).map(|n| (switch.checks(server(n)), 0)).collect();
    assert_eq!(checks, later);
}

#[tokio::test(start_paused = true)]
async fn a_change_under_way_is_finished_at_the_end() {
    let scene = Scene::begin().await;
    scene.table.delay(Duration::from_millis(200));
    millis(1000).await;
    scene.switch.set(server(2), FakeBehavior::Refuse);
    millis(450).await;
    let table = scene.end().await;
    assert_eq!(table.rules(service().address), Some(rules(&[1, 3])));
}

#[tokio::test(start_paused = true)]
async fn a_start_with_a_failing_kernel_goes_on_when_it_works() {
    let table = FakeDataplane::new();
    table.fail(Some("no such module"));
    let scene = Scene::over(table, FakeProbe::new(), desired(&[1])).await;
    millis(2000).await;
    assert!(matches!(scene.told()[..], [Event::Failed { .. }]));
    scene.table.fail(None);
    millis(500).await;
    assert!(matches!(scene.told()[..], [Event::Recovered, Event::Started { .. }]));
}

#[tokio::test(start_paused = true)]
async fn nonsense_does_not_run() {
    let guard = Guard::new(desired(&[]), Arc::new(FakeDataplane::new()), Arc::new(FakeProbe::new()));
    assert!(matches!(guard.run(CancellationToken::new()).await, Err(Error::Invalid { .. })));
}

/// An address that tests take away.
#[derive(Debug, Default)]
struct Address {
    there: Mutex<Option<Vec<SocketAddr>>>,
    fails: Mutex<bool>,
    degraded: Mutex<Option<String>>,
}

#[async_trait]
impl Addressing for Address {
    async fn ensure(&self, service: std::net::IpAddr, servers: &[SocketAddr]) -> crate::Result<bool> {
        if *self.fails.lock().unwrap() {
            let (act, object) = ("add the address", service.to_string());
            return Err(Error::Refused { act, object, reason: "no such link".to_owned() });
        }
        // As a route whose source follows from the servers.
        Ok(self.there.lock().unwrap().replace(servers.to_vec()).is_none_or(|before| before != servers))
    }

    fn degraded(&self) -> Option<String> {
        self.degraded.lock().unwrap().clone()
    }

    async fn remove(&self, _service: std::net::IpAddr) -> crate::Result<()> {
        *self.there.lock().unwrap() = None;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_address_is_kept_like_the_rules() {
    let (table, address) = (FakeDataplane::new(), Arc::new(Address::default()));
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let guard = Guard::new(desired(&[1, 2]), Arc::new(table.clone()), Arc::new(FakeProbe::new()));
    let kept: Arc<dyn Addressing> = address.clone();
    let guard = guard.with_addressing(kept).with_events(move |event| heard.lock().unwrap().push(event));
    let cancel = CancellationToken::new();
    let running = tokio::spawn(guard.run(cancel.clone()));
    millis(1000).await;
    assert!(matches!(events.lock().unwrap()[..], [Event::Started { .. }]), "{events:?}");
    assert_eq!(*address.there.lock().unwrap(), Some(vec![server(1), server(2)]));
    *address.there.lock().unwrap() = None;
    millis(445).await;
    assert_eq!(events.lock().unwrap().last(), Some(&Event::Repaired { changes: 1 }));
    *address.fails.lock().unwrap() = true;
    table.interfere(std::collections::BTreeMap::clear);
    millis(445).await;
    assert_eq!(table.servers(service().address), [server(1), server(2)], "the rules are kept all the same");
    let failed = Event::Failed { reason: "cannot add the address 10.103.97.2: no such link".to_owned() };
    assert!(events.lock().unwrap().contains(&failed), "{events:?}");
    cancel.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_follows_the_servers_was_changed_by_nobody_else() {
    let (switch, address) = (FakeProbe::new(), Arc::new(Address::default()));
    switch.set(server(1), well(50));
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let guard = Guard::new(desired(&[1, 2]), Arc::new(FakeDataplane::new()), Arc::new(switch.clone()));
    let guard = guard.with_addressing(address.clone()).with_events(move |event| heard.lock().unwrap().push(event));
    let running = tokio::spawn(guard.run(CancellationToken::new()));
    millis(1000).await;
    switch.set(server(1), FakeBehavior::Refuse);
    millis(1000).await;
    assert_eq!(*address.there.lock().unwrap(), Some(vec![server(2)]));
    let told = events.lock().unwrap().clone();
    assert!(!told.iter().any(|event| matches!(event, Event::Repaired { .. })), "{told:?}");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_keeps_nothing_from_starting_and_is_told_once() {
    let (table, address) = (FakeDataplane::new(), Arc::new(Address::default()));
    let reason = "cannot set /proc/sys/x: read-only file system".to_owned();
    *address.degraded.lock().unwrap() = Some(reason.clone());
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let guard = Guard::new(desired(&[1, 2]), Arc::new(table.clone()), Arc::new(FakeProbe::new()));
    let guard = guard.with_addressing(address.clone()).with_events(move |event| heard.lock().unwrap().push(event));
    let running = tokio::spawn(guard.run(CancellationToken::new()));
    millis(10_000).await;
    let told = events.lock().unwrap().clone();
    assert!(
        matches!(&told[..], [Event::Started { .. }, Event::Degraded { reason: why }] if *why == reason),
        "{told:?}"
    );
    running.abort();
}

/// What a guard tells that runs once.
async fn once(table: &FakeDataplane, switch: &FakeProbe) -> crate::Result<Vec<Event>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let guard = Guard::new(desired(&[1, 2, 3]), Arc::new(table.clone()), Arc::new(switch.clone()));
    let done = guard.with_events(move |event| heard.lock().unwrap().push(event)).once().await;
    let told = std::mem::take(&mut *events.lock().unwrap());
    assert!(!told.iter().any(|event| matches!(event, Event::Failed { .. })), "a failure is the result: {told:?}");
    done.map(|()| told)
}

fn down(n: u8, reason: &str) -> Event {
    Event::Down { server: server(n), reason: reason.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn once_checks_once_and_makes_the_rules() {
    let (table, switch) = (FakeDataplane::new(), FakeProbe::new());
    switch.set(server(1), FakeBehavior::Refuse);
    switch.set(server(3), FakeBehavior::Freeze);
    let started = |healthy| Event::Started { service: service().address, healthy, servers: 3 };
    let dead = [down(1, "connection refused"), down(3, "no answer within 450ms"), started(1)];
    assert_eq!(once(&table, &switch).await.unwrap(), dead);
    assert_eq!((table.servers(service().address), table.log().len()), (vec![server(2)], 2));
    assert_eq!(once(&table, &switch).await.unwrap(), dead);
    assert_eq!(table.log().len(), 2, "nothing is left to do");

    switch.set(server(2), FakeBehavior::Badly(crate::UnhealthyKind::Answer, Duration::ZERO));
    let told = once(&table, &switch).await.unwrap();
    assert_eq!(told[1], down(2, "answered 500, wanted 200"));
    assert_eq!(told[3..], [Event::AllDown { kept: 1 }, started(0)]);
    assert_eq!(table.log().len(), 2, "the last good set stays");
    table.fail(Some("operation not permitted"));
    assert!(once(&table, &switch).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn once_puts_all_in_when_none_answers_and_nothing_was_there() {
    let (table, switch) = (FakeDataplane::new(), FakeProbe::new());
    for n in 1..=3 {
        switch.set(server(n), FakeBehavior::Refuse);
    }
    let told = once(&table, &switch).await.unwrap();
    assert!(told.contains(&Event::AllDown { kept: 3 }), "{told:?}");
    assert_eq!(table.servers(service().address).len(), 3);
}

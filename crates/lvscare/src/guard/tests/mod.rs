//! Tests of the guard in simulated time.
#![allow(clippy::unwrap_used)]

mod all_down;
mod changes;
mod chaos;
mod failover;
mod repair;
mod start;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Guard, GuardHandle};
use crate::{Desired, Event, FakeBehavior, FakeDataplane, FakeProbe, HealthPolicy, Probe, Rules, Scheduler, Service};

/// A guard that runs over a table and servers with switches.
struct Scene {
    table: FakeDataplane,
    switch: FakeProbe,
    handle: GuardHandle,
    events: Arc<Mutex<Vec<(Instant, Event)>>>,
    cancel: CancellationToken,
    running: JoinHandle<crate::Result<()>>,
}

impl Scene {
    /// A guard over three servers that has started.
    async fn begin() -> Self {
        let scene = Self::over(FakeDataplane::new(), FakeProbe::new(), desired(&[1, 2, 3])).await;
        assert_eq!(scene.servers(), [server(1), server(2), server(3)]);
        scene
    }

    /// A guard over these that has started or had the time to.
    async fn over(table: FakeDataplane, switch: FakeProbe, desired: Desired) -> Self {
        let probe = Arc::new(switch.clone());
        Self::with_probe(table, switch, probe, desired).await
    }

    async fn with_probe(table: FakeDataplane, switch: FakeProbe, probe: Arc<dyn Probe>, desired: Desired) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let guard = Guard::new(desired, Arc::new(table.clone()), probe);
        let guard = guard.with_events(move |event| heard.lock().unwrap().push((Instant::now(), event)));
        let (handle, cancel) = (guard.handle(), CancellationToken::new());
        let running = tokio::spawn(guard.run(cancel.clone()));
        let scene = Self { table, switch, handle, events, cancel, running };
        millis(10).await;
        scene
    }

    /// The servers that get connections.
    fn servers(&self) -> Vec<SocketAddr> {
        self.table.servers(service().address)
    }

    /// How long it takes until exactly these servers get connections; `None` when longer than `limit`.
    async fn until(&self, servers: &[SocketAddr], limit: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while self.servers() != servers {
            if begun.elapsed() > limit {
                return None;
            }
            millis(1).await;
        }
        Some(begun.elapsed())
    }

    /// What was told since the last call.
    fn told(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap()).into_iter().map(|(_, event)| event).collect()
    }

    /// Wants something else from now on, checked as before.
    fn want(&self, desired: Desired) -> crate::Result<()> {
        self.handle.set(desired, Arc::new(self.switch.clone()))
    }

    /// Ends the guard as a stop does.
    async fn end(self) -> FakeDataplane {
        self.cancel.cancel();
        self.running.await.unwrap().unwrap();
        self.table
    }
}

fn service() -> Service {
    Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr }
}

fn server(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6443))
}

fn desired(servers: &[u8]) -> Desired {
    let servers = servers.iter().map(|n| (server(*n), 1)).collect();
    Desired { service: service(), servers, health: HealthPolicy::default() }
}

fn rules(servers: &[u8]) -> Rules {
    Rules { service: service(), servers: servers.iter().map(|n| (server(*n), 1)).collect() }
}

/// A table as a guard before this one left it.
fn table_with(servers: &[u8]) -> FakeDataplane {
    let table = FakeDataplane::new();
    table.interfere(|all| drop(all.insert(service().address, rules(servers))));
    table
}

fn well(millis: u64) -> FakeBehavior {
    FakeBehavior::Well(Duration::from_millis(millis))
}

async fn millis(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

//! A probe without servers, for tests: each server does what the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::{Probe, Unhealthy, UnhealthyKind};

/// What a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FakeBehavior {
    /// Answers well after this time.
    Well(Duration),
    /// Refuses connections.
    Refuse,
    /// Takes connections and never answers, or lets packets vanish.
    Freeze,
    /// Answers after this time, but with a failure of this kind.
    Badly(UnhealthyKind, Duration),
}

/// Servers whose behavior tests set; a server never mentioned answers well at once.
///
/// Clones share the servers.
#[derive(Debug, Clone)]
pub struct FakeProbe {
    state: Arc<Mutex<BTreeMap<SocketAddr, FakeServer>>>,
    alarms: bool,
}

#[derive(Debug)]
struct FakeServer {
    behavior: FakeBehavior,
    checks: u64,
    running: u64,
    alarm: Arc<Notify>,
}

impl FakeProbe {
    /// A probe that notices at once when a server begins to refuse, as an open connection does.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), alarms: true }
    }

    /// A probe that learns only by asking.
    #[must_use]
    pub fn without_alarms() -> Self {
        Self { state: Arc::default(), alarms: false }
    }

    /// From now on `server` behaves like this.
    pub fn set(&self, server: SocketAddr, behavior: FakeBehavior) {
        let alarm = self.alarms && behavior == FakeBehavior::Refuse;
        self.with(server, |server_state| {
            server_state.behavior = behavior;
            if alarm {
                server_state.alarm.notify_one();
            }
        });
    }

    /// Raises an alarm about `server`, whatever its behavior.
    pub fn alarm(&self, server: SocketAddr) {
        self.with(server, |server_state| server_state.alarm.notify_one());
    }

    /// How many checks of `server` were begun.
    #[must_use]
    pub fn checks(&self, server: SocketAddr) -> u64 {
        self.with(server, |server_state| server_state.checks)
    }

    /// How many checks of `server` run now.
    #[must_use]
    pub fn running(&self, server: SocketAddr) -> u64 {
        self.with(server, |server_state| server_state.running)
    }

    fn behavior(&self, server: SocketAddr) -> FakeBehavior {
        self.with(server, |server_state| server_state.behavior.clone())
    }

    fn with<T>(&self, server: SocketAddr, act: impl FnOnce(&mut FakeServer) -> T) -> T {
        let mut server_states: MutexGuard<'_, _> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(server_states.entry(server).or_default())
    }
}

impl Default for FakeProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for FakeServer {
    fn default() -> Self {
        let alarm = Arc::default();
        Self { behavior: FakeBehavior::Well(Duration::ZERO), checks: 0, running: 0, alarm }
    }
}

#[async_trait]
impl Probe for FakeProbe {
    async fn check(&self, server: SocketAddr) -> Result<(), Unhealthy> {
        self.with(server, |server_state| server_state.checks += 1);
        let _running = Running::begin(self, server);
        match self.behavior(server) {
            FakeBehavior::Refuse => return Err(unhealthy(UnhealthyKind::Refused, "connection refused")),
            FakeBehavior::Well(time) | FakeBehavior::Badly(_, time) if !time.is_zero() => sleep(time).await,
            _ => {}
        }
        // The server may have changed while the request was under way.
        match self.behavior(server) {
            FakeBehavior::Well(_) => Ok(()),
            FakeBehavior::Freeze => std::future::pending().await,
            FakeBehavior::Refuse => Err(unhealthy(UnhealthyKind::Closed, "closed the connection")),
            FakeBehavior::Badly(kind, _) => Err(unhealthy(kind, "answered 500, wanted 200")),
        }
    }

    async fn alarm(&self, server: SocketAddr) {
        let alarm = self.with(server, |server_state| server_state.alarm.clone());
        alarm.notified().await;
    }
}

/// Counts a check that runs, also when it is dropped.
struct Running<'a>(&'a FakeProbe, SocketAddr);

impl<'a> Running<'a> {
    fn begin(switch: &'a FakeProbe, server: SocketAddr) -> Self {
        switch.with(server, |server_state| server_state.running += 1);
        Self(switch, server)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(self.1, |server_state| server_state.running -= 1);
    }
}

fn unhealthy(kind: UnhealthyKind, reason: &str) -> Unhealthy {
    Unhealthy { kind, reason: reason.to_owned() }
}

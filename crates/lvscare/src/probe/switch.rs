//! What does a probe without servers answer, for tests?

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
pub enum Manner {
    /// Answers well after this time.
    Well(Duration),
    /// Refuses connections.
    Refuse,
    /// Takes connections and never answers, or lets packets vanish.
    Freeze,
    /// Answers after this time, but with a failure of this kind.
    Badly(UnhealthyKind, Duration),
}

/// Servers that tests switch from one manner to another; a server never mentioned answers well at once.
///
/// Clones share the servers.
#[derive(Debug, Clone)]
pub struct Switch {
    state: Arc<Mutex<BTreeMap<SocketAddr, Lever>>>,
    alarms: bool,
}

#[derive(Debug)]
struct Lever {
    manner: Manner,
    checks: u64,
    running: u64,
    forgotten: u64,
    alarm: Arc<Notify>,
}

impl Switch {
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
    pub fn set(&self, server: SocketAddr, manner: Manner) {
        let alarm = self.alarms && manner == Manner::Refuse;
        self.with(server, |lever| {
            lever.manner = manner;
            if alarm {
                lever.alarm.notify_one();
            }
        });
    }

    /// Raises an alarm about `server`, whatever its manner.
    pub fn alarm(&self, server: SocketAddr) {
        self.with(server, |lever| lever.alarm.notify_one());
    }

    /// How many checks of `server` were begun.
    #[must_use]
    pub fn checks(&self, server: SocketAddr) -> u64 {
        self.with(server, |lever| lever.checks)
    }

    /// How many checks of `server` run now.
    #[must_use]
    pub fn running(&self, server: SocketAddr) -> u64 {
        self.with(server, |lever| lever.running)
    }

    /// How often `server` was forgotten.
    #[must_use]
    pub fn forgotten(&self, server: SocketAddr) -> u64 {
        self.with(server, |lever| lever.forgotten)
    }

    fn manner(&self, server: SocketAddr) -> Manner {
        self.with(server, |lever| lever.manner.clone())
    }

    fn with<T>(&self, server: SocketAddr, act: impl FnOnce(&mut Lever) -> T) -> T {
        let mut levers: MutexGuard<'_, _> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(levers.entry(server).or_default())
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Lever {
    fn default() -> Self {
        let alarm = Arc::default();
        Self { manner: Manner::Well(Duration::ZERO), checks: 0, running: 0, forgotten: 0, alarm }
    }
}

#[async_trait]
impl Probe for Switch {
    async fn check(&self, server: SocketAddr) -> Result<(), Unhealthy> {
        self.with(server, |lever| lever.checks += 1);
        let _running = Running::begin(self, server);
        match self.manner(server) {
            Manner::Refuse => return Err(unhealthy(UnhealthyKind::Refused, "connection refused")),
            Manner::Well(time) | Manner::Badly(_, time) if !time.is_zero() => sleep(time).await,
            _ => {}
        }
        // The server may have changed while the request was under way.
        match self.manner(server) {
            Manner::Well(_) => Ok(()),
            Manner::Freeze => std::future::pending().await,
            Manner::Refuse => Err(unhealthy(UnhealthyKind::Closed, "closed the connection")),
            Manner::Badly(kind, _) => Err(unhealthy(kind, "answered 500, wanted 200")),
        }
    }

    async fn alarm(&self, server: SocketAddr) {
        let alarm = self.with(server, |lever| lever.alarm.clone());
        alarm.notified().await;
    }

    fn forget(&self, server: SocketAddr) {
        self.with(server, |lever| lever.forgotten += 1);
    }
}

/// Counts a check that runs, also when it is dropped.
struct Running<'a>(&'a Switch, SocketAddr);

impl<'a> Running<'a> {
    fn begin(switch: &'a Switch, server: SocketAddr) -> Self {
        switch.with(server, |lever| lever.running += 1);
        Self(switch, server)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(self.1, |lever| lever.running -= 1);
    }
}

fn unhealthy(kind: UnhealthyKind, reason: &str) -> Unhealthy {
    Unhealthy { kind, reason: reason.to_owned() }
}

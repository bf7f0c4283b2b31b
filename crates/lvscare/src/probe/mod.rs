//! Checks whether a server is healthy.

mod check;
mod failure;
#[cfg(any(test, feature = "testing"))]
mod fake;
mod http;
mod metered;
mod pool;
mod port;
mod request;
mod tls;

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;

pub use check::{HealthConfig, HealthScheme};
#[cfg(any(test, feature = "testing"))]
pub use fake::{FakeBehavior, FakeProbe};
pub use http::HealthProbe;

/// What was found, or why the server does not count as healthy.
type Checked<T> = std::result::Result<T, Unhealthy>;

/// Asks a server about its health.
#[async_trait]
pub trait Probe: Send + Sync + fmt::Debug {
    /// One check. The caller bounds its time and drops the future when the time is over, so it must be safe to drop.
    /// When half of the time is over the caller asks once more, while the first check still runs: the second should
    /// not depend on what the first waits for, so it opens a connection of its own.
    ///
    /// # Errors
    /// Why the server does not count as healthy.
    async fn check(&self, server: SocketAddr) -> Result<(), Unhealthy>;

    /// Ends when something suggests that a server may have died since the last check, such as its closing a
    /// connection that a check left open: the caller then checks at once. Never ends when nothing is watched.
    /// Called after each check; the future is dropped when the next check begins.
    async fn alarm(&self, _server: SocketAddr) {
        std::future::pending().await
    }
}

/// Why a server does not count as healthy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unhealthy {
    /// Which kind of failure.
    pub kind: UnhealthyKind,
    /// In words, such as `answered 500, wanted 200`.
    pub reason: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnhealthyKind {
    /// It refuses connections: nobody listens, or its host says it cannot be reached. There is no doubt about it.
    Refused,
    /// It accepted the connection and closed or reset it before it answered.
    Closed,
    /// It did not answer in time.
    TimedOut,
    /// It could not prove who it is.
    Tls,
    /// It answered something else than it should.
    Answer,
    /// This host could not ask: it lacks files, ports or rights. That says little about the server.
    NotAsked,
}

impl Unhealthy {
    fn new(kind: UnhealthyKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

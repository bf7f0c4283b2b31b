//! Tests of the probes on real servers on loopback.

#![allow(clippy::unwrap_used, missing_docs)]

mod alarms;
mod answers;
mod cost;
#[cfg(feature = "testing")]
mod guarded;
mod hostile;
mod identity;
mod reuse;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use lvscare::{HealthConfig, HealthProbe, HealthScheme, Probe, Unhealthy, UnhealthyKind};
use tokio::time::timeout;

/// One check as the guard performs it, with a generous time-out.
async fn check(probe: &dyn Probe, server: SocketAddr) -> Result<(), Unhealthy> {
    within(Duration::from_secs(5), probe, server).await
}

async fn within(time: Duration, probe: &dyn Probe, server: SocketAddr) -> Result<(), Unhealthy> {
    let late = Unhealthy { kind: UnhealthyKind::TimedOut, reason: "no answer in time".to_owned() };
    timeout(time, probe.check(server)).await.unwrap_or(Err(late))
}

/// Whether the alarm goes off within this time.
async fn alarmed(time: Duration, probe: &dyn Probe, server: SocketAddr) -> bool {
    timeout(time, probe.alarm(server)).await.is_ok()
}

fn plain() -> HealthConfig {
    HealthConfig { scheme: HealthScheme::Http, ..HealthConfig::default() }
}

fn tcp() -> HealthProbe {
    HealthProbe::new(&HealthConfig { scheme: HealthScheme::Tcp, ..HealthConfig::default() }, &[]).unwrap()
}

fn http() -> HealthProbe {
    HealthProbe::new(&plain(), &[]).unwrap()
}

#[track_caller]
fn assert_fails(answer: Result<(), Unhealthy>, kind: UnhealthyKind, words: &str) {
    let unhealthy = answer.expect_err("should not count as healthy");
    assert_eq!(unhealthy.kind, kind, "{unhealthy}");
    assert!(unhealthy.reason.contains(words), "{unhealthy} should say {words:?}");
}

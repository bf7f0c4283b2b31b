//! Makes the rules once, or takes them away.

use std::net::SocketAddr;
use std::sync::PoisonError;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Guard;
use super::ask::ask;
use super::sync::sync;
use crate::{Addressing, Dataplane, Result, Service};

/// What one round found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Servers that are in and answered well.
    pub healthy: Vec<SocketAddr>,
    /// Servers that did not answer well, and why.
    pub unhealthy: Vec<(SocketAddr, String)>,
    /// Servers that are in although none answered well.
    pub kept: Vec<SocketAddr>,
    /// What could not be done and is not needed for the rules.
    pub degraded: Option<String>,
    /// How many changes of the rules it took.
    pub changes: usize,
}

pub(super) async fn once(guard: Guard) -> Result<Report> {
    let Guard { desired, dataplane, probe, addressing, table, .. } = guard;
    let asked = desired.servers.keys().map(|server| {
        let (probe, time) = (&probe, desired.health.timeout);
        async move { (*server, ask(&**probe, *server, time).await) }
    });
    let answers = join_all(asked).await;
    let mut report =
        Report { healthy: Vec::new(), unhealthy: Vec::new(), kept: Vec::new(), degraded: None, changes: 0 };
    let observed = dataplane.observe(desired.service.address).await?;
    let wanted = {
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if answers.iter().all(|(_, answer)| answer.is_err())
            && let Some(rules) = &observed
        {
            // The servers that are in may be the last good set.
            table.adopt(rules, now);
        }
        for (server, answer) in answers {
            match &answer {
                Ok(()) => report.healthy.push(server),
                Err(unhealthy) => report.unhealthy.push((server, unhealthy.reason.clone())),
            }
            table.record(server, answer, std::time::Duration::ZERO, now);
        }
        table.target()
    };
    let Some(wanted) = wanted else { return Ok(report) };
    if report.healthy.is_empty() {
        report.kept = wanted.servers.keys().copied().collect();
    }
    let outcome = sync(dataplane, addressing, wanted, None, false).await;
    (report.changes, report.degraded) = (outcome.changes, outcome.degraded);
    outcome.failure.map_or(Ok(report), Err)
}

/// Takes the virtual service and its servers away, and what made its address usable on this host.
///
/// # Errors
/// When the kernel refuses; the rest is still tried.
pub async fn clean(service: &Service, dataplane: &dyn Dataplane, addressing: Option<&dyn Addressing>) -> Result<()> {
    let rules = dataplane.remove(service).await;
    if let Some(addressing) = addressing {
        addressing.remove(service.address.ip()).await?;
    }
    rules
}

//! Tells the service manager that all is well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{GuardHandle, HealthPolicy, Status, Supervisor};

/// A guard that begins no round of checks for so long beyond the longest round is stuck.
const STUCK: Duration = Duration::from_secs(3);

/// The longest time from one round of checks to the next; changes with the configuration.
#[derive(Debug, Default)]
pub(super) struct LongestRound(AtomicU64);

impl LongestRound {
    pub(super) fn set(&self, policy: &HealthPolicy) {
        let micros = u64::try_from(policy.longest_interval().as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Says that the daemon is alive as long as the guard works; never ends.
pub(super) async fn heartbeat(supervisor: &Supervisor, handle: &GuardHandle, longest_round: &LongestRound) {
    let Some(period) = supervisor.heartbeat() else { return std::future::pending().await };
    let mut seen = (handle.status().rounds, Instant::now());
    loop {
        let rounds = handle.status().rounds;
        if rounds != seen.0 {
            seen = (rounds, Instant::now());
        }
        if seen.1.elapsed() <= longest_round.get() + STUCK {
            supervisor.alive();
        }
        sleep(period).await;
    }
}

/// Tells each change of the servers' state; never ends.
pub(super) async fn status_line(supervisor: &Supervisor, handle: &GuardHandle) {
    let mut changes = handle.watch();
    while changes.changed().await.is_ok() {
        supervisor.status(&line(&handle.status()));
    }
    std::future::pending().await
}

/// What `systemctl status` shows.
pub(super) fn line(status: &Status) -> String {
    let down: Vec<String> = status
        .servers
        .iter()
        .filter_map(|server| server.reason.as_ref().map(|reason| format!("; {} {reason}", server.server)))
        .collect();
    let (healthy, servers) = (status.healthy(), status.servers.len());
    let line = format!("{} ({}): {healthy} of {servers} servers are healthy", status.service, status.dataplane);
    match &status.failing {
        Some(reason) => format!("{line}, but {reason}"),
        None => format!("{line}{}", down.concat()),
    }
}

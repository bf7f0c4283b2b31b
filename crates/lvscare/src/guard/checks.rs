//! Asks one server again and again: at every tick, soon after a failure, and at once when it seems to have died.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::ask::ask;
use crate::{HealthPolicy, Probe, Unhealthy};

/// A failure is confirmed by another check after this time: a server that is restarted in place refuses for an instant.
const CONFIRM_AFTER: Duration = Duration::from_millis(20);

/// One answer of a server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) server: SocketAddr,
    /// The task that asked.
    pub(super) generation: u64,
    pub(super) result: Result<(), Unhealthy>,
    pub(super) took: Duration,
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    pub(super) probe: Arc<dyn Probe>,
    pub(super) policy: HealthPolicy,
    pub(super) ticks: watch::Receiver<u64>,
    pub(super) answers: mpsc::Sender<Answer>,
    pub(super) generation: u64,
}

impl Checks {
    /// Asks `server` until nobody listens any more.
    pub(super) async fn run(mut self, server: SocketAddr) {
        let (mut failures, mut heed_alarms_from) = (0_u32, Instant::now());
        loop {
            self.ticks.mark_unchanged();
            let begun = Instant::now();
            let result = ask(&*self.probe, server, self.policy.timeout).await;
            failures = if result.is_ok() { 0 } else { failures.saturating_add(1) };
            let answer = Answer { server, generation: self.generation, result, took: begun.elapsed() };
            if self.answers.send(answer).await.is_err() {
                return;
            }
            let alarm = async {
                self.probe.alarm(server).await;
                sleep_until(heed_alarms_from).await;
            };
            tokio::select! {
                () = sleep(CONFIRM_AFTER), if (1..self.policy.fall).contains(&failures) => {}
                changed = self.ticks.changed() => if changed.is_err() { return },
                // A server that closes every connection must not be asked without end.
                () = alarm => heed_alarms_from = Instant::now() + self.policy.interval,
            }
        }
    }
}

//! Checks one server again and again: at every tick, soon after a failure, and at once when it seems to have died.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{HealthPolicy, Probe, Unhealthy, UnhealthyKind};

/// A failure is confirmed by another check after this time: a server that is restarted in place refuses for an instant.
const CONFIRM_AFTER: Duration = Duration::from_millis(20);
/// Timers that fire later than this say that this process got no processor, not that the server is silent.
const LATE: Duration = Duration::from_millis(20);

/// The outcome of one check of a server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) server: SocketAddr,
    pub(super) result: Result<(), Unhealthy>,
    pub(super) took: Duration,
}

/// How servers are checked.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    pub(super) probe: Arc<dyn Probe>,
    pub(super) policy: HealthPolicy,
    pub(super) ticks: watch::Receiver<()>,
    pub(super) answers: mpsc::Sender<Answer>,
}

impl Checks {
    /// Checks `server` until nobody listens any more.
    pub(super) async fn run(mut self, server: SocketAddr) {
        let (mut failures, mut alarms_count_from) = (0_u32, Instant::now());
        loop {
            self.ticks.mark_unchanged();
            let answer = check(&*self.probe, server, self.policy.timeout).await;
            failures = if answer.result.is_ok() { 0 } else { failures.saturating_add(1) };
            if self.answers.send(answer).await.is_err() {
                return;
            }
            let alarm = async {
                self.probe.alarm(server).await;
                sleep_until(alarms_count_from).await;
            };
            tokio::select! {
                () = sleep(CONFIRM_AFTER), if (1..self.policy.fall).contains(&failures) => {}
                changed = self.ticks.changed() => if changed.is_err() { return },
                // A server that closes every connection must not be checked without end.
                () = alarm => alarms_count_from = Instant::now() + self.policy.interval,
            }
        }
    }
}

/// Checks `server` once.
pub(super) async fn check(probe: &dyn Probe, server: SocketAddr, timeout: Duration) -> Answer {
    let begun = Instant::now();
    let result = ask(probe, server, timeout).await;
    Answer { server, result, took: begun.elapsed() }
}

/// One check with its time-out: a second request when half of the time is over; the first answer to either counts.
async fn ask(probe: &dyn Probe, server: SocketAddr, timeout: Duration) -> Result<(), Unhealthy> {
    let begun = Instant::now();
    let mut first = probe.check(server);
    tokio::select! {
        biased;
        answer = &mut first => return answer,
        () = sleep_until(begun + timeout / 2) => {}
    }
    let mut second = probe.check(server);
    let mut end = begun + timeout;
    let mut extended = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            answer = &mut second => return answer,
            () = sleep_until(end) => {}
        }
        let late = Instant::now().duration_since(end);
        if extended || late < LATE {
            let reason = format!("no answer within {timeout:?}");
            return Err(Unhealthy { kind: UnhealthyKind::TimedOut, reason });
        }
        // The answer may be waiting in the socket: give the server as much time as was lost.
        (end, extended) = (Instant::now() + late.min(timeout), true);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(450);

    /// Answers its checks after these times, one after the other.
    #[derive(Debug)]
    struct Slow(Vec<u64>, AtomicU32);

    #[async_trait]
    impl Probe for Slow {
        async fn check(&self, _server: SocketAddr) -> Result<(), Unhealthy> {
            let turn = self.1.fetch_add(1, Ordering::Relaxed);
            match self.0.get(turn as usize) {
                Some(time) => tokio::time::sleep(Duration::from_millis(*time)).await,
                None => std::future::pending().await,
            }
            Ok(())
        }
    }

    async fn asked(times: &[u64]) -> (Result<(), Unhealthy>, u32, Duration) {
        let probe = Slow(times.to_vec(), AtomicU32::new(0));
        let begun = Instant::now();
        let answer = ask(&probe, "10.0.0.1:1".parse().unwrap(), TIMEOUT).await;
        (answer, probe.1.into_inner(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_needs_one_request() {
        let (answer, requests, took) = asked(&[100]).await;
        assert_eq!((answer, requests), (Ok(()), 1));
        assert!(took <= Duration::from_millis(101));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_request_is_made_good_by_the_second() {
        let (answer, requests, took) = asked(&[1_000_000, 5]).await;
        assert_eq!((answer, requests), (Ok(()), 2));
        assert!(took <= Duration::from_millis(232), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_answer_counts_until_the_end() {
        let (answer, requests, took) = asked(&[440, 1_000_000]).await;
        assert_eq!((answer, requests), (Ok(()), 2));
        assert!(took <= Duration::from_millis(441), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_with_the_time_out() {
        let (answer, _, took) = asked(&[]).await;
        let reason = answer.unwrap_err();
        assert_eq!(reason.kind, UnhealthyKind::TimedOut);
        assert_eq!(reason.reason, "no answer within 450ms");
        assert!(took >= TIMEOUT && took <= TIMEOUT + Duration::from_millis(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_does_not_blame_the_server() {
        // Both timers fire long after their times, as after a stop; the answer comes right afterwards.
        let probe = Slow(vec![5_050, 1_000_000], AtomicU32::new(0));
        let asking = ask(&probe, "10.0.0.1:1".parse().unwrap(), TIMEOUT);
        tokio::pin!(asking);
        tokio::select! { biased; _ = &mut asking => unreachable!(), () = std::future::ready(()) => {} }
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(asking.await, Ok(()));
    }
}

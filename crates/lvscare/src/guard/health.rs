//! Turns the answers of one server into "up" and "down" by counting them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::{HealthPolicy, ServerState, ServerStatus, Unhealthy, UnhealthyKind};

/// What is known about one server's health; a pure state machine fed with answers.
#[derive(Debug)]
pub(super) struct Health {
    /// All but `weight` and `seconds`, which are filled in when somebody asks.
    pub(super) status: ServerStatus,
    /// When it came into its state.
    pub(super) since: Instant,
    /// When it last fell; `None` when it never was up.
    pub(super) fell: Option<Instant>,
    /// Answers in a row that speak against its state.
    against: u32,
}

impl Health {
    /// A server about which nothing is known: its first answer decides, whatever it is.
    pub(super) fn unknown(server: SocketAddr, now: Instant) -> Self {
        let status = ServerStatus {
            server,
            weight: 0,
            state: ServerState::Unknown,
            reason: None,
            seconds: 0.0,
            checks: 0,
            failures: 0,
            transitions: 0,
            last_check_seconds: None,
            check_seconds: 0.0,
        };
        Self { status, since: now, fell: None, against: 0 }
    }

    pub(super) fn is_up(&self) -> bool {
        self.status.state == ServerState::Up
    }

    pub(super) fn status(&self, weight: u16, now: Instant) -> ServerStatus {
        let seconds = now.duration_since(self.since).as_secs_f64();
        ServerStatus { weight, seconds, ..self.status.clone() }
    }

    /// Takes the outcome of a check in; true when the state changed.
    pub(super) fn record(
        &mut self,
        answer: Result<(), Unhealthy>,
        took: Duration,
        now: Instant,
        policy: &HealthPolicy,
    ) -> bool {
        let was = self.status.state;
        let needed = match (was, &answer) {
            (ServerState::Unknown, _) => Some(1),
            // Two requests were sent and neither was answered in time.
            (ServerState::Up, Err(unhealthy)) if unhealthy.kind == UnhealthyKind::TimedOut => Some(1),
            (ServerState::Up, Err(_)) => Some(policy.fall),
            (ServerState::Down, Ok(())) => Some(policy.rise),
            (ServerState::Up, Ok(())) | (ServerState::Down, Err(_)) => None,
        };
        self.against = needed.map_or(0, |_| self.against + 1);
        let (state, reason) = match answer {
            Ok(()) => (ServerState::Up, None),
            Err(unhealthy) => (ServerState::Down, Some(unhealthy.reason)),
        };
        let status = &mut self.status;
        status.checks += 1;
        status.failures += u64::from(reason.is_some());
        status.last_check_seconds = Some(took.as_secs_f64());
        status.check_seconds += took.as_secs_f64();
        let changed = needed.is_some_and(|needed| self.against >= needed);
        if changed {
            status.transitions += 1;
            if was == ServerState::Up {
                self.fell = Some(now);
            }
            (status.state, self.since, self.against) = (state, now, 0);
        }
        // Of a server that is out the newest reason is told.
        if status.state == state {
            status.reason = reason;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: UnhealthyKind = UnhealthyKind::Answer;
    const TIMED_OUT: UnhealthyKind = UnhealthyKind::TimedOut;

    struct Server {
        health: Health,
        now: Instant,
        policy: HealthPolicy,
    }

    impl Server {
        fn up() -> Self {
            let now = Instant::now();
            let mut health = unknown(now);
            health.status.state = ServerState::Up;
            Self { health, now, policy: HealthPolicy::default() }
        }

        /// One answer after the interval; true when the state changed.
        fn answers(&mut self, answer: Result<(), UnhealthyKind>) -> bool {
            self.now += self.policy.interval;
            let answer = answer.map_err(|kind| Unhealthy { kind, reason: format!("{kind:?}") });
            self.health.record(answer, Duration::ZERO, self.now, &self.policy)
        }

        /// So many good answers until it is up.
        fn rises_after(&mut self) -> u32 {
            (1..10_000).find(|_| self.answers(Ok(()))).expect("it rises")
        }
    }

    fn unknown(now: Instant) -> Health {
        Health::unknown(SocketAddr::from(([10, 0, 0, 1], 6443)), now)
    }

    #[test]
    fn a_time_out_is_enough() {
        let mut server = Server::up();
        server.policy.fall = 10;
        assert!(server.answers(Err(TIMED_OUT)));
    }

    #[test]
    fn wrong_answers_count_to_fall_and_a_good_one_begins_anew() {
        let mut server = Server::up();
        server.policy.fall = 3;
        for _ in 0..2 {
            assert!(!server.answers(Err(ANSWER)));
            assert!(!server.answers(Err(ANSWER)));
            assert!(!server.answers(Ok(())));
        }
        assert!(!server.answers(Err(ANSWER)));
        assert!(!server.answers(Err(UnhealthyKind::Closed)), "sorts of failure add up");
        assert!(server.answers(Err(ANSWER)));
    }

    #[test]
    fn one_failure_of_this_host_takes_nobody_out() {
        let mut server = Server::up();
        assert!(!server.answers(Err(UnhealthyKind::NotAsked)));
        assert!(!server.answers(Ok(())));
        assert!(server.health.is_up());
    }

    #[test]
    fn a_server_comes_back_after_rise_good_checks_in_a_row() {
        let mut server = Server::up();
        server.policy.rise = 3;
        server.answers(Err(TIMED_OUT));
        server.answers(Ok(()));
        server.answers(Ok(()));
        server.answers(Err(ANSWER));
        assert_eq!(server.health.status.reason.as_deref(), Some("Answer"), "the newest reason is told");
        assert_eq!(server.rises_after(), 3);
    }

    #[test]
    fn the_first_answer_of_an_unknown_server_decides() {
        let now = Instant::now();
        let policy = HealthPolicy::default();
        let mut good = unknown(now);
        assert!(good.status.state == ServerState::Unknown);
        assert!(good.record(Ok(()), Duration::ZERO, now, &policy) && good.is_up());
        let mut bad = unknown(now);
        let reason = Unhealthy { kind: ANSWER, reason: "answered 500".to_owned() };
        assert!(bad.record(Err(reason), Duration::ZERO, now, &policy));
        assert_eq!((bad.status.state, bad.status.reason.as_deref()), (ServerState::Down, Some("answered 500")));
        assert_eq!(bad.fell, None, "it never was up");
    }

    #[test]
    fn it_is_known_when_a_dead_server_last_lived() {
        let mut server = Server::up();
        server.answers(Err(TIMED_OUT));
        let fell = server.now;
        server.answers(Err(TIMED_OUT));
        assert_eq!(server.health.fell, Some(fell));
    }
}

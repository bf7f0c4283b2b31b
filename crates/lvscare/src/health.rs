//! Turns the answers of one server into "up" and "down" by counting them.

use tokio::time::Instant;

use crate::{HealthPolicy, Unhealthy, UnhealthyKind};

/// What is known about one server's health; a pure state machine fed with answers.
#[derive(Debug, Clone)]
pub struct Health {
    state: State,
    /// When it came into this state.
    since: Instant,
    /// When it last was up, of a server that is not.
    last_up: Option<Instant>,
    /// Answers of the same sort in a row that speak against the state.
    against: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Unknown,
    Up,
    Down(Unhealthy),
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The server counts as healthy from now on.
    Up,
    /// The server counts as dead from now on, for this reason.
    Down(Unhealthy),
}

impl Health {
    /// A server about which nothing is known: its first answer decides, whatever it is.
    #[must_use]
    pub fn unknown(now: Instant) -> Self {
        Self { state: State::Unknown, since: now, last_up: None, against: 0 }
    }

    /// A server that counts as healthy until answers say otherwise.
    #[must_use]
    pub fn presumed_up(now: Instant) -> Self {
        Self { state: State::Up, ..Self::unknown(now) }
    }

    /// Whether the server counts as healthy.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether the server has not been asked yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.state == State::Unknown
    }

    /// Why the server counts as dead; `None` when it does not.
    #[must_use]
    pub fn reason(&self) -> Option<&Unhealthy> {
        match &self.state {
            State::Down(reason) => Some(reason),
            State::Unknown | State::Up => None,
        }
    }

    /// When the server came into its state.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When a server that is not up last was up; `None` when it never was.
    #[must_use]
    pub fn last_up(&self) -> Option<Instant> {
        self.last_up
    }

    /// Takes one answer in.
    pub fn record(&mut self, answer: Result<(), Unhealthy>, now: Instant, policy: &HealthPolicy) -> Option<Transition> {
        match (&mut self.state, answer) {
            (State::Unknown, Ok(())) => Some(self.rise(now)),
            (State::Unknown, Err(reason)) => Some(self.fall(reason, now)),
            (State::Up, Ok(())) => {
                self.against = 0;
                None
            }
            (State::Up, Err(reason)) => {
                self.against += 1;
                (self.against >= failures_needed(reason.kind, policy)).then(|| self.fall(reason, now))
            }
            (State::Down(_), Ok(())) => {
                self.against += 1;
                (self.against >= policy.rise).then(|| self.rise(now))
            }
            (State::Down(last), Err(reason)) => {
                *last = reason;
                self.against = 0;
                None
            }
        }
    }

    fn rise(&mut self, now: Instant) -> Transition {
        *self = Self::presumed_up(now);
        Transition::Up
    }

    fn fall(&mut self, reason: Unhealthy, now: Instant) -> Transition {
        let last_up = if self.is_up() { Some(now) } else { self.last_up };
        *self = Self { state: State::Down(reason.clone()), last_up, ..Self::unknown(now) };
        Transition::Down(reason)
    }
}

/// So many failures in a row, of which this is the last, take a server out: one when it did not answer in time, for two
/// requests were sent and neither was answered.
fn failures_needed(kind: UnhealthyKind, policy: &HealthPolicy) -> u32 {
    if kind == UnhealthyKind::TimedOut { 1 } else { policy.fall }
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
            Self { health: Health::presumed_up(now), now, policy: HealthPolicy::default() }
        }

        /// One answer after the interval; true when the state changed.
        fn answers(&mut self, answer: Result<(), UnhealthyKind>) -> bool {
            self.now += self.policy.interval;
            let answer = answer.map_err(|kind| Unhealthy { kind, reason: format!("{kind:?}") });
            self.health.record(answer, self.now, &self.policy).is_some()
        }

        /// So many good answers until it is up.
        fn rises_after(&mut self) -> u32 {
            (1..10_000).find(|_| self.answers(Ok(()))).expect("it rises")
        }
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
        assert_eq!(server.health.reason().map(|reason| reason.kind), Some(ANSWER), "the newest reason is told");
        assert_eq!(server.rises_after(), 3);
    }

    #[test]
    fn the_first_answer_of_an_unknown_server_decides() {
        let now = Instant::now();
        let policy = HealthPolicy::default();
        let mut good = Health::unknown(now);
        assert!(good.is_unknown() && !good.is_up());
        assert_eq!(good.record(Ok(()), now, &policy), Some(Transition::Up));
        let mut bad = Health::unknown(now);
        let reason = Unhealthy { kind: ANSWER, reason: "answered 500".to_owned() };
        assert_eq!(bad.record(Err(reason.clone()), now, &policy), Some(Transition::Down(reason)));
        assert_eq!(bad.last_up(), None, "it never was up");
    }

    #[test]
    fn it_is_known_when_a_dead_server_last_lived() {
        let mut server = Server::up();
        server.answers(Err(TIMED_OUT));
        let fell = server.now;
        server.answers(Err(TIMED_OUT));
        assert_eq!(server.health.last_up(), Some(fell));
    }
}

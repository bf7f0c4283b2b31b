//! Do the last answers of a server make it "up" or "down"?

use std::time::Duration;

use tokio::time::Instant;

use crate::{HealthPolicy, Unhealthy, UnhealthyKind};

/// A refusal is asked about once more after this time: a server that is restarted in place refuses for an instant.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);
/// Any other failure but a time-out is asked about again after this time.
const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// A server that was up for so long has its earlier falls forgiven.
const FORGIVEN: Duration = Duration::from_secs(60);
/// However often a server fell, it need not answer well for longer than this to come back.
const LONGEST_RISE: Duration = Duration::from_secs(30);

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
    /// The last failure, of a server that is up and may not be.
    doubt: Option<UnhealthyKind>,
    /// How often it fell without having been up for long in between.
    falls: u32,
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
        Self { state: State::Unknown, since: now, last_up: None, against: 0, doubt: None, falls: 0 }
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
                (self.against, self.doubt) = (0, None);
                None
            }
            (State::Up, Err(reason)) => {
                self.against += 1;
                self.doubt = Some(reason.kind);
                (self.against >= failures_needed(reason.kind, policy)).then(|| self.fall(reason, now))
            }
            (State::Down(_), Ok(())) => {
                self.against += 1;
                (self.against >= self.rise_needed(policy)).then(|| self.rise(now))
            }
            (State::Down(last), Err(reason)) => {
                *last = reason;
                self.against = 0;
                None
            }
        }
    }

    /// How long to wait before the next check, from the end of the last one when it failed and leaves a doubt.
    #[must_use]
    pub fn next_check(&self, policy: &HealthPolicy) -> Duration {
        let soon = match self.doubt {
            Some(UnhealthyKind::Refused) => AFTER_REFUSAL,
            Some(_) => AFTER_FAILURE,
            None => policy.interval,
        };
        soon.min(policy.interval)
    }

    /// Whether the last answer leaves a doubt that the next check should soon remove.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubt.is_some()
    }

    /// So many good checks in a row bring this server back: twice as many after each fall.
    fn rise_needed(&self, policy: &HealthPolicy) -> u32 {
        let longest = LONGEST_RISE.as_millis() / policy.interval.as_millis().max(1);
        let longest = u32::try_from(longest).unwrap_or(u32::MAX).max(policy.rise);
        let doublings = self.falls.saturating_sub(1).min(16);
        policy.rise.saturating_mul(1 << doublings).min(longest)
    }

    fn rise(&mut self, now: Instant) -> Transition {
        *self = Self { falls: self.falls, ..Self::presumed_up(now) };
        Transition::Up
    }

    fn fall(&mut self, reason: Unhealthy, now: Instant) -> Transition {
        let was_up = self.is_up();
        let forgiven = was_up && now.duration_since(self.since) >= FORGIVEN;
        let falls = if forgiven { 1 } else { self.falls + 1 };
        let last_up = if was_up { Some(now) } else { self.last_up };
        *self = Self { state: State::Down(reason.clone()), falls, last_up, ..Self::unknown(now) };
        Transition::Down(reason)
    }
}

/// So many failures in a row, of which this is the last, take a server out.
fn failures_needed(kind: UnhealthyKind, policy: &HealthPolicy) -> u32 {
    match kind {
        // Two requests were sent and neither was answered.
        UnhealthyKind::TimedOut => 1,
        UnhealthyKind::Refused => policy.fall.min(2),
        UnhealthyKind::Closed | UnhealthyKind::Tls | UnhealthyKind::Answer | UnhealthyKind::NotAsked => policy.fall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: UnhealthyKind = UnhealthyKind::Refused;
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
    fn a_refusal_needs_one_confirmation_whatever_fall_is() {
        for fall in [2, 3, 10] {
            let mut server = Server::up();
            server.policy.fall = fall;
            assert!(!server.answers(Err(REFUSED)));
            assert_eq!(server.health.next_check(&server.policy), AFTER_REFUSAL);
            assert!(server.answers(Err(REFUSED)), "fall {fall}");
            assert_eq!(server.health.reason().map(|reason| reason.kind), Some(REFUSED));
        }
        let mut server = Server::up();
        server.policy.fall = 1;
        assert!(server.answers(Err(REFUSED)));
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
            assert_eq!(server.health.next_check(&server.policy), AFTER_FAILURE);
            assert!(!server.answers(Ok(())));
            assert_eq!(server.health.next_check(&server.policy), server.policy.interval);
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
    fn each_fall_doubles_the_way_back_up_to_half_a_minute() {
        let mut server = Server::up();
        let mut needed = Vec::new();
        for _ in 0..9 {
            assert!(server.answers(Err(TIMED_OUT)));
            needed.push(server.rises_after());
        }
        assert_eq!(needed, [2, 4, 8, 16, 32, 64, 75, 75, 75], "75 checks of 400 ms are 30 s");
    }

    #[test]
    fn falls_are_forgiven_after_a_minute_up() {
        let mut server = Server::up();
        for _ in 0..5 {
            server.answers(Err(TIMED_OUT));
            server.rises_after();
        }
        server.now += FORGIVEN;
        server.answers(Err(TIMED_OUT));
        assert_eq!(server.rises_after(), server.policy.rise);
    }

    #[test]
    fn a_long_interval_needs_no_more_than_rise() {
        let mut server = Server::up();
        server.policy.interval = Duration::from_secs(60);
        for _ in 0..5 {
            server.answers(Err(TIMED_OUT));
            assert_eq!(server.rises_after(), 2);
        }
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

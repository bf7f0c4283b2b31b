//! Decides when the cloud is asked again: the usual time of each state, and exponential back-off after a refusal.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::api::{ApiError, Class};

/// The longest pause between two requests about the same state.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A state of the cloud that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// A new VPC becomes available.
    Vpc,
    /// A new vSwitch becomes available.
    VSwitch,
    /// New instances start.
    Running,
    /// Instances stop.
    Stopped,
    /// A stopped instance starts again.
    Restarted,
    /// Deleted instances leave their vSwitch and security group.
    Gone,
    /// An elastic address is unbound.
    Unbound,
    /// A deleted vSwitch leaves its VPC.
    VSwitchGone,
}

impl Pending {
    /// How long the state usually takes; the first request that needs it is sent after this time. Constants, chosen with
    /// `cargo xtask bench cloud` so that 3 + 3 machines take at most 13 calls on a quick and on a slow day. Published
    /// logs of other tools show 4 to 7 s for a VPC and a vSwitch, and 13 s for an instance.
    pub(super) const fn usual_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Vpc => 5_000,
            Self::VSwitch | Self::Stopped | Self::Gone => 4_000,
            Self::Running | Self::Restarted => 10_000,
            Self::Unbound => 2_000,
            Self::VSwitchGone => 0,
        })
    }

    /// In words, for events and errors.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Vpc => "the VPC",
            Self::VSwitch => "the vSwitch",
            Self::Running => "the instances",
            Self::Stopped => "the instance to stop",
            Self::Restarted => "the instance to run again",
            Self::Gone => "the instances to be gone",
            Self::Unbound => "the elastic address to be free",
            Self::VSwitchGone => "the vSwitch to be gone",
        }
    }

    /// Pauses between requests that came too early: half of the usual time, then longer. Nobody else waits for the
    /// same state, so there is no jitter.
    pub(super) fn backoff(self) -> ExponentialBackoff {
        const SHORTEST: Duration = Duration::from_millis(500);
        state_backoff((self.usual_time() / 2).max(SHORTEST), LONGEST_PAUSE).build()
    }
}

const fn state_backoff(first: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(first).with_factor(1.5).with_max_delay(longest).without_max_times()
}

/// The back-offs of one call that is refused again and again, by the class of the refusal.
#[derive(Debug, Default)]
pub(super) struct Backoffs(BTreeMap<Class, ExponentialBackoff>);

impl Backoffs {
    /// Back-offs of a call that needs a state to be reached.
    pub(super) fn after(pending: Option<Pending>) -> Self {
        let states = pending.map(|pending| [Class::NotReady, Class::InUse].map(|class| (class, pending.backoff())));
        Self(states.into_iter().flatten().collect())
    }

    /// How long to wait before the same call is made again; `None` when making it again cannot help.
    pub(super) fn next(&mut self, error: &ApiError) -> Option<Duration> {
        let builder = builder(error)?;
        let pause = self.0.entry(error.class).or_insert_with(|| builder.build()).next()?;
        // Never earlier than the cloud says; a tenth of the pause spreads those who were told the same.
        Some(error.retry_after.map_or(pause, |least| least + pause / 10))
    }
}

fn builder(error: &ApiError) -> Option<ExponentialBuilder> {
    let milliseconds = Duration::from_millis;
    let jittered = |first: u64, longest: u64| {
        let builder =
            ExponentialBuilder::new().with_min_delay(milliseconds(first)).with_max_delay(milliseconds(longest));
        builder.with_jitter().without_max_times()
    };
    Some(match error.class {
        Class::NotReady | Class::InUse => state_backoff(milliseconds(500), milliseconds(2_000)),
        Class::InFlight => jittered(800, 800),
        Class::Busy => jittered(150, 2_000),
        Class::Throttled => jittered(1_000, 30_000),
        Class::Server if error.repeatable => jittered(250, 4_000).with_max_times(9),
        // What is new is not visible everywhere at once.
        Class::Missing => jittered(200, 1_000).with_max_times(7),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: Class) -> ApiError {
        ApiError {
            action: "RunInstances",
            status: Some(400),
            code: String::new(),
            message: String::new(),
            request_id: None,
            class,
            retry_after: None,
            may_have_happened: false,
            repeatable: true,
            source: None,
        }
    }

    /// Pauses until the call is given up, at most 100.
    fn pauses(error: &ApiError) -> Vec<Duration> {
        let mut backoffs = Backoffs::default();
        std::iter::from_fn(|| backoffs.next(error)).take(100).collect()
    }

    #[test]
    fn a_wrong_key_or_a_sold_out_type_is_not_waited_for() {
        for class in [Class::Denied, Class::Forbidden, Class::Quota, Class::NextCandidate, Class::Refused, Class::Gone]
        {
            assert!(pauses(&error(class)).is_empty(), "{class:?}");
        }
    }

    #[test]
    fn a_throttled_call_comes_back_when_the_cloud_says_and_not_before() {
        let after = Duration::from_secs(7);
        let throttled = ApiError { retry_after: Some(after), ..error(Class::Throttled) };
        let first = pauses(&throttled)[0];
        assert!(first >= after && first < after + Duration::from_secs(1), "{first:?}");
    }

    #[test]
    fn what_may_happen_twice_is_not_repeated_and_nothing_is_repeated_for_ever() {
        assert!(pauses(&ApiError { repeatable: false, ..error(Class::Server) }).is_empty());
        assert_eq!(pauses(&error(Class::Server)).len(), 9);
        assert_eq!(pauses(&error(Class::Missing)).len(), 7);
        let busy = pauses(&error(Class::Busy));
        assert!(busy[0] < busy[9] && busy.iter().all(|pause| *pause <= Duration::from_secs(4)), "{busy:?}");
    }

    #[test]
    fn a_state_is_asked_for_after_its_usual_time_and_then_less_and_less_often() {
        let seconds = |pending: Pending| pending.backoff().take(4).map(|pause| pause.as_secs_f32()).collect::<Vec<_>>();
        assert_eq!(seconds(Pending::Vpc), [2.5, 3.75, 5.0, 5.0]);
        assert_eq!(seconds(Pending::Running), [5.0; 4]);
        assert_eq!(seconds(Pending::VSwitchGone), [0.5, 0.75, 1.125, 1.6875]);
        let first = Backoffs::after(Some(Pending::Vpc)).next(&error(Class::NotReady));
        assert_eq!(first, Some(Duration::from_millis(2_500)));
    }
}

//! How long is a refused call left alone before it is made again?

use std::time::Duration;

use super::api::{ApiError, Class};
use super::waits::step;

/// So often a call whose fate is unknown, or that the server failed at, is made again.
const SERVER_TRIES: u32 = 10;
/// So often something that should be there is looked for again: what is new is not visible everywhere at once.
const MISSING_TRIES: u32 = 8;

/// How often a call was refused so far, by what stood in its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// Because something was not ready, or still in use.
    pub(super) state: u32,
    /// For any other reason.
    pub(super) other: u32,
}

/// How long to wait before the same call is made again; `None` when making it again cannot help.
///
/// `refused` includes this refusal; `random` (0.0 to 1.0) keeps many who were refused together from coming back together.
pub(super) fn pause(error: &ApiError, refused: Refusals, random: f64) -> Option<Duration> {
    match error.class {
        Class::NotReady | Class::InUse => Some(step(refused.state, random)),
        Class::InFlight => Some(Duration::from_millis(800).mul_f64(1.0 + 0.5 * random)),
        Class::Busy => Some(growing(300, refused.other, 4_000, random)),
        Class::Throttled => {
            let least = error.retry_after.unwrap_or_else(|| growing(1_000, refused.other, 60_000, 1.0));
            // Never earlier than the cloud says.
            Some(least.mul_f64(1.0 + 0.1 * random))
        }
        Class::Server if error.repeatable && refused.other < SERVER_TRIES => {
            Some(growing(500, refused.other, 8_000, random))
        }
        Class::Missing if refused.other < MISSING_TRIES => Some(growing(400, refused.other, 2_000, random)),
        _ => None,
    }
}

/// Doubles from `first` to `last` milliseconds, each spread over its upper half.
fn growing(first: u64, times: u32, last: u64, random: f64) -> Duration {
    let doubled = first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(last);
    Duration::from_millis(doubled).mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
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

    fn nth(class: Class, other: u32) -> Option<Duration> {
        pause(&error(class), Refusals { state: 1, other }, 1.0)
    }

    #[test]
    fn a_wrong_key_or_a_sold_out_type_is_not_waited_for() {
        for class in [Class::Denied, Class::Forbidden, Class::Quota, Class::NextCandidate, Class::Refused, Class::Gone]
        {
            assert_eq!(nth(class, 1), None, "{class:?}");
        }
    }

    #[test]
    fn a_throttled_call_comes_back_when_the_cloud_says_and_not_before() {
        let throttled = ApiError { retry_after: Some(Duration::from_secs(7)), ..error(Class::Throttled) };
        let pauses = [0.0, 1.0].map(|random| pause(&throttled, Refusals::default(), random));
        assert_eq!(pauses[0], Some(Duration::from_secs(7)));
        assert!(pauses[1] > pauses[0] && pauses[1] < Some(Duration::from_secs(8)));
    }

    #[test]
    fn what_may_happen_twice_is_not_repeated_and_nothing_is_repeated_for_ever() {
        let unsafe_call = ApiError { repeatable: false, ..error(Class::Server) };
        assert_eq!(pause(&unsafe_call, Refusals::default(), 0.0), None);
        assert!(nth(Class::Server, 1) < nth(Class::Server, 4));
        assert_eq!(nth(Class::Server, SERVER_TRIES), None);
        assert_eq!(nth(Class::Missing, MISSING_TRIES), None);
        assert!(nth(Class::Busy, u32::MAX) <= Some(Duration::from_secs(4)));
    }
}

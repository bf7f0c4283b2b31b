//! Throttles actions by window.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::{Failure, Outcome};

/// A limit of calls per region and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// The action; [`None`] limits each action by itself.
    pub action: Option<String>,
    /// So many calls …
    pub limit: usize,
    /// … in so much time; windows follow each other without overlap.
    pub window: Duration,
    /// Whether the refusal tells in `x-acs-retry-after` when the next window opens.
    pub tells: bool,
}

/// Calls in the current window of each action and region.
#[derive(Debug, Default)]
pub(crate) struct Throttled {
    windows: BTreeMap<(String, String), (u128, usize)>,
    closed_until: BTreeMap<(String, String), Duration>,
    too_early: usize,
}

impl Throttled {
    /// Counts a call, and refuses it when the window is full.
    pub(crate) fn admit(&mut self, rules: &[Throttle], action: &str, region: &str, now: Duration) -> Outcome<()> {
        let place = (action.to_string(), region.to_string());
        if let Some(until) = self.closed_until.get(&place).copied() {
            if now < until {
                self.too_early += 1;
                return Err(refusal(Some(until.saturating_sub(now))));
            }
            self.closed_until.remove(&place);
        }
        let Some(rule) = rules.iter().find(|rule| rule.action.as_deref().is_none_or(|known| known == action)) else {
            return Ok(());
        };
        let index = now.as_nanos() / rule.window.as_nanos().max(1);
        let (window, count) = self.windows.entry(place.clone()).or_insert((index, 0));
        if *window != index {
            (*window, *count) = (index, 0);
        }
        *count += 1;
        if *count <= rule.limit {
            return Ok(());
        }
        let opens = rule.window.saturating_mul(u32::try_from(index + 1).unwrap_or(u32::MAX));
        if rule.tells {
            self.closed_until.insert(place, opens);
        }
        Err(refusal(rule.tells.then(|| opens.saturating_sub(now))))
    }

    /// Closes an action for some time.
    pub(crate) fn close(&mut self, action: &str, region: &str, now: Duration, wait: Duration) -> Failure {
        self.closed_until.insert((action.to_string(), region.to_string()), now + wait);
        refusal(Some(wait))
    }

    /// Calls that came although they had been told to come later.
    pub(crate) fn too_early(&self) -> usize {
        self.too_early
    }
}

fn refusal(retry_after: Option<Duration>) -> Failure {
    let message = "the request was denied because the user's flow is limited";
    Failure { retry_after, ..Failure::new(400, "Throttling.User", message) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_window_opens_again_and_others_stay_open() {
        let rules =
            [Throttle { action: Some("X".to_string()), limit: 2, window: Duration::from_secs(60), tells: true }];
        let mut throttled = Throttled::default();
        let mut at = |action: &str, region: &str, second: u64| {
            throttled.admit(&rules, action, region, Duration::from_secs(second)).map_err(|failure| failure.retry_after)
        };
        assert_eq!([at("X", "r", 1), at("X", "r", 2)], [Ok(()), Ok(())]);
        assert_eq!(at("X", "r", 10), Err(Some(Duration::from_secs(50))));
        assert_eq!([at("X", "other", 11), at("Y", "r", 11)], [Ok(()), Ok(())]);
        assert_eq!(at("X", "r", 59), Err(Some(Duration::from_secs(1))));
        assert_eq!(at("X", "r", 60), Ok(()));
        assert_eq!(throttled.too_early(), 1);
    }
}

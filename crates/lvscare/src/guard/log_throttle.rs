//! Keeps what happens again and again from filling a log.

use std::time::Duration;

use tokio::time::Instant;

/// After the first line nothing more is told for so long, and for twice as long after each further one.
const SHORTEST: Duration = Duration::from_secs(1);
/// But never for longer than this; after so long without a line everything is told at once again.
const LONGEST: Duration = Duration::from_secs(600);

/// Keeps what happens again and again from filling a log.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    until: Option<Instant>,
    period: Duration,
}

impl LogThrottle {
    /// Whether to tell what happens `now`; what is told counts.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| now < until) {
            return false;
        }
        let is_long_ago = self.until.is_none_or(|until| now.duration_since(until) >= LONGEST);
        self.period = if is_long_ago { SHORTEST } else { (self.period * 2).min(LONGEST) };
        self.until = Some(now + self.period);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_and_again_is_told_ever_more_rarely() {
        let (mut throttle, begun) = (LogThrottle::default(), Instant::now());
        let mut told = Vec::new();
        for tick in 0..(24 * 3600 * 5 / 2) {
            let now = begun + Duration::from_millis(400) * tick;
            if throttle.allow(now) {
                told.push(now.duration_since(begun).as_secs());
            }
        }
        assert_eq!(told[..5], [0, 1, 3, 7, 15]);
        assert!(told.len() < 160, "{} lines a day", told.len());
    }

    #[test]
    fn after_a_while_everything_is_told_at_once() {
        let (mut throttle, mut now) = (LogThrottle::default(), Instant::now());
        for _ in 0..100 {
            throttle.allow(now);
            now += Duration::from_secs(1);
        }
        now += 3 * LONGEST;
        assert!(throttle.allow(now));
        assert!(!throttle.allow(now + SHORTEST / 2));
        assert!(throttle.allow(now + SHORTEST));
    }
}

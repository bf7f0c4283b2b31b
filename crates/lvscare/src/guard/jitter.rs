//! Varies intervals, so that guards do not march in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A source of intervals that vary; good enough to keep guards out of step, not for secrets.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// One that differs from process to process.
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one("jitter"))
    }

    /// `interval`, longer or shorter by up to `percent`.
    pub(super) fn vary(&mut self, interval: Duration, percent: u8) -> Duration {
        let range = interval * u32::from(percent.min(50)) / 100;
        interval - range + (range * 2).mul_f64(self.next())
    }

    /// The next number from 0 up to 1 (splitmix64).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_fill_their_range_and_stay_within() {
        let (mut jitter, interval) = (Jitter::new(), Duration::from_millis(400));
        let drawn: Vec<_> = (0..2000).map(|_| jitter.vary(interval, 10)).collect();
        let (least, most) = (drawn.iter().min().copied(), drawn.iter().max().copied());
        assert!(least >= Some(Duration::from_millis(360)) && least < Some(Duration::from_millis(365)), "{least:?}");
        assert!(most <= Some(Duration::from_millis(440)) && most > Some(Duration::from_millis(435)), "{most:?}");
        assert_eq!(jitter.vary(interval, 0), interval);
    }
}

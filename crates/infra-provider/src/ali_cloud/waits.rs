//! How long does the cloud take until a new thing can be used, and when is it asked next?

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, kept};

/// The file of learned times is never larger than this, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;
/// No time longer than this is believed.
const LONGEST: Duration = Duration::from_secs(600);
/// The first further probe comes so long after one that was too early …
const FIRST_STEP: Duration = Duration::from_millis(500);
/// … each one this many times later than the one before …
const GROWTH: f64 = 1.5;
/// … but never later than this.
const LONGEST_STEP: Duration = Duration::from_secs(2);
/// A time that is known as precisely as this is precise enough.
const PRECISE: Duration = Duration::from_millis(300);
/// After so many runs whose first probe was right, it is asked whether the cloud has become faster.
const CLEAN_RUNS: u32 = 20;

/// A state of the cloud that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wait {
    /// A new VPC is available.
    Vpc,
    /// A new vSwitch is available.
    VSwitch,
    /// New instances run.
    Running,
    /// Stopped instances are stopped.
    Stopped,
    /// A stopped instance runs again.
    Restarted,
    /// Deleted instances have left their vSwitch and security group.
    Gone,
    /// An elastic address is no longer bound.
    Unbound,
    /// A deleted vSwitch has left its VPC.
    VSwitchGone,
}

impl Wait {
    /// What is assumed before anything was learned.
    fn assumed(self) -> Duration {
        Duration::from_millis(match self {
            Self::Vpc | Self::VSwitch => 3_000,
            Self::Running | Self::Restarted => 10_000,
            Self::Stopped | Self::Gone => 4_000,
            Self::Unbound => 2_000,
            Self::VSwitchGone => 0,
        })
    }

    /// In words, for events and errors.
    pub(super) fn words(self) -> &'static str {
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
}

/// Times learned from earlier runs, by what was waited for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Waits(BTreeMap<Wait, Learned>);

/// The cloud tells only "not yet" and "yes", so the time itself lies between two others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Learned {
    /// After so many milliseconds it was too early.
    early: u64,
    /// After so many it was not.
    ready: u64,
    /// How often in a row the first probe was right.
    clean: u32,
}

impl Waits {
    /// Reads what was learned; a file that is missing or makes no sense counts as nothing learned.
    pub(super) fn load(path: &Path) -> Self {
        let text = kept::read(path, SIZE_LIMIT).ok().flatten();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Keeps what was learned.
    pub(super) fn store(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a map of numbers is JSON");
        kept::write(path, text.as_bytes(), 0o600).map_err(|source| Error::File {
            act: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// When the first probe should come, after the call that began it.
    pub(super) fn first(&self, wait: Wait) -> Duration {
        let learned = self.0.get(&wait).map(|learned| {
            let (early, ready) = (Duration::from_millis(learned.early), Duration::from_millis(learned.ready));
            // A run that just learned is followed by one that makes use of it; then the gap is halved, run by run.
            if learned.clean > 0 && ready.saturating_sub(early) > PRECISE { (early + ready) / 2 } else { ready }
        });
        learned.unwrap_or_else(|| wait.assumed()).min(LONGEST)
    }

    /// Learns that a probe at `ready` was right, and that the one before it, at `early`, was too early, if there was one.
    pub(super) fn learn(&mut self, wait: Wait, ready: Duration, early: Option<Duration>) {
        let milliseconds = |time: Duration| u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
        let ready = milliseconds(ready);
        let before = self.0.get(&wait).copied().unwrap_or(Learned { early: ready, ready, clean: 0 });
        let learned = match early {
            Some(early) => Learned { early: milliseconds(early), ready, clean: 0 },
            // Nobody tells that a probe came too late; only an earlier one can find out.
            None if before.clean + 1 >= CLEAN_RUNS => Learned { early: before.early / 10 * 7, ready, clean: 1 },
            None => Learned { early: before.early.min(ready), ready, clean: before.clean + 1 },
        };
        self.0.insert(wait, learned);
    }
}

/// How long to wait after probe number `refused` (from 1) came too early. `random` (0.0 to 1.0) spreads it by a tenth,
/// so that many who wait for the same do not ask at the same time.
pub(super) fn step(refused: u32, random: f64) -> Duration {
    let exponent = i32::try_from(refused.saturating_sub(1).min(16)).unwrap_or(16);
    let step = FIRST_STEP.mul_f64(GROWTH.powi(exponent)).min(LONGEST_STEP);
    step.mul_f64(0.95 + 0.1 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What runs on a cloud that takes `real` milliseconds cost: when the first probe came, and how many were refused.
    fn runs(waits: &mut Waits, real: u64, count: usize) -> Vec<(u64, u32)> {
        let run = |waits: &mut Waits| {
            let first = waits.first(Wait::Vpc);
            let (mut at, mut early, mut refused) = (first, None, 0);
            while at < Duration::from_millis(real) {
                refused += 1;
                early = Some(at);
                at += step(refused, 0.5);
            }
            waits.learn(Wait::Vpc, at, early);
            (u64::try_from(first.as_millis()).unwrap(), refused)
        };
        (0..count).map(|_| run(waits)).collect()
    }

    #[test]
    fn a_run_that_was_refused_makes_the_next_one_later() {
        let mut waits = Waits::default();
        assert_eq!(runs(&mut waits, 5_000, 2), [(3_000, 3), (5_375, 0)]);
        assert_eq!(waits.first(Wait::VSwitch), seconds(3), "each kind learns for itself");
    }

    #[test]
    fn the_time_is_found_more_and_more_precisely_and_then_nothing_is_refused() {
        let mut waits = Waits::default();
        runs(&mut waits, 15_000, 8);
        let steady = runs(&mut waits, 15_000, 6);
        assert!(steady.iter().all(|(first, refused)| *refused == 0 && (15_000..=15_300).contains(first)), "{steady:?}");
    }

    #[test]
    fn a_cloud_that_became_faster_or_slower_is_noticed() {
        let mut waits = Waits::default();
        runs(&mut waits, 15_000, 10);
        let faster = runs(&mut waits, 8_000, 80);
        assert!(faster.last().unwrap().0 < 11_000, "{faster:?}");
        let refused: u32 = faster.iter().map(|(_, refused)| refused).sum();
        assert!(refused < 10, "{faster:?}");
        let slower = runs(&mut waits, 20_000, 10);
        assert!(slower.last().unwrap().0 < 21_000 && slower.last().unwrap().1 == 0, "{slower:?}");
    }

    #[test]
    fn one_endless_wait_is_not_believed() {
        let mut waits = Waits::default();
        waits.learn(Wait::Gone, seconds(100_000), Some(seconds(99_000)));
        assert_eq!(waits.first(Wait::Gone), LONGEST);
    }

    #[test]
    fn steps_grow_to_two_seconds() {
        let steps: Vec<u64> = (1..8).map(|refused| u64::try_from(step(refused, 0.5).as_millis()).unwrap()).collect();
        assert_eq!(steps, [500, 750, 1125, 1687, 2000, 2000, 2000]);
        assert!(step(1, 0.0) < step(1, 1.0));
        assert!(step(u32::MAX, 7.0) <= seconds(3));
    }

    #[test]
    fn what_was_learned_is_kept_and_nonsense_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waits.json");
        let mut waits = Waits::load(&path);
        waits.learn(Wait::Vpc, seconds(7), Some(seconds(6)));
        waits.store(&path).unwrap();
        assert_eq!(Waits::load(&path), waits);
        std::fs::write(&path, "{\"vpc\": -1}").unwrap();
        assert_eq!(Waits::load(&path), Waits::default());
    }
}

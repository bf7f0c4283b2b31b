//! What happens when a file changes, or somebody says that it did?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::CareConfig;
use super::parts;
use super::request::ConfigSource;
use super::run::{Events, tell, with_causes};
use super::supervise::{LongestRound, line};
use super::watch::Watched;
use crate::{Event, GuardHandle, Result, Supervisor};

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks after the files that a carer is configured by.
pub(super) struct Reloader<'a> {
    source: &'a ConfigSource,
    current: CareConfig,
    watched: Vec<Watched>,
    longest_round: &'a LongestRound,
    events: Events,
}

impl<'a> Reloader<'a> {
    /// After `current` was read from `source`.
    pub(super) fn new(
        source: &'a ConfigSource,
        current: CareConfig,
        longest_round: &'a LongestRound,
        events: Events,
    ) -> Self {
        let mut reloader = Self { source, current, watched: Vec::new(), longest_round, events };
        reloader.took_up();
        reloader
    }

    /// Has the guard want what the files say, each time that they change; never ends.
    pub(super) async fn run(&mut self, mut reload: mpsc::Receiver<()>, handle: &GuardHandle, supervisor: &Supervisor) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking = true;
        loop {
            let asked = tokio::select! {
                said = reload.recv(), if asking => {
                    asking = said.is_some();
                    asking
                }
                _ = ticks.tick() => false,
            };
            // All of them are looked at, so that each change is seen once.
            let changed = self.watched.iter_mut().fold(false, |before, file| file.changed() || before);
            if !asked && !changed {
                continue;
            }
            supervisor.reloading();
            if let Err(error) = self.take_up(handle) {
                tell(&self.events, Event::ConfigRefused { reason: with_causes(&error) });
            }
            supervisor.ready(&line(&handle.status()));
        }
    }

    /// Reads everything; what cannot be used changes nothing.
    fn take_up(&mut self, handle: &GuardHandle) -> Result<()> {
        let config = self.source.read()?;
        // Also when its text is the same: the certificates beside it may be others.
        let probe = parts::probe(&config.health)?;
        let probe = (config.health != self.current.health || config.health.ca.is_some()).then_some(probe);
        handle.change(Some(config.desired()), probe)?;
        self.current = config;
        self.took_up();
        Ok(())
    }

    /// Watches the files that count now, from their present state on.
    fn took_up(&mut self) {
        self.longest_round.set(&self.current.desired().health);
        let file = match self.source {
            ConfigSource::File(path) => Some(path.clone()),
            ConfigSource::Fixed(_) => None,
        };
        let files: BTreeSet<PathBuf> = file.into_iter().chain(self.current.health.ca.clone()).collect();
        self.watched.retain(|watched| files.contains(watched.path()));
        for path in files {
            if !self.watched.iter().any(|watched| watched.path() == path) {
                let mut watched = Watched::new(&path);
                watched.changed();
                self.watched.push(watched);
            }
        }
    }
}

impl std::fmt::Debug for Reloader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("watched", &self.watched).finish_non_exhaustive()
    }
}

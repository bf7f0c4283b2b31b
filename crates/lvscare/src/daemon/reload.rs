//! Reloads the configuration when its files change or a signal asks for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::CareConfig;
use super::parts;
use super::request::ConfigSource;
use super::run::{Events, tell};
use super::supervise::{LongestRound, line};
use super::watch::Watched;
use crate::{Event, GuardHandle, Probe, Result, Supervisor};

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks after the files that a daemon is configured by.
pub(super) struct Reloader<'a> {
    source: &'a ConfigSource,
    current: Option<CareConfig>,
    watched: Vec<Watched>,
    longest_round: &'a LongestRound,
    events: Events,
}

impl<'a> Reloader<'a> {
    /// Before anything was read from `source`.
    pub(super) fn new(source: &'a ConfigSource, longest_round: &'a LongestRound, events: Events) -> Self {
        Self { source, current: None, watched: Vec::new(), longest_round, events }
    }

    /// The configuration and its probe, as the files say; what counts from now on is what [`Self::took_up`] is told.
    ///
    /// # Errors
    /// When they cannot be read or make no sense.
    pub(super) fn read(&mut self) -> Result<(CareConfig, Arc<dyn Probe>)> {
        // Each file is watched before it is read: what is written in between is seen as a change. So is what repairs a
        // configuration that cannot be used, such as certificates that come later.
        let file = match self.source {
            ConfigSource::File(path) => Some(path.clone()),
            ConfigSource::Fixed(_) => None,
        };
        let mut files: BTreeSet<PathBuf> = file.into_iter().collect();
        self.watch(&files);
        let config = self.source.read()?;
        let configs = [Some(&config), self.current.as_ref()];
        files.extend(configs.into_iter().flatten().filter_map(|config| config.health.ca.clone()));
        self.watch(&files);
        self.watched.retain(|watched| files.contains(watched.path()));
        let probe = parts::probe(&config.health)?;
        Ok((config, probe))
    }

    /// This configuration counts now.
    pub(super) fn took_up(&mut self, config: CareConfig) {
        self.longest_round.set(&config.desired().health);
        self.current = Some(config);
    }

    fn watch(&mut self, files: &BTreeSet<PathBuf>) {
        for path in files {
            if !self.watched.iter().any(|watched| watched.path() == path) {
                let mut watched = Watched::new(path);
                watched.changed();
                self.watched.push(watched);
            }
        }
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
            let changed = self.watched.iter_mut().map(Watched::changed).filter(|changed| *changed).count() > 0;
            if !asked && !changed {
                continue;
            }
            supervisor.reloading();
            if let Err(error) = self.take_up(handle) {
                tell(&self.events, Event::ConfigRefused { reason: error_report::one_line(&error) });
            }
            supervisor.reloaded(&line(&handle.status()));
        }
    }

    /// Reads everything; what cannot be used changes nothing.
    fn take_up(&mut self, handle: &GuardHandle) -> Result<()> {
        let (config, probe) = self.read()?;
        // Also when its text is the same: the certificates beside it may be others.
        let differs = self.current.as_ref().is_none_or(|current| current.health != config.health);
        handle.change(Some(config.desired()), (differs || config.health.ca.is_some()).then_some(probe))?;
        self.took_up(config);
        Ok(())
    }
}

impl std::fmt::Debug for Reloader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("watched", &self.watched).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{FakeDataplane, FakeProbe, Guard};

    fn config(servers: &str) -> String {
        format!(r#"{{"vs": "10.103.97.2:6443", "rs": [{servers}], "health": {{"scheme": "tcp"}}}}"#)
    }

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Events that the changes of a file cause, each change followed by some seconds.
    async fn told(changes: &[&str]) -> Vec<Event> {
        told_after(|_| {}, changes).await
    }

    /// As [`told`]; `meanwhile` is what happens in the directory between the first reading and the start.
    async fn told_after(meanwhile: impl FnOnce(&Path), changes: &[&str]) -> Vec<Event> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lvscare.json");
        fs::write(&path, config(r#""10.0.0.1:1""#)).unwrap();
        let source = ConfigSource::File(path.clone());
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let events: Events = Arc::new(Mutex::new(move |event| sink.lock().unwrap().push(event)));
        let guard_events = Arc::clone(&events);
        let (longest_round, supervisor) = (LongestRound::default(), Supervisor::default());
        let mut reloader = Reloader::new(&source, &longest_round, events);
        let (current, _) = reloader.read().unwrap();
        let guard = Guard::new(current.desired(), Arc::new(FakeDataplane::new()), Arc::new(FakeProbe::new()))
            .with_events(move |event| tell(&guard_events, event));
        let handle = guard.handle();
        reloader.took_up(current);
        meanwhile(directory.path());
        let (_sender, reload) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let changing = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            for change in changes {
                replace(&path, change);
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        };
        tokio::select! {
            done = guard.run(cancel.clone()) => done.unwrap(),
            () = reloader.run(reload, &handle, &supervisor) => {}
            () = changing => {}
        }
        let told = told.lock().unwrap();
        told.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn servers_come_and_go_with_the_file() {
        let told = told(&[&config(r#""10.0.0.1:1", "10.0.0.2:1""#), &config(r#""10.0.0.2:1""#)]).await;
        let (first, second) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap());
        let reloads: Vec<&Event> = told.iter().filter(|event| matches!(event, Event::Reloaded { .. })).collect();
        assert_eq!(
            reloads,
            [
                &Event::Reloaded { added: vec![second], removed: Vec::new() },
                &Event::Reloaded { added: Vec::new(), removed: vec![first] }
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_file_is_told_once_and_changes_nothing() {
        let elsewhere = config(r#""10.0.0.1:1""#).replace("97.2", "97.3");
        let told = told(&["{", &elsewhere, &config(r#""10.0.0.1:1""#)]).await;
        let refused: Vec<String> = told
            .iter()
            .filter_map(|event| match event {
                Event::ConfigRefused { reason } => Some(reason.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(refused.len(), 2, "{told:?}");
        assert!(refused[0].contains("lvscare.json cannot be used: EOF"), "{refused:?}");
        assert!(refused[1].contains("a running guard cannot change to 10.103.97.3:6443"), "{refused:?}");
        assert!(!told.iter().any(|event| matches!(event, Event::Reloaded { .. })), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_start_is_not_missed() {
        let second = config(r#""10.0.0.1:1", "10.0.0.2:1""#);
        let told = told_after(|directory| replace(&directory.join("lvscare.json"), &second), &[]).await;
        assert!(told.iter().any(|event| matches!(event, Event::Reloaded { .. })), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_that_come_later_mend_a_refused_file() {
        let directory = tempfile::tempdir().unwrap();
        let (file, ca) = (directory.path().join("lvscare.json"), directory.path().join("ca.crt"));
        let events: Events = Arc::new(Mutex::new(drop::<Event>));
        let (source, longest_round) = (ConfigSource::File(file.clone()), LongestRound::default());
        let mut reloader = Reloader::new(&source, &longest_round, events);
        let health = format!(r#"{{"scheme": "https", "ca": {:?}}}"#, ca.display().to_string());
        replace(&file, &config(r#""10.0.0.1:1""#).replace(r#"{"scheme": "tcp"}"#, &health));
        assert!(reloader.read().unwrap_err().to_string().contains("ca.crt"));
        assert!(!reloader.watched.iter_mut().any(Watched::changed));
        fs::write(&ca, "").unwrap();
        assert!(reloader.watched.iter_mut().any(Watched::changed), "they are looked for");
    }
}

//! Runs a guard: takes in answers and updates, and has the rules follow.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture, join_all};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::check::{Answer, Checks, check};
use super::health_table::HealthTable;
use super::log_throttle::LogThrottle;
use super::sync::{Outcome, sync};
use crate::{Addressing, Dataplane, Desired, Error, Event, HealthPolicy, Probe, Result, Rules, Status};

/// How long the start waits for the kernel to tell what it has, and the end for a change that is under way.
const TIMEOUT: Duration = Duration::from_secs(1);
/// So many answers may wait to be taken in.
const ANSWERS: usize = 64;

/// Keeps the kernel's rules for one virtual service true; no check and no kernel call holds it up.
///
/// ```no_run
/// # async fn example(dataplane: std::sync::Arc<dyn lvscare::Dataplane>, probe: std::sync::Arc<dyn lvscare::Probe>,
/// #     desired: lvscare::Desired, cancel: tokio_util::sync::CancellationToken) -> lvscare::Result<()> {
/// let guard = lvscare::Guard::new(desired, dataplane, probe).with_events(|event| drop(event));
/// let handle = guard.handle();
/// let running = tokio::spawn(guard.run(cancel.clone()));
/// let healthy = handle.status().healthy();
/// # drop((healthy, running)); Ok(()) }
/// ```
pub struct Guard {
    table: Arc<Mutex<HealthTable>>,
    dataplane: Arc<dyn Dataplane>,
    addressing: Option<Arc<dyn Addressing>>,
    probe: Arc<dyn Probe>,
    events: Box<dyn FnMut(Event) + Send>,
    updates: (mpsc::UnboundedSender<Update>, mpsc::UnboundedReceiver<Update>),
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// A task that checks each server.
    checks: JoinSet<()>,
    ticks: watch::Sender<()>,
    next_tick: Instant,
    /// Whether the rules must be looked at.
    sync_due: bool,
    /// The rules that this guard left; `None` when that is not known.
    applied: Option<Arc<Rules>>,
    started: bool,
    failure_told: bool,
    failures: LogThrottle,
    repairs: LogThrottle,
    /// Changes of others that were repaired and not told yet.
    repaired: usize,
    /// What could not be done beside the rules, as it was told.
    degraded: Option<String>,
}

/// Changes what a running guard wants, and tells how it is.
#[derive(Debug, Clone)]
pub struct GuardHandle {
    table: Arc<Mutex<HealthTable>>,
    updates: mpsc::UnboundedSender<Update>,
}

/// What is wanted from now on, and what checks servers.
type Update = (Desired, Arc<dyn Probe>);

impl Guard {
    /// A guard over `desired`.
    pub fn new(desired: Desired, dataplane: Arc<dyn Dataplane>, probe: Arc<dyn Probe>) -> Self {
        Self {
            table: Arc::new(Mutex::new(HealthTable::new(desired, dataplane.name()))),
            dataplane,
            addressing: None,
            probe,
            events: Box::new(drop),
            updates: mpsc::unbounded_channel(),
            answers: mpsc::channel(ANSWERS),
            checks: JoinSet::new(),
            ticks: watch::Sender::new(()),
            next_tick: Instant::now(),
            sync_due: false,
            applied: None,
            started: false,
            failure_told: false,
            failures: LogThrottle::default(),
            repairs: LogThrottle::default(),
            repaired: 0,
            degraded: None,
        }
    }

    /// Also keeps the virtual address usable on this host.
    pub fn with_addressing(self, addressing: Arc<dyn Addressing>) -> Self {
        Self { addressing: Some(addressing), ..self }
    }

    /// Tells `events` of each change; it is called in order and must not block.
    pub fn with_events(self, events: impl FnMut(Event) + Send + 'static) -> Self {
        Self { events: Box::new(events), ..self }
    }

    /// Changes and observes this guard while it runs.
    pub fn handle(&self) -> GuardHandle {
        GuardHandle { table: Arc::clone(&self.table), updates: self.updates.0.clone() }
    }

    /// Keeps the rules true until cancelled; leaves them as they are then.
    ///
    /// What fails is told as [`Event::Failed`] and tried again at every tick.
    ///
    /// # Errors
    /// When what is wanted makes no sense.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        self.table().desired.validate()?;
        let service = self.table().desired.service.address;
        // What a guard before this one left. A failure here shows again, and is told, when the rules are first made.
        if let Ok(Ok(Some(rules))) = timeout(TIMEOUT, self.dataplane.observe(service)).await {
            self.table().adopt(&rules, Instant::now());
        }
        self.next_tick = Instant::now();
        self.begin_checks();
        let mut syncing = pin!(Fuse::terminated());
        while !cancel.is_cancelled() {
            if self.sync_due
                && syncing.is_terminated()
                && let Some(wanted) = self.target()
            {
                self.sync_due = false;
                syncing.set(self.sync(wanted).fuse());
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(answer) = self.answers.1.recv() => self.take_answers(answer),
                outcome = &mut syncing => self.synced(outcome),
                Some(update) = self.updates.1.recv() => self.update(update),
                () = sleep_until(self.next_tick) => self.tick(),
            }
        }
        // A change that is under way is finished rather than left incomplete.
        if !syncing.is_terminated() {
            let _ = timeout(TIMEOUT, syncing).await;
        }
        Ok(())
    }

    /// Checks each server once, makes the rules as they should be, and ends.
    ///
    /// # Errors
    /// When what is wanted makes no sense, or the rules cannot be read or changed.
    pub async fn once(mut self) -> Result<()> {
        self.table().desired.validate()?;
        // There is no second check that could confirm the first.
        self.table().desired.health.fall = 1;
        let desired = self.table().desired.clone();
        let checks = desired.servers.keys().map(|server| check(&*self.probe, *server, desired.health.timeout));
        let answers = join_all(checks).await;
        let observed = self.dataplane.observe(desired.service.address).await?;
        let mut events = Vec::new();
        {
            let mut table = self.table();
            // When nobody answers, the servers that are in may be the last good set.
            if let Some(rules) = observed.filter(|_| answers.iter().all(|answer| answer.result.is_err())) {
                table.adopt(&rules, Instant::now());
            }
            for answer in answers {
                events.extend(table.record(answer, Instant::now()));
            }
        }
        self.health_changed(events);
        let Some(wanted) = self.target() else { return Ok(()) };
        let mut outcome = self.sync(wanted).await;
        // Nothing is tried again, so a failure is the result and not an event.
        if let Some(failure) = outcome.failure.take() {
            return Err(failure);
        }
        self.synced(outcome);
        Ok(())
    }

    /// All servers are checked, and the rules looked at, at the same moment: one wake-up serves them all.
    fn tick(&mut self) {
        let interval = {
            let mut table = self.table();
            table.rounds += 1;
            vary(&table.desired.health)
        };
        self.next_tick = Instant::now() + interval;
        self.sync_due = true;
        self.ticks.send_replace(());
    }

    /// Begins to check all servers, and stops what was begun before.
    fn begin_checks(&mut self) {
        let desired = self.table().desired.clone();
        let checks = Checks {
            probe: Arc::clone(&self.probe),
            policy: desired.health,
            ticks: self.ticks.subscribe(),
            answers: self.answers.0.clone(),
        };
        self.checks = JoinSet::new();
        for server in desired.servers.into_keys() {
            self.checks.spawn(checks.clone().run(server));
        }
    }

    /// Takes in `answer` and all others that are there, before the rules follow.
    fn take_answers(&mut self, answer: Answer) {
        let (mut next, mut events) = (Some(answer), Vec::new());
        while let Some(answer) = next {
            events.extend(self.table().record(answer, Instant::now()));
            next = self.answers.1.try_recv().ok();
        }
        self.health_changed(events);
    }

    /// The rules that should be, when that can be said.
    fn target(&self) -> Option<Arc<Rules>> {
        self.table().target.clone()
    }

    fn sync(&self, wanted: Arc<Rules>) -> impl Future<Output = Outcome> + use<> {
        let (dataplane, addressing) = (Arc::clone(&self.dataplane), self.addressing.clone());
        sync(dataplane, addressing, wanted, self.applied.clone(), self.started)
    }

    /// Tells what came of making the rules.
    fn synced(&mut self, outcome: Outcome) {
        self.applied = outcome.applied;
        let now = Instant::now();
        let failing = outcome.failure.as_ref().map(|failure| error_report::one_line(failure));
        {
            let mut table = self.table();
            table.errors += u64::from(failing.is_some());
            table.repairs += u64::from(outcome.foreign > 0);
            table.failing = failing.clone();
        }
        match failing {
            // Told once until the rules can be made again.
            Some(reason) if !self.failure_told && self.failures.allow(now) => {
                self.failure_told = true;
                (self.events)(Event::Failed { reason });
            }
            Some(_) => {}
            None => {
                if std::mem::take(&mut self.failure_told) {
                    (self.events)(Event::Recovered);
                }
                if !std::mem::replace(&mut self.started, true) {
                    let status = self.table().status();
                    let (healthy, servers) = (status.healthy(), status.servers.len());
                    (self.events)(Event::Started { service: status.service, healthy, servers });
                }
            }
        }
        if let Some(reason) = outcome.degraded.filter(|reason| self.degraded.as_ref() != Some(reason)) {
            self.degraded = Some(reason.clone());
            (self.events)(Event::Degraded { reason });
        }
        self.repaired += outcome.foreign;
        if outcome.foreign > 0 && self.repairs.allow(now) {
            (self.events)(Event::Repaired { changes: std::mem::take(&mut self.repaired) });
        }
        self.sync_due |= self.applied.is_some() && self.table().target != self.applied;
    }

    /// Applies what was asked for through a handle.
    fn update(&mut self, (desired, probe): Update) {
        self.probe = probe;
        // A shorter interval counts at once.
        self.next_tick = self.next_tick.min(Instant::now() + desired.health.interval);
        let events = self.table().replace(desired, Instant::now());
        self.sync_due = true;
        self.begin_checks();
        self.health_changed(events);
    }

    /// Tells what changed in the servers' health, and has the rules follow.
    fn health_changed(&mut self, mut events: Vec<Event>) {
        self.sync_due |= !events.is_empty();
        if !self.started {
            // `Started` tells how many are healthy.
            events.retain(|event| !matches!(event, Event::Up { .. }));
        }
        events.into_iter().for_each(&mut self.events);
    }

    fn table(&self) -> MutexGuard<'_, HealthTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuardHandle {
    /// Wants other servers, weights, scheduler or health policy from now on, and checks servers with `probe`. Servers that
    /// stay are not touched; those that leave go at once; those that come are checked first, unless no other is healthy.
    ///
    /// # Errors
    /// When what is wanted makes no sense, or the virtual address is another than the guard's. Nothing changes then.
    pub fn set(&self, desired: Desired, probe: Arc<dyn Probe>) -> Result<()> {
        desired.validate()?;
        let service = self.table.lock().unwrap_or_else(PoisonError::into_inner).desired.service.address;
        if desired.service.address != service {
            let reason = format!("a running guard cannot change to {}", desired.service.address);
            return Err(Error::Invalid { service, reason });
        }
        // A guard that has ended changes nothing any more.
        let _ = self.updates.send((desired, probe));
        Ok(())
    }

    /// How many rounds of checks were begun, and how long there is at most from one to the next.
    pub fn rounds(&self) -> (u64, Duration) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        (table.rounds, table.desired.health.longest_interval())
    }

    /// How the servers are now.
    pub fn status(&self) -> Status {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).status()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("table", &self.table).field("dataplane", &self.dataplane).finish_non_exhaustive()
    }
}

/// An interval, longer or shorter by some per cent, so that guards do not march in step.
fn vary(policy: &HealthPolicy) -> Duration {
    let range = policy.interval * u32::from(policy.jitter_percent.min(50)) / 100;
    // Each `RandomState` has other keys than the one before.
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    policy.interval - range + (range * 2).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_fill_their_range_and_stay_within() {
        let policy = HealthPolicy::default();
        let drawn: Vec<_> = (0..2000).map(|_| vary(&policy)).collect();
        let (least, most) = (drawn.iter().min().copied(), drawn.iter().max().copied());
        assert!(least >= Some(Duration::from_millis(360)) && least < Some(Duration::from_millis(365)), "{least:?}");
        assert!(most <= Some(Duration::from_millis(440)) && most > Some(Duration::from_millis(435)), "{most:?}");
        assert_eq!(vary(&HealthPolicy { jitter_percent: 0, ..policy.clone() }), policy.interval);
    }
}

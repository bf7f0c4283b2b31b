//! Runs a guard: takes in answers and updates, and has the rules follow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Guard;
use super::checks::{Answer, Checks};
use super::handle::PendingUpdate;
use super::health_table::HealthTable;
use super::jitter::Jitter;
use super::log_throttle::LogThrottle;
use super::sync::{Outcome, sync};
use crate::{Addressing, Dataplane, Event, Probe, Rules, Status};

/// How long the start waits for the kernel to tell what it has, and the end for a change that is under way.
const TIMEOUT: Duration = Duration::from_secs(1);
/// So many answers may wait to be taken in.
const ANSWERS: usize = 64;

/// A guard that runs; no check and no kernel call holds it up.
pub(super) struct Runner {
    table: Arc<Mutex<HealthTable>>,
    dataplane: Arc<dyn Dataplane>,
    addressing: Option<Arc<dyn Addressing>>,
    probe: Arc<dyn Probe>,
    events: Box<dyn FnMut(Event) + Send>,
    updates: mpsc::UnboundedReceiver<PendingUpdate>,
    status: watch::Sender<Status>,
    jitter: Jitter,
    ticks: watch::Sender<u64>,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// The task that asks each server, by its generation.
    checks: BTreeMap<SocketAddr, (u64, AbortOnDropHandle<()>)>,
    generation: u64,
    next_tick: Instant,
    /// The kernel call that is under way.
    syncing: Option<BoxFuture<'static, Outcome>>,
    /// Whether the rules must be looked at again after it.
    sync_due: bool,
    /// The rules that this guard left; `None` when that is not known.
    applied: Option<Rules>,
    started: bool,
    failure_told: bool,
    failures: LogThrottle,
    repairs: LogThrottle,
    /// What could not be done beside the rules, as it was told.
    degraded: Option<String>,
    /// Changes of others that were repaired and not told yet.
    repaired: usize,
}

impl Runner {
    pub(super) fn new(guard: Guard) -> Self {
        let Guard { dataplane, probe, addressing, events, table, updates, status, .. } = guard;
        Self {
            table,
            dataplane,
            addressing,
            probe,
            events,
            updates: updates.1,
            status,
            jitter: Jitter::new(),
            ticks: watch::Sender::new(0),
            answers: mpsc::channel(ANSWERS),
            checks: BTreeMap::new(),
            generation: 0,
            next_tick: Instant::now(),
            syncing: None,
            sync_due: false,
            applied: None,
            started: false,
            failure_told: false,
            failures: LogThrottle::default(),
            repairs: LogThrottle::default(),
            degraded: None,
            repaired: 0,
        }
    }

    /// Keeps the rules true until cancelled.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        self.take_over().await;
        while !cancel.is_cancelled() {
            if self.sync_due && self.syncing.is_none() {
                self.begin_sync();
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(answer) = self.answers.1.recv() => self.take_answers(answer),
                outcome = finished(&mut self.syncing) => self.synced(outcome),
                Some(update) = self.updates.recv() => self.update(update),
                () = sleep_until(self.next_tick) => self.tick(),
            }
        }
        // A change that is under way is finished rather than left incomplete.
        if let Some(syncing) = self.syncing.take() {
            let _ = timeout(TIMEOUT, syncing).await;
        }
    }

    /// Learns what a guard before this one left, and begins to ask the servers.
    async fn take_over(&mut self) {
        let service = self.table().desired.service.address;
        // A failure here shows again, and is told, when the rules are first made.
        if let Ok(Ok(Some(rules))) = timeout(TIMEOUT, self.dataplane.observe(service)).await {
            self.table().adopt(&rules, Instant::now());
        }
        self.next_tick = Instant::now();
        self.begin_checks();
    }

    /// All servers are asked, and the rules looked at, at the same moment: one wake-up serves them all.
    fn tick(&mut self) {
        let (interval, percent) = {
            let mut table = self.table();
            table.rounds += 1;
            (table.desired.health.interval, table.desired.health.jitter_percent)
        };
        self.next_tick = Instant::now() + self.jitter.vary(interval, percent);
        self.sync_due = true;
        self.ticks.send_modify(|ticks| *ticks += 1);
    }

    /// Begins to ask the servers that nobody asks, and stops asking those that left.
    fn begin_checks(&mut self) {
        let (servers, policy): (Vec<_>, _) = {
            let table = self.table();
            (table.desired.servers.keys().copied().collect(), table.desired.health.clone())
        };
        self.checks.retain(|server, _| servers.contains(server));
        for server in servers {
            if !self.checks.contains_key(&server) {
                self.generation += 1;
                let checks = Checks {
                    probe: Arc::clone(&self.probe),
                    policy: policy.clone(),
                    ticks: self.ticks.subscribe(),
                    answers: self.answers.0.clone(),
                    generation: self.generation,
                };
                let task = AbortOnDropHandle::new(tokio::spawn(checks.run(server)));
                self.checks.insert(server, (self.generation, task));
            }
        }
    }

    /// Takes in `answer` and all others that are there, before the rules follow.
    fn take_answers(&mut self, answer: Answer) {
        let (mut next, mut events) = (Some(answer), Vec::new());
        while let Some(Answer { server, generation, result, took }) = next {
            // A task that was stopped may have answered before.
            if self.checks.get(&server).is_some_and(|(current, _)| *current == generation) {
                events.extend(self.table().record(server, result, took, Instant::now()));
            }
            next = self.answers.1.try_recv().ok();
        }
        self.health_changed(events);
    }

    /// Begins to make the rules as they should be, when that can be said.
    fn begin_sync(&mut self) {
        self.sync_due = false;
        let Some(wanted) = self.table().target() else { return };
        let (dataplane, addressing) = (Arc::clone(&self.dataplane), self.addressing.clone());
        self.syncing = Some(Box::pin(sync(dataplane, addressing, wanted, self.applied.clone(), self.started)));
    }

    fn synced(&mut self, outcome: Outcome) {
        self.syncing = None;
        self.applied = outcome.applied;
        let now = Instant::now();
        let mut events = Vec::new();
        match outcome.failure {
            Some(failure) => events.extend(self.failed(error_report::one_line(&failure), now)),
            None => events.extend(self.succeeded()),
        }
        if let Some(reason) = outcome.degraded.filter(|reason| self.degraded.as_ref() != Some(reason)) {
            self.degraded = Some(reason.clone());
            events.push(Event::Degraded { reason });
        }
        if outcome.foreign > 0 {
            self.table().repairs += 1;
            self.repaired += outcome.foreign;
            if self.repairs.allow(now) {
                events.push(Event::Repaired { changes: std::mem::take(&mut self.repaired) });
            }
        }
        self.sync_due |= self.applied.is_some() && self.table().target() != self.applied;
        self.tell(events);
    }

    /// The rules could not be made; told once until they can be again.
    fn failed(&mut self, reason: String, now: Instant) -> Option<Event> {
        {
            let mut table = self.table();
            table.errors += 1;
            table.failing = Some(reason.clone());
        }
        if self.failure_told || !self.failures.allow(now) {
            return None;
        }
        self.failure_told = true;
        Some(Event::Failed { reason })
    }

    fn succeeded(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.table().failing = None;
        if std::mem::take(&mut self.failure_told) {
            events.push(Event::Recovered);
        }
        if !std::mem::replace(&mut self.started, true) {
            let table = self.table();
            let (healthy, servers) = table.healthy();
            events.push(Event::Started { service: table.desired.service.address, healthy, servers });
        }
        events
    }

    /// Takes up what was asked for through a handle.
    fn update(&mut self, update: PendingUpdate) {
        let before = self.table().desired.clone();
        if let Some(probe) = update.probe {
            before.servers.keys().for_each(|server| self.probe.forget(*server));
            self.probe = probe;
            self.checks.clear();
        }
        let mut events = Vec::new();
        if let Some(desired) = update.desired {
            let left = before.servers.keys().filter(|server| !desired.servers.contains_key(server));
            left.for_each(|server| self.probe.forget(*server));
            if desired.health != before.health {
                self.checks.clear();
            }
            // A shorter interval counts at once.
            self.next_tick = self.next_tick.min(Instant::now() + desired.health.interval);
            events = self.table().replace(desired, Instant::now());
            self.sync_due = true;
        }
        self.begin_checks();
        self.health_changed(events);
    }

    /// Tells what changed in the servers' health, and has the rules follow.
    fn health_changed(&mut self, mut events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.sync_due = true;
        if !self.started {
            // `Started` tells how many are healthy.
            events.retain(|event| !matches!(event, Event::Up { .. }));
        }
        self.tell(events);
    }

    fn tell(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let status = self.table().status();
        self.status.send_replace(status);
        events.into_iter().for_each(&mut self.events);
    }

    fn table(&self) -> MutexGuard<'_, HealthTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn finished<T>(doing: &mut Option<BoxFuture<'static, T>>) -> T {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

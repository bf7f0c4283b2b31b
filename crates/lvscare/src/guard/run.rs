//! What happens next: a check, an answer, an alarm, a repair, a wish?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Aborted, BoxFuture};
use futures_util::stream::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Guard;
use super::ask::ask;
use super::board::Board;
use super::handle::{Wish, Wishes};
use super::jitter::Jitter;
use super::quiet::Quiet;
use super::sync::{Outcome, sync};
use super::watched::{Signal, Waiting, Watched, pending};
use crate::{Addressing, Dataplane, Event, Probe, Rules, Status};

/// How long the start waits for the kernel to tell what it has, and the end for a change that is under way.
const PATIENCE: Duration = Duration::from_secs(1);
/// A guard that runs: one task, which no check and no kernel call holds up.
pub(super) struct Runner {
    board: Arc<Mutex<Board>>,
    dataplane: Arc<dyn Dataplane>,
    addressing: Option<Arc<dyn Addressing>>,
    probe: Arc<dyn Probe>,
    events: Box<dyn FnMut(Event) + Send>,
    wishes: Arc<Wishes>,
    status: watch::Sender<Status>,
    jitter: Jitter,
    watched: BTreeMap<SocketAddr, Watched>,
    waiting: Waiting,
    next_round: Instant,
    /// Waits for other programs to change the rules or to take the address away; at most once a round, so that no quarrel takes more than that.
    meddled: Option<BoxFuture<'static, ()>>,
    /// The kernel call that is under way.
    syncing: Option<BoxFuture<'static, Outcome>>,
    /// Whether the rules must be looked at again after it.
    is_due: bool,
    /// The rules that this guard left; `None` when that is not known.
    applied: Option<Rules>,
    started: bool,
    is_failure_told: bool,
    failures_told: Quiet,
    repairs_told: Quiet,
    /// What could not be done beside the rules, as it was told.
    hampered_told: Option<String>,
    /// Changes of others that were put right and not told yet.
    repaired: usize,
}

impl Runner {
    pub(super) fn new(guard: Guard) -> Self {
        let Guard { desired: _, dataplane, probe, addressing, events, board, wishes, status } = guard;
        Self {
            board,
            dataplane,
            addressing,
            probe,
            events,
            wishes,
            status,
            jitter: Jitter::new(),
            watched: BTreeMap::new(),
            waiting: Waiting::new(),
            next_round: Instant::now(),
            meddled: None,
            syncing: None,
            is_due: false,
            applied: None,
            started: false,
            is_failure_told: false,
            failures_told: Quiet::default(),
            repairs_told: Quiet::default(),
            hampered_told: None,
            repaired: 0,
        }
    }

    /// Keeps the rules true until cancelled.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        self.take_over().await;
        let timer = sleep_until(self.next_round);
        tokio::pin!(timer);
        let wishes = Arc::clone(&self.wishes);
        while !cancel.is_cancelled() {
            self.begin_what_is_due(timer.as_mut());
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(signal) = self.waiting.next(), if !self.waiting.is_empty() => self.hear_all(signal),
                outcome = finished(&mut self.syncing) => self.synced(outcome),
                () = finished(&mut self.meddled) => (self.meddled, self.is_due) = (None, true),
                () = wishes.come.notified() => self.take_wishes(),
                () = &mut timer => {}
            }
        }
        // A change that is under way is finished rather than left half done.
        if let Some(syncing) = self.syncing.take() {
            let _ = timeout(PATIENCE, syncing).await;
        }
    }

    /// Learns what a guard before this one left.
    async fn take_over(&mut self) {
        let service = self.board().desired.service.address;
        // A failure here shows again, and is told, when the rules are first made.
        if let Ok(Ok(Some(rules))) = timeout(PATIENCE, self.dataplane.observe(service)).await {
            self.board().presume(&rules, Instant::now());
        }
        let servers: Vec<_> = self.board().desired.servers.keys().copied().collect();
        self.watched = servers.into_iter().map(|server| (server, Watched::default())).collect();
        self.next_round = Instant::now();
    }

    /// Begins the checks and the kernel call whose time has come, and sets `timer` to the next time.
    fn begin_what_is_due(&mut self, timer: Pin<&mut Sleep>) {
        let now = Instant::now();
        if self.next_round <= now {
            self.begin_round(now);
        }
        let due = |watched: &Watched| watched.due.is_some_and(|due| due <= now);
        let servers: Vec<_> = self.watched.iter().filter(|(_, w)| due(w)).map(|(server, _)| *server).collect();
        for server in servers {
            self.check(server);
        }
        if self.is_due && self.syncing.is_none() {
            self.is_due = false;
            self.sync();
        }
        let next = self.watched.values().filter_map(|watched| watched.due).min();
        let next = next.map_or(self.next_round, |due| due.min(self.next_round));
        if timer.deadline() != next {
            timer.reset(next);
        }
    }

    /// All servers are asked, and the rules looked at, at the same moment: one wake-up serves them all.
    fn begin_round(&mut self, now: Instant) {
        let (interval, percent) = {
            let mut board = self.board();
            board.rounds += 1;
            (board.desired.health.interval, board.desired.health.jitter_percent)
        };
        self.next_round = now + self.jitter.vary(interval, percent);
        self.is_due = true;
        self.listen();
        let idle = self.watched.iter().filter(|(_, watched)| watched.check.is_none() && watched.due.is_none());
        let servers: Vec<_> = idle.map(|(server, _)| *server).collect();
        for server in servers {
            self.check(server);
        }
    }

    /// Begins to listen for other programs that change the rules or take the address away, unless that is under way.
    fn listen(&mut self) {
        let service = self.board().desired.service.address;
        let (dataplane, addressing) = (Arc::clone(&self.dataplane), self.addressing.clone());
        let listening = async move {
            let address = async {
                match addressing {
                    Some(addressing) => addressing.meddled(service.ip()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = dataplane.meddled(service) => {}
                () = address => {}
            }
        };
        self.meddled.get_or_insert_with(|| Box::pin(listening));
    }

    /// Begins a check of `server`, unless one runs.
    fn check(&mut self, server: SocketAddr) {
        let time = self.board().desired.health.timeout;
        let Some(watched) = self.watched.get_mut(&server) else { return };
        watched.due = None;
        if watched.check.is_some() {
            return;
        }
        watched.alarm = None;
        let probe = Arc::clone(&self.probe);
        let asking = async move {
            let begun = Instant::now();
            let answer = ask(&*probe, server, time).await;
            Signal::Answer(server, answer, begun.elapsed())
        };
        watched.check = Some(pending(&self.waiting, asking));
    }

    /// Takes in `signal` and all others that are there, before anything is done about them.
    fn hear_all(&mut self, signal: Result<Signal, Aborted>) {
        let mut next = Some(signal);
        while let Some(signal) = next {
            if let Ok(signal) = signal {
                self.hear(signal);
            }
            next = self.waiting.next().now_or_never().flatten();
        }
    }

    fn hear(&mut self, signal: Signal) {
        let now = Instant::now();
        match signal {
            Signal::Alarm(server) => {
                let interval = self.board().desired.health.interval;
                if let Some(watched) = self.watched.get_mut(&server) {
                    watched.heed_alarm(now, interval);
                }
            }
            Signal::Answer(server, answer, took) => {
                let (events, soon) = {
                    let mut board = self.board();
                    (board.record(server, answer, took, now), board.out_of_turn(server))
                };
                self.answered(server, soon.map(|soon| now + soon));
                self.tell_all(events);
            }
        }
    }

    /// The check of `server` is over: from now on it may raise an alarm; `due` is when to check out of turn.
    fn answered(&mut self, server: SocketAddr, due: Option<Instant>) {
        let Some(watched) = self.watched.get_mut(&server) else { return };
        (watched.check, watched.due) = (None, due);
        let probe = Arc::clone(&self.probe);
        let listening = async move {
            probe.alarm(server).await;
            Signal::Alarm(server)
        };
        watched.alarm = Some(pending(&self.waiting, listening));
    }

    /// Begins to make the rules as they should be, when that can be said.
    fn sync(&mut self) {
        let Some(wanted) = self.board().target() else { return };
        let (dataplane, addressing) = (Arc::clone(&self.dataplane), self.addressing.clone());
        self.syncing = Some(Box::pin(sync(dataplane, addressing, wanted, self.applied.clone())));
    }

    fn synced(&mut self, outcome: Outcome) {
        self.syncing = None;
        self.applied = outcome.applied;
        let now = Instant::now();
        let mut events = Vec::new();
        match outcome.failure {
            Some(failure) => events.extend(self.failed(with_sources(&failure), now)),
            None => events.extend(self.succeeded()),
        }
        if let Some(reason) = outcome.hampered.filter(|reason| self.hampered_told.as_ref() != Some(reason)) {
            self.hampered_told = Some(reason.clone());
            events.push(Event::Hampered { reason });
        }
        if outcome.foreign > 0 {
            self.board().repairs += 1;
            self.repaired += outcome.foreign;
            if self.repairs_told.may_tell(now) {
                events.push(Event::Repaired { changes: std::mem::take(&mut self.repaired) });
            }
        }
        let is_current = self.applied.is_none() || self.board().target() == self.applied;
        self.is_due |= !is_current;
        self.announce(events);
    }

    /// The rules could not be made; told once until they can be again.
    fn failed(&mut self, reason: String, now: Instant) -> Option<Event> {
        let mut board = self.board();
        board.errors += 1;
        board.failing = Some(reason.clone());
        drop(board);
        if self.is_failure_told || !self.failures_told.may_tell(now) {
            return None;
        }
        self.is_failure_told = true;
        Some(Event::Failed { reason })
    }

    fn succeeded(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.board().failing = None;
        if std::mem::take(&mut self.is_failure_told) {
            events.push(Event::Recovered);
        }
        if !std::mem::replace(&mut self.started, true) {
            let board = self.board();
            let (healthy, servers) = board.healthy();
            events.push(Event::Started { service: board.desired.service.address, healthy, servers });
        }
        events
    }

    fn take_wishes(&mut self) {
        let Wish { desired, probe } = self.wishes.take();
        if let Some(probe) = probe {
            let old = std::mem::replace(&mut self.probe, probe);
            for (server, watched) in std::mem::take(&mut self.watched) {
                drop(watched);
                old.forget(server);
                self.watched.insert(server, Watched::due(Instant::now()));
            }
        }
        let Some(desired) = desired else { return };
        let left: Vec<_> =
            self.watched.keys().filter(|server| !desired.servers.contains_key(server)).copied().collect();
        for server in left {
            self.watched.remove(&server);
            self.probe.forget(server);
        }
        for server in desired.servers.keys() {
            self.watched.entry(*server).or_insert_with(|| Watched::due(Instant::now()));
        }
        // A shorter interval counts at once.
        self.next_round = self.next_round.min(Instant::now() + desired.health.interval);
        let events = self.board().replace(desired, Instant::now());
        self.is_due = true;
        self.tell_all(events);
    }

    /// Tells what changed in the servers' health, and has the rules follow.
    fn tell_all(&mut self, mut events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.is_due = true;
        if !self.started {
            // `Started` tells how many are healthy.
            events.retain(|event| !matches!(event, Event::Up { .. }));
        }
        self.announce(events);
    }

    fn announce(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let status = self.board().status();
        self.status.send_replace(status);
        for event in events {
            (self.events)(event);
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn finished<T>(doing: &mut Option<BoxFuture<'static, T>>) -> T {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

/// The error with all its causes, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

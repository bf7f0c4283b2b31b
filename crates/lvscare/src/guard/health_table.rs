//! Holds what is known of each server, and says which rules follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::status::{ServerState, ServerStatus};
use crate::{Desired, Event, Health, Rules, Server, Status, Transition, Unhealthy};

/// Servers that fell no longer than this before the last one, beyond one round of checks, fell together with it.
const TOGETHER: Duration = Duration::from_millis(100);

/// All that is known; pure, without clocks and tasks.
#[derive(Debug)]
pub(super) struct HealthTable {
    pub(super) desired: Desired,
    dataplane: &'static str,
    servers: BTreeMap<SocketAddr, ServerEntry>,
    /// While all look dead: the servers that stay in.
    last_good: Option<BTreeSet<SocketAddr>>,
    pub(super) rounds: u64,
    pub(super) repairs: u64,
    pub(super) errors: u64,
    /// Why the rules cannot be kept true just now.
    pub(super) failing: Option<String>,
}

#[derive(Debug)]
struct ServerEntry {
    health: Health,
    checks: u64,
    failures: u64,
    transitions: u64,
    last: Duration,
    sum: Duration,
}

impl HealthTable {
    pub(super) fn new(desired: Desired, dataplane: &'static str) -> Self {
        let now = Instant::now();
        let servers = desired.servers.keys().map(|server| (*server, ServerEntry::new(Health::unknown(now)))).collect();
        Self { desired, dataplane, servers, last_good: None, rounds: 0, repairs: 0, errors: 0, failing: None }
    }

    /// Adopts the rules that a guard before this one left: servers that the kernel gives connections to count as healthy.
    pub(super) fn adopt(&mut self, observed: &Rules, now: Instant) {
        for (server, entry) in &mut self.servers {
            let wanted = self.desired.servers.get(server);
            let holds = |held: &Server| held.weight > 0 || wanted == Some(&0);
            if observed.servers.get(server).is_some_and(holds) {
                entry.health = Health::presumed_up(now);
            }
        }
    }

    /// Takes one answer in; tells what it changes.
    pub(super) fn record(
        &mut self,
        server: SocketAddr,
        answer: Result<(), Unhealthy>,
        took: Duration,
        now: Instant,
    ) -> Vec<Event> {
        let Some(entry) = self.servers.get_mut(&server) else { return Vec::new() };
        entry.checks += 1;
        entry.failures += u64::from(answer.is_err());
        entry.last = took;
        entry.sum += took;
        let Some(transition) = entry.health.record(answer, now, &self.desired.health) else { return Vec::new() };
        entry.transitions += 1;
        let mut events = vec![match transition {
            Transition::Up => Event::Up { server },
            Transition::Down(unhealthy) => Event::Down { server, reason: unhealthy.reason },
        }];
        events.extend(self.find_healthy(now));
        events
    }

    /// Wants something else from now on; servers that stay keep their state. Tells the change of servers, if any.
    pub(super) fn replace(&mut self, desired: Desired, now: Instant) -> Vec<Event> {
        let added: Vec<_> =
            desired.servers.keys().filter(|server| !self.servers.contains_key(server)).copied().collect();
        let removed: Vec<_> =
            self.servers.keys().filter(|server| !desired.servers.contains_key(server)).copied().collect();
        let changed = desired != self.desired;
        self.servers.retain(|server, _| desired.servers.contains_key(server));
        self.servers.extend(added.iter().map(|server| (*server, ServerEntry::new(Health::unknown(now)))));
        self.desired = desired;
        if let Some(last_good) = &mut self.last_good {
            last_good.retain(|server| self.desired.servers.contains_key(server));
        }
        self.last_good.take_if(|last_good| last_good.is_empty());
        let mut events = Vec::new();
        if changed {
            events.push(Event::Reloaded { added, removed });
        }
        events.extend(self.find_healthy(now));
        events
    }

    /// The rules that should be; `None` while nothing can be said: no server is known to be healthy, and some have not
    /// been asked yet.
    pub(super) fn target(&self) -> Option<Rules> {
        let stays = |server: &SocketAddr| self.last_good.as_ref().is_some_and(|last_good| last_good.contains(server));
        let is_in = |server: &SocketAddr, entry: &ServerEntry| entry.health.is_up() || stays(server);
        if self.last_good.is_none() && !self.has_healthy() {
            return None;
        }
        let servers = self.servers.iter().filter(|(server, entry)| is_in(server, entry));
        let servers = servers.map(|(server, _)| (*server, Server::of(self.weight(*server))));
        Some(Rules { service: self.desired.service.clone(), servers: servers.collect() })
    }

    /// How many servers are healthy, of how many.
    pub(super) fn healthy(&self) -> (usize, usize) {
        (self.servers.values().filter(|entry| entry.health.is_up()).count(), self.servers.len())
    }

    /// What everybody may know.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            service: self.desired.service.address,
            scheduler: self.desired.service.scheduler,
            dataplane: self.dataplane.to_owned(),
            servers: self.servers.iter().map(|(server, entry)| self.server_status(*server, entry, now)).collect(),
            all_down: self.last_good.is_some(),
            rounds: self.rounds,
            repairs: self.repairs,
            errors: self.errors,
            failing: self.failing.clone(),
        }
    }

    fn server_status(&self, server: SocketAddr, entry: &ServerEntry, now: Instant) -> ServerStatus {
        let state = match (entry.health.is_up(), entry.health.is_unknown()) {
            (true, _) => ServerState::Up,
            (false, true) => ServerState::Unknown,
            (false, false) => ServerState::Down,
        };
        ServerStatus {
            server,
            weight: self.weight(server),
            state,
            reason: entry.health.reason().map(|reason| reason.reason.clone()),
            seconds: now.duration_since(entry.health.since()).as_secs_f64(),
            checks: entry.checks,
            failures: entry.failures,
            transitions: entry.transitions,
            last_check_seconds: (entry.checks > 0).then_some(entry.last.as_secs_f64()),
            check_seconds: entry.sum.as_secs_f64(),
        }
    }

    fn weight(&self, server: SocketAddr) -> u16 {
        self.desired.servers.get(&server).copied().unwrap_or(0)
    }

    fn has_healthy(&self) -> bool {
        self.servers.iter().any(|(server, entry)| entry.health.is_up() && self.weight(*server) > 0)
    }

    /// Decides whether all look dead, and which servers stay in while they do.
    fn find_healthy(&mut self, now: Instant) -> Option<Event> {
        if self.has_healthy() {
            self.last_good = None;
            return None;
        }
        let weighted: Vec<_> = self.servers.iter().filter(|(server, _)| self.weight(**server) > 0).collect();
        if self.last_good.is_some() || weighted.iter().any(|(_, entry)| entry.health.is_unknown()) {
            return None;
        }
        let policy = &self.desired.health;
        let together = policy.longest_interval() + policy.timeout + TOGETHER;
        let fell_now =
            |entry: &ServerEntry| entry.health.last_up().is_some_and(|last| now.duration_since(last) <= together);
        let mut last_good: BTreeSet<_> =
            weighted.iter().filter(|(_, entry)| fell_now(entry)).map(|(server, _)| **server).collect();
        if last_good.is_empty() {
            // None was ever seen alive: any of them may come first.
            last_good = weighted.iter().map(|(server, _)| **server).collect();
        }
        let kept = last_good.len();
        self.last_good = Some(last_good);
        Some(Event::AllDown { kept })
    }
}

impl ServerEntry {
    fn new(health: Health) -> Self {
        Self { health, checks: 0, failures: 0, transitions: 0, last: Duration::ZERO, sum: Duration::ZERO }
    }
}

//! Holds what is known of each server, and says which rules follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::check::Answer;
use super::health::Health;
use crate::{Desired, Event, Rules, ServerState, Status};

/// Servers that fell no longer than this before the last one, beyond one round of checks, fell together with it.
const TOGETHER: Duration = Duration::from_millis(100);

/// All that is known; pure, without tasks.
#[derive(Debug)]
pub(super) struct HealthTable {
    pub(super) desired: Desired,
    dataplane: &'static str,
    servers: BTreeMap<SocketAddr, Health>,
    /// While all look dead: the servers that stay in.
    last_good: Option<BTreeSet<SocketAddr>>,
    /// The rules that should be; `None` while nothing can be said: no server is known to be healthy, and some have not
    /// been checked yet.
    pub(super) target: Option<Arc<Rules>>,
    pub(super) rounds: u64,
    pub(super) repairs: u64,
    pub(super) errors: u64,
    /// Why the rules cannot be kept true just now.
    pub(super) failing: Option<String>,
}

impl HealthTable {
    pub(super) fn new(desired: Desired, dataplane: &'static str) -> Self {
        let now = Instant::now();
        let servers = desired.servers.keys().map(|server| (*server, Health::unknown(*server, now))).collect();
        let (last_good, target, failing) = (None, None, None);
        Self { desired, dataplane, servers, last_good, target, rounds: 0, repairs: 0, errors: 0, failing }
    }

    /// Adopts the rules that a guard before this one left: servers that the kernel gives connections to count as healthy.
    pub(super) fn adopt(&mut self, observed: &Rules, now: Instant) {
        for (server, health) in &mut self.servers {
            let wanted = self.desired.servers.get(server);
            let holds = |held: &u32| *held > 0 || wanted == Some(&0);
            if observed.servers.get(server).is_some_and(holds) {
                (health.status.state, health.since) = (ServerState::Up, now);
            }
        }
        self.aim();
    }

    /// Takes one answer in; tells what it changes.
    pub(super) fn record(&mut self, answer: Answer, now: Instant) -> Vec<Event> {
        let Answer { server, result, took } = answer;
        let reason = result.as_ref().err().map(|unhealthy| unhealthy.reason.clone());
        let Some(health) = self.servers.get_mut(&server) else { return Vec::new() };
        if !health.record(result, took, now, &self.desired.health) {
            return Vec::new();
        }
        let event = reason.map_or(Event::Up { server }, |reason| Event::Down { server, reason });
        let events = std::iter::once(event).chain(self.find_healthy(now)).collect();
        self.aim();
        events
    }

    /// Wants something else from now on; servers that stay keep their state. Tells the change of servers, if any.
    pub(super) fn replace(&mut self, desired: Desired, now: Instant) -> Vec<Event> {
        let (old, new) = (&self.servers, &desired.servers);
        let added: Vec<_> = new.keys().filter(|server| !old.contains_key(server)).copied().collect();
        let removed = old.keys().filter(|server| !new.contains_key(server)).copied().collect();
        let changed = desired != self.desired;
        self.servers.retain(|server, _| desired.servers.contains_key(server));
        self.servers.extend(added.iter().map(|server| (*server, Health::unknown(*server, now))));
        self.desired = desired;
        if let Some(last_good) = &mut self.last_good {
            last_good.retain(|server| self.desired.servers.contains_key(server));
        }
        self.last_good.take_if(|last_good| last_good.is_empty());
        let reloaded = changed.then_some(Event::Reloaded { added, removed });
        let events = reloaded.into_iter().chain(self.find_healthy(now)).collect();
        self.aim();
        events
    }

    /// Finds the rules that should be.
    fn aim(&mut self) {
        let kept = |server: &SocketAddr| self.last_good.as_ref().is_some_and(|last_good| last_good.contains(server));
        let servers = self.servers.iter().filter(|(server, health)| health.is_up() || kept(server));
        let servers = servers.map(|(server, _)| (*server, self.weight(*server).into())).collect();
        let known = self.last_good.is_some() || self.has_healthy();
        self.target = known.then(|| Arc::new(Rules { service: self.desired.service.clone(), servers }));
    }

    /// What everybody may know.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            service: self.desired.service.address,
            scheduler: self.desired.service.scheduler,
            dataplane: self.dataplane.to_owned(),
            servers: self.servers.iter().map(|(server, health)| health.status(self.weight(*server), now)).collect(),
            all_down: self.last_good.is_some(),
            rounds: self.rounds,
            repairs: self.repairs,
            errors: self.errors,
            failing: self.failing.clone(),
        }
    }

    fn weight(&self, server: SocketAddr) -> u16 {
        self.desired.servers.get(&server).copied().unwrap_or(0)
    }

    fn has_healthy(&self) -> bool {
        self.servers.iter().any(|(server, health)| health.is_up() && self.weight(*server) > 0)
    }

    /// Decides whether all look dead, and which servers stay in while they do.
    fn find_healthy(&mut self, now: Instant) -> Option<Event> {
        if self.has_healthy() {
            self.last_good = None;
            return None;
        }
        let weighted: Vec<_> = self.servers.iter().filter(|(server, _)| self.weight(**server) > 0).collect();
        if self.last_good.is_some() || weighted.iter().any(|(_, health)| health.status.state == ServerState::Unknown) {
            return None;
        }
        let policy = &self.desired.health;
        let together = policy.longest_interval() + policy.timeout + TOGETHER;
        let fell_now = |health: &Health| health.fell.is_some_and(|fell| now.duration_since(fell) <= together);
        let mut last_good: BTreeSet<_> =
            weighted.iter().filter(|(_, health)| fell_now(health)).map(|(server, _)| **server).collect();
        if last_good.is_empty() {
            // None was ever seen alive: any of them may come first.
            last_good = weighted.iter().map(|(server, _)| **server).collect();
        }
        let kept = last_good.len();
        self.last_good = Some(last_good);
        Some(Event::AllDown { kept })
    }
}

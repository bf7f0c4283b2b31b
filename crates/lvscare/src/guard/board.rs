//! What does the guard know of its servers, and which rules follow from it?

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
pub(super) struct Board {
    pub(super) desired: Desired,
    dataplane: &'static str,
    lanes: BTreeMap<SocketAddr, Lane>,
    /// While all look dead: the servers that stay in.
    staying: Option<BTreeSet<SocketAddr>>,
    pub(super) rounds: u64,
    pub(super) repairs: u64,
    pub(super) errors: u64,
    /// Why the rules cannot be kept true just now.
    pub(super) failing: Option<String>,
}

#[derive(Debug)]
struct Lane {
    health: Health,
    checks: u64,
    failures: u64,
    transitions: u64,
    last: Duration,
    sum: Duration,
}

impl Board {
    pub(super) fn new(desired: Desired, dataplane: &'static str) -> Self {
        let now = Instant::now();
        let lanes = desired.servers.keys().map(|server| (*server, Lane::new(Health::unknown(now)))).collect();
        Self { desired, dataplane, lanes, staying: None, rounds: 0, repairs: 0, errors: 0, failing: None }
    }

    /// Takes over what a guard before this one left: servers that the kernel gives connections to count as healthy.
    pub(super) fn presume(&mut self, observed: &Rules, now: Instant) {
        for (server, lane) in &mut self.lanes {
            let wanted = self.desired.servers.get(server);
            let holds = |held: &Server| held.weight > 0 || wanted == Some(&0);
            if observed.servers.get(server).is_some_and(holds) {
                lane.health = Health::presumed_up(now);
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
        let Some(lane) = self.lanes.get_mut(&server) else { return Vec::new() };
        lane.checks += 1;
        lane.failures += u64::from(answer.is_err());
        lane.last = took;
        lane.sum += took;
        let Some(transition) = lane.health.record(answer, now, &self.desired.health) else { return Vec::new() };
        lane.transitions += 1;
        let mut events = vec![match transition {
            Transition::Up => Event::Up { server },
            Transition::Down(unhealthy) => Event::Down { server, reason: unhealthy.reason },
        }];
        events.extend(self.look_for_the_living(now));
        events
    }

    /// Wants something else from now on; servers that stay keep their state. Tells the change of servers, if any.
    pub(super) fn replace(&mut self, desired: Desired, now: Instant) -> Vec<Event> {
        let added: Vec<_> = desired.servers.keys().filter(|server| !self.lanes.contains_key(server)).copied().collect();
        let removed: Vec<_> =
            self.lanes.keys().filter(|server| !desired.servers.contains_key(server)).copied().collect();
        let changed = desired != self.desired;
        self.lanes.retain(|server, _| desired.servers.contains_key(server));
        self.lanes.extend(added.iter().map(|server| (*server, Lane::new(Health::unknown(now)))));
        self.desired = desired;
        if let Some(staying) = &mut self.staying {
            staying.retain(|server| self.desired.servers.contains_key(server));
        }
        self.staying.take_if(|staying| staying.is_empty());
        let mut events = Vec::new();
        if changed {
            events.push(Event::Reloaded { added, removed });
        }
        events.extend(self.look_for_the_living(now));
        events
    }

    /// The rules that should be; `None` while nothing can be said: no server is known to be healthy, and some have not
    /// been asked yet.
    pub(super) fn target(&self) -> Option<Rules> {
        let stays = |server: &SocketAddr| self.staying.as_ref().is_some_and(|staying| staying.contains(server));
        let is_in = |server: &SocketAddr, lane: &Lane| lane.health.is_up() || stays(server);
        if self.staying.is_none() && !self.has_living() {
            return None;
        }
        let servers = self.lanes.iter().filter(|(server, lane)| is_in(server, lane));
        let servers = servers.map(|(server, _)| (*server, Server::of(self.weight(*server))));
        Some(Rules { service: self.desired.service.clone(), servers: servers.collect() })
    }

    /// When `server` should be asked again out of turn: so long after the end of its last check.
    pub(super) fn out_of_turn(&self, server: SocketAddr) -> Option<Duration> {
        let lane = self.lanes.get(&server).filter(|lane| lane.health.is_doubtful())?;
        Some(lane.health.next_check(&self.desired.health))
    }

    /// How many servers are healthy, of how many.
    pub(super) fn healthy(&self) -> (usize, usize) {
        (self.lanes.values().filter(|lane| lane.health.is_up()).count(), self.lanes.len())
    }

    /// What everybody may know.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            service: self.desired.service.address,
            scheduler: self.desired.service.scheduler,
            dataplane: self.dataplane.to_owned(),
            servers: self.lanes.iter().map(|(server, lane)| self.server_status(*server, lane, now)).collect(),
            all_down: self.staying.is_some(),
            rounds: self.rounds,
            repairs: self.repairs,
            errors: self.errors,
            failing: self.failing.clone(),
        }
    }

    fn server_status(&self, server: SocketAddr, lane: &Lane, now: Instant) -> ServerStatus {
        let state = match (lane.health.is_up(), lane.health.is_unknown()) {
            (true, _) => ServerState::Up,
            (false, true) => ServerState::Unknown,
            (false, false) => ServerState::Down,
        };
        ServerStatus {
            server,
            weight: self.weight(server),
            state,
            reason: lane.health.reason().map(|reason| reason.reason.clone()),
            seconds: now.duration_since(lane.health.since()).as_secs_f64(),
            checks: lane.checks,
            failures: lane.failures,
            transitions: lane.transitions,
            last_check_seconds: (lane.checks > 0).then_some(lane.last.as_secs_f64()),
            check_seconds: lane.sum.as_secs_f64(),
        }
    }

    fn weight(&self, server: SocketAddr) -> u16 {
        self.desired.servers.get(&server).copied().unwrap_or(0)
    }

    fn has_living(&self) -> bool {
        self.lanes.iter().any(|(server, lane)| lane.health.is_up() && self.weight(*server) > 0)
    }

    /// Decides whether all look dead, and which servers stay in while they do.
    fn look_for_the_living(&mut self, now: Instant) -> Option<Event> {
        if self.has_living() {
            self.staying = None;
            return None;
        }
        let weighty: Vec<_> = self.lanes.iter().filter(|(server, _)| self.weight(**server) > 0).collect();
        if self.staying.is_some() || weighty.iter().any(|(_, lane)| lane.health.is_unknown()) {
            return None;
        }
        let policy = &self.desired.health;
        let together = policy.longest_interval() + policy.timeout + TOGETHER;
        let fell_now = |lane: &Lane| lane.health.last_up().is_some_and(|last| now.duration_since(last) <= together);
        let mut staying: BTreeSet<_> =
            weighty.iter().filter(|(_, lane)| fell_now(lane)).map(|(server, _)| **server).collect();
        if staying.is_empty() {
            // None was ever seen alive: any of them may come first.
            staying = weighty.iter().map(|(server, _)| **server).collect();
        }
        let kept = staying.len();
        self.staying = Some(staying);
        Some(Event::AllDown { kept })
    }
}

impl Lane {
    fn new(health: Health) -> Self {
        Self { health, checks: 0, failures: 0, transitions: 0, last: Duration::ZERO, sum: Duration::ZERO }
    }
}

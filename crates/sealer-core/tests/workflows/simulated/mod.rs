//! Hosts on which kubeadm's steps only change a model of the cluster, and on which every call can go wrong.

mod model;
mod place;
mod provider;
mod remote;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use sealer_core::clusterfile::Host;
use sealer_core::testing::Directories;
use sealer_core::{Connections, Connector, Event, remote as remotes, runtime};
use tokio::sync::Notify;

use model::Model;
pub(crate) use place::{Act, Image, Place, listed, run_to_end};
pub(crate) use provider::Machines;

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The program is killed before the call has any effect.
    KilledBefore,
    /// The program is killed when the call has had its effect, before anybody knows.
    KilledAfter,
    /// The call has its effect, and the answer is lost with the connection.
    Lost,
    /// The host is dead from here on, until the next run.
    Dead,
    /// The disk is full: that of the host, or for the API that of etcd.
    Full,
}

pub(crate) const FAULTS: [Fault; 5] = [Fault::KilledBefore, Fault::KilledAfter, Fault::Lost, Fault::Dead, Fault::Full];

/// What a call is, which decides what can go wrong at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing.
    Read,
    /// Changes something on a host, or in the API.
    Change,
    /// Asks the provider, who has no disk and no host.
    Provider,
}

impl Kind {
    pub(crate) fn suffers(self, fault: Fault) -> bool {
        match self {
            // Killed before a reading call is killed after the call before it.
            Self::Read => matches!(fault, Fault::Lost | Fault::Dead),
            Self::Change => true,
            Self::Provider => !matches!(fault, Fault::Dead | Fault::Full),
        }
    }
}

/// One call to a host, to the API or to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// What it is for, for example the name of a step.
    pub(crate) label: String,
    /// What it is called in this run: its label, where it goes, and how many like it there were before.
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// All that is simulated; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    hosts: Directories,
    /// Told when the program shall be killed.
    pub(crate) killed: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) model: Model,
    /// The calls of this run.
    pub(crate) calls: Vec<Call>,
    /// The call of this run that goes wrong, and how.
    pub(crate) fault: Option<(String, Fault)>,
    /// Whether it went wrong, and on which host.
    pub(crate) hit: Option<Option<IpAddr>>,
    /// Finished steps of this run.
    pub(crate) finished: Vec<(String, IpAddr)>,
}

impl World {
    /// With files of hosts in these directories.
    pub(crate) fn new(hosts: Directories, model: Model) -> Self {
        let state = State { model, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), hosts, killed: Arc::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Begins a run: what is dead is started again, and this goes wrong.
    pub(crate) fn begin(&self, fault: Option<(&str, Fault)>) {
        let mut state = self.state();
        state.model.down = state.model.lost.clone();
        state.model.plan = None;
        (state.fault, state.hit) = (fault.map(|(name, fault)| (name.to_owned(), fault)), None);
        state.calls.clear();
        state.finished.clear();
    }

    /// Learns from the program what its next scripts are for.
    pub(crate) fn hear(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::Planned { plan, .. } => state.model.plan = Some(Arc::clone(plan)),
            Event::Step { step: runtime::Event::Started { host, step, .. } } => {
                state.model.current.insert(*host, step.clone());
            }
            Event::Step { step: runtime::Event::Finished { host, step, .. } } => {
                state.finished.push((step.clone(), *host));
            }
            _ => {}
        }
    }

    /// What shall happen at this call.
    fn fault_at(&self, label: &str, kind: Kind, host: Option<IpAddr>) -> Option<Fault> {
        let mut state = self.state();
        let place = host.map_or_else(|| "provider".to_owned(), |host| host.to_string());
        let step =
            host.and_then(|host| state.model.current.get(&host)).filter(|id| id.split('@').next() == Some(label));
        let name = format!("{} on {place}", step.map_or(label, String::as_str));
        let before = state.calls.iter().filter(|call| call.name.starts_with(&name)).count();
        let call = Call { label: label.to_owned(), name: format!("{name} #{before}"), kind };
        let is_hit = state.fault.as_ref().filter(|(name, _)| *name == call.name).map(|(_, fault)| *fault);
        state.calls.push(call);
        let fault = is_hit?;
        state.hit = Some(host);
        if let (Fault::Dead, Some(host)) = (fault, host) {
            state.model.down.insert(host);
        }
        Some(fault)
    }

    async fn die<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Connector for World {
    async fn connect(
        &self,
        hosts: &[Host],
        known_hosts: &remotes::KnownHostsPolicy,
    ) -> Result<Connections, sealer_core::Error> {
        let mut connections = self.hosts.connect(hosts, known_hosts).await?;
        for host in hosts {
            if self.state().model.down.contains(&host.address) {
                connections.remotes.remove(&host.address);
                connections.failures.push((host.address, remote::lost(host.address)));
            }
        }
        for (host, remote) in &mut connections.remotes {
            *remote = Arc::new(remote::Simulated::new(*host, Arc::clone(remote), self.clone()));
        }
        Ok(connections)
    }
}

//! A dataplane in memory, for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::{Change, Dataplane, Error, Result, Rules, Service};

/// Rules in memory, as strict as a kernel: what is not there cannot be changed.
///
/// Clones share the rules. Tests interfere as other programs would, and make it fail or slow.
#[derive(Debug, Clone, Default)]
pub struct FakeDataplane {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: BTreeMap<SocketAddr, Rules>,
    log: Vec<(Instant, Change)>,
    observations: u64,
    failing: Option<String>,
    delay: Duration,
}

impl FakeDataplane {
    /// Without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there for `service`, without the delay and failure of an observation.
    #[must_use]
    pub fn rules(&self, service: SocketAddr) -> Option<Rules> {
        self.state().rules.get(&service).cloned()
    }

    /// The servers of `service` with a weight above 0, in order.
    #[must_use]
    pub fn servers(&self, service: SocketAddr) -> Vec<SocketAddr> {
        let rules = self.rules(service);
        let servers = rules.into_iter().flat_map(|rules| rules.servers);
        servers.filter(|(_, weight)| *weight > 0).map(|(address, _)| address).collect()
    }

    /// Changes the rules as another program would; nothing is logged.
    pub fn interfere(&self, interference: impl FnOnce(&mut BTreeMap<SocketAddr, Rules>)) {
        interference(&mut self.state().rules);
    }

    /// Refuses everything for this reason from now on; `None` ends that.
    pub fn fail(&self, reason: Option<&str>) {
        self.state().failing = reason.map(str::to_owned);
    }

    /// Takes so long for each operation from now on.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// All changes that were performed, with their times.
    #[must_use]
    pub fn log(&self) -> Vec<(Instant, Change)> {
        self.state().log.clone()
    }

    /// How often the rules were observed.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.state().observations
    }

    async fn begin(&self, act: &'static str, service: SocketAddr) -> Result<MutexGuard<'_, State>> {
        let delay = self.state().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let state = self.state();
        match &state.failing {
            Some(reason) => Err(Error::Refused { act, object: service.to_string(), reason: reason.clone() }),
            None => Ok(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Dataplane for FakeDataplane {
    fn name(&self) -> &'static str {
        "table"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let mut state = self.begin("read the rules of", service).await?;
        state.observations += 1;
        Ok(state.rules.get(&service).cloned())
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        let service = wanted.service.address;
        let mut state = self.begin("change the rules of", service).await?;
        for change in changes {
            perform(&mut state.rules, service, change)?;
            state.log.push((Instant::now(), change.clone()));
        }
        Ok(())
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        self.begin("remove", service.address).await?.rules.remove(&service.address);
        Ok(())
    }
}

fn perform(table: &mut BTreeMap<SocketAddr, Rules>, service: SocketAddr, change: &Change) -> Result<()> {
    let refused = |act, object: SocketAddr| {
        Err(Error::Refused { act, object: object.to_string(), reason: "it does not exist".to_owned() })
    };
    if let Change::SetService(wanted) = change {
        let servers = table.remove(&wanted.address).map(|rules| rules.servers).unwrap_or_default();
        table.insert(wanted.address, Rules { service: wanted.clone(), servers });
        return Ok(());
    }
    let Some(rules) = table.get_mut(&service) else { return refused("change the virtual service", service) };
    match change {
        Change::SetService(_) => {}
        Change::SetServer(address, weight) => drop(rules.servers.insert(*address, *weight)),
        Change::RemoveServer(address) => {
            if rules.servers.remove(address).is_none() {
                return refused("remove the server", *address);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::{Scheduler, contract};

    #[tokio::test(start_paused = true)]
    async fn the_table_keeps_the_contract() {
        let table = FakeDataplane::new();
        let stage = contract::Stage {
            dataplane: Arc::new(table.clone()),
            again: Box::new(move || Arc::new(table.clone())),
            service: "10.9.0.1:6443".parse().unwrap(),
            neighbours: ["10.9.0.1:6444".parse().unwrap(), "10.9.0.2:6443".parse().unwrap()],
            servers: ["10.9.1.1:6443", "10.9.1.2:6443", "10.9.1.3:6443", "10.9.1.4:7443"].map(|a| a.parse().unwrap()),
            schedulers: Scheduler::ALL.to_vec(),
        };
        contract::all(&stage).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_as_strict_as_a_kernel() {
        let service = Service { address: "10.9.0.1:6443".parse().unwrap(), scheduler: Scheduler::Rr };
        let server = "10.9.1.1:6443".parse().unwrap();
        let rules = Rules { service: service.clone(), servers: [(server, 1)].into() };
        let table = FakeDataplane::new();
        let set = [Change::SetService(service.clone()), Change::SetServer(server, 1)];
        let early = table.apply(&rules, &set[1..]).await.unwrap_err().to_string();
        assert_eq!(early, "cannot change the virtual service 10.9.0.1:6443: it does not exist");
        table.apply(&rules, &set).await.unwrap();
        table.apply(&rules, &[Change::RemoveServer(server)]).await.unwrap();
        let gone = table.apply(&rules, &[Change::RemoveServer(server)]).await.unwrap_err().to_string();
        assert_eq!(gone, "cannot remove the server 10.9.1.1:6443: it does not exist");
        assert_eq!(table.log().len(), 3, "only what was performed is logged");
    }
}

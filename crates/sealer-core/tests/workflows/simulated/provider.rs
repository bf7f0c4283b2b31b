//! A provider that counts its calls, each of which can go wrong.

use std::net::IpAddr;

use async_trait::async_trait;
use sealer_core::clusterfile::{Cluster, ProviderName};
use sealer_core::infra_provider::testing::Counting;
use sealer_core::infra_provider::{Context, Error, Provider, Provisioned, Release};

use super::{Fault, Kind, World};

#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) machines: Counting,
    pub(crate) world: World,
}

impl Machines {
    async fn call<T>(&self, label: &str, effect: impl AsyncFnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let fault = self.world.fault_at(label, Kind::Provider, None);
        if fault == Some(Fault::KilledBefore) {
            return self.world.die().await;
        }
        let result = effect().await;
        match fault {
            Some(Fault::KilledAfter) => self.world.die().await,
            Some(_) => Err(Error::Interrupted { act: "a call whose answer was lost" }),
            None => result,
        }
    }
}

#[async_trait]
impl Provider for Machines {
    fn name(&self) -> &ProviderName {
        self.machines.name()
    }

    fn owns_hosts(&self) -> bool {
        true
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned, Error> {
        self.call("provider: provision", async || self.machines.provision(wanted, current, context).await).await
    }

    async fn updated(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<(), Error> {
        self.machines.updated(cluster, host, context).await
    }

    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<(), Error> {
        let released = async || {
            // A machine that comes at such an address later is another one.
            let every: Vec<IpAddr> = cluster.hosts.iter().map(|host| host.address).collect();
            let gone = if let Release::Hosts(hosts) = &hosts { hosts } else { &every };
            gone.iter().for_each(|host| drop(std::fs::remove_dir_all(self.world.hosts.of(*host))));
            self.machines.release(cluster, hosts.clone(), context).await
        };
        self.call("provider: release", released).await
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        self.machines.describe(wanted)
    }
}

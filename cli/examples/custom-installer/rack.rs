//! A provider: machines that stand in a rack.

use std::net::IpAddr;

use async_trait::async_trait;
use sealer::sealer_core::clusterfile::{Cluster, ProviderName, Role};
use sealer::sealer_core::infra_provider::{self, Context, Provider, Provisioned, Release};

/// Machines that stand in our rack; the first are masters.
pub(crate) const RACK: [&str; 3] = ["10.1.0.11", "10.1.0.12", "10.1.0.13"];

/// Gives machines of the rack where a Clusterfile lists none.
#[derive(Debug)]
pub(crate) struct Rack {
    name: ProviderName,
}

impl Rack {
    pub(crate) fn new() -> Self {
        Self { name: "RACK".parse().expect("it is a name") }
    }
}

#[async_trait]
impl Provider for Rack {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn owns_hosts(&self) -> bool {
        false
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        _current: Option<&Cluster>,
        _context: &Context<'_>,
    ) -> infra_provider::Result<Provisioned> {
        let mut cluster = wanted.clone();
        let mut free = RACK.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        if cluster.hosts.is_empty() {
            cluster.add_hosts(&Role::Master, free.by_ref().take(1));
            cluster.add_hosts(&Role::Node, free);
        }
        Ok(cluster.into())
    }

    async fn release(&self, _cluster: &Cluster, _hosts: Release, _context: &Context<'_>) -> infra_provider::Result<()> {
        Ok(()) // The rack stays.
    }

    fn describe(&self, _wanted: &Cluster) -> Vec<String> {
        RACK.iter().map(|address| format!("use {address}")).collect()
    }
}

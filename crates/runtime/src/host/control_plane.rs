//! The masters of a cluster: their addresses, the virtual address in front of their API servers, their registries.

use std::net::{IpAddr, SocketAddr};

use clusterfile::{Cluster, Host};

use crate::{Error, Request};

/// Where every API server listens.
pub(crate) const API_PORT: u16 = 6443;
/// The name by which everything in the cluster finds the API servers.
pub(crate) const API_SERVER: &str = "apiserver.cluster.local";
/// The address in front of all API servers, for hosts that are no masters.
pub(crate) const VIRTUAL_ADDRESS: &str = "10.103.97.2";
/// The same for IPv6.
pub(crate) const VIRTUAL_ADDRESS_V6: &str = "1248:4003:10bb:6a01:83b9:6360:c66d:0002";

/// The masters of a cluster; there is at least one. None of them is special once the cluster is initialized.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlane<'a> {
    first: &'a Host,
    others: Vec<&'a Host>,
    registry_port: u16,
}

impl<'a> ControlPlane<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Result<Self, Error> {
        let mut masters = cluster.masters();
        let none = || Error::InvalidCluster { cluster: cluster.name.clone(), reason: "names no master".to_owned() };
        let first = masters.next().ok_or_else(none)?;
        Ok(Self { first, others: masters.collect(), registry_port: cluster.registry.port })
    }

    pub(crate) fn masters(&self) -> impl Iterator<Item = &'a Host> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// A master that is initialized, else the one that will be first: there the cluster is initialized and its API asked.
    pub(crate) fn entry(&self, request: &Request<'_>) -> &'a Host {
        self.masters().find(|master| request.was_finished(master.address)).unwrap_or(self.first)
    }

    /// The virtual address and port of the API servers.
    pub(crate) fn service(&self) -> SocketAddr {
        service(self.first.address)
    }

    /// The API server of each master.
    pub(crate) fn api_servers(&self) -> Vec<SocketAddr> {
        self.masters().map(|master| SocketAddr::new(master.address, API_PORT)).collect()
    }

    /// The registry of each master.
    pub(crate) fn registries(&self) -> impl Iterator<Item = SocketAddr> {
        self.masters().map(|master| SocketAddr::new(master.address, self.registry_port))
    }
}

/// The virtual address and port of API servers in the address family of one of their hosts.
pub(crate) fn service(host: IpAddr) -> SocketAddr {
    let text = if host.is_ipv4() { VIRTUAL_ADDRESS } else { VIRTUAL_ADDRESS_V6 };
    SocketAddr::new(text.parse().expect("it is an address"), API_PORT)
}

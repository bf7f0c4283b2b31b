//! The masters of a cluster: their addresses, the virtual address in front of their API servers, their registries.

use std::net::{IpAddr, SocketAddr};

use clusterfile::{Cluster, Host, Role};

use crate::{Error, Request};

/// Where every API server listens.
pub(crate) const API_PORT: u16 = 6443;
/// The name by which everything in the cluster finds the API servers.
pub(crate) const API_SERVER: &str = "apiserver.cluster.local";
/// The address in front of all API servers, for hosts that are no masters, unless the cluster chooses another.
pub(super) const VIRTUAL_ADDRESS: &str = "10.103.97.2";
/// The same for IPv6.
pub(super) const VIRTUAL_ADDRESS_V6: &str = "1248:4003:10bb:6a01:83b9:6360:c66d:0002";

/// The virtual address of a cluster in one address family.
pub(crate) fn virtual_address(cluster: &Cluster, is_ipv4: bool) -> IpAddr {
    let usual = if is_ipv4 { VIRTUAL_ADDRESS } else { VIRTUAL_ADDRESS_V6 };
    cluster.virtual_address(is_ipv4).unwrap_or_else(|| usual.parse().expect("it is an address"))
}

/// The masters of a cluster; there is at least one. None of them is special once the cluster is initialized.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlane<'a> {
    first: &'a Host,
    others: Vec<&'a Host>,
    entry: Host,
    successor: &'a Host,
    /// The masters that run a registry.
    registries: Vec<IpAddr>,
    registry_port: u16,
    virtual_address: IpAddr,
}

impl<'a> ControlPlane<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Result<Self, Error> {
        let cluster = request.cluster();
        let none = || Error::InvalidCluster { cluster: cluster.name.clone(), reason: "names no master".to_owned() };
        let first = cluster.masters().next().ok_or_else(none)?;
        let entry = entry(request, first);
        let stands = |host: &&Host| request.was_finished(host.address);
        let asked = cluster.masters().find(|host| host.address == entry.address);
        let reachable = |host: &&Host| request.facts.hosts.contains_key(&host.address);
        let other = || cluster.masters().find(stands).or_else(|| cluster.masters().find(reachable));
        Ok(Self {
            first,
            others: cluster.masters().skip(1).collect(),
            successor: asked.or_else(other).unwrap_or(first),
            registries: registries(request),
            registry_port: cluster.registry.port,
            virtual_address: virtual_address(cluster, first.address.is_ipv4()),
            entry,
        })
    }

    pub(crate) fn masters(&self) -> impl Iterator<Item = &'a Host> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// The master through which hosts join: one of the cluster as it is, which may leave; before there is a cluster, the
    /// one on which it is initialized.
    pub(crate) fn entry(&self) -> &Host {
        &self.entry
    }

    /// The master through which the cluster is asked and changed once all wanted masters have joined: it stays.
    pub(crate) fn successor(&self) -> &'a Host {
        self.successor
    }

    /// The virtual address and port of the API servers.
    pub(crate) fn service(&self) -> SocketAddr {
        SocketAddr::new(self.virtual_address, API_PORT)
    }

    /// The API server of each master.
    pub(crate) fn api_servers(&self) -> Vec<SocketAddr> {
        self.masters().map(|master| SocketAddr::new(master.address, API_PORT)).collect()
    }

    /// The registry of each master that has one.
    pub(crate) fn registries(&self) -> impl Iterator<Item = SocketAddr> {
        self.registries.iter().map(|master| self.registry(*master))
    }

    /// Where the registry of a master listens.
    pub(crate) fn registry(&self, master: IpAddr) -> SocketAddr {
        SocketAddr::new(master, self.registry_port)
    }

    /// Whether a host runs a registry.
    pub(crate) fn has_registry(&self, host: IpAddr) -> bool {
        self.registries.contains(&host)
    }
}

/// The masters that are finished, wanted ones first: where one is, the cluster exists.
pub(crate) fn finished_masters(request: &Request<'_>) -> impl Iterator<Item = IpAddr> {
    let leaving = request.leaving().filter(|(_, marker)| marker.role == "master").map(|(address, _)| address);
    let masters = request.cluster().masters().map(|master| master.address).chain(leaving);
    masters.filter(|address| request.was_finished(*address))
}

/// The master that answered for its API, else any that is finished, else the first.
fn entry(request: &Request<'_>, first: &Host) -> Host {
    let answered = request.facts.api.as_ref().and_then(|api| api.through);
    let address = finished_masters(request).find(|master| Some(*master) == answered);
    let address = address.or_else(|| finished_masters(request).next()).unwrap_or(first.address);
    request.cluster().host(address).cloned().unwrap_or_else(|| leaving_master(request.cluster(), address))
}

/// A master that is not wanted any more, as far as its scripts need to know it.
fn leaving_master(cluster: &Cluster, address: IpAddr) -> Host {
    let mut host = Host::new(address, Role::Master);
    host.env = cluster.env.clone();
    host
}

/// All masters, or the one that the registry stays on; none when images come from a registry outside.
fn registries(request: &Request<'_>) -> Vec<IpAddr> {
    if request.cluster().registry.external.is_some() {
        return Vec::new();
    }
    let masters = || request.cluster().masters().map(|master| master.address);
    if request.cluster().registry.high_availability {
        return masters().collect();
    }
    let has_one = |master: &IpAddr| {
        let settings = request.marker(*master).map(|marker| &marker.settings);
        settings.is_some_and(|settings| settings.contains_key(super::settings::REGISTRY_GROUP))
    };
    masters().find(has_one).or_else(|| masters().next()).into_iter().collect()
}

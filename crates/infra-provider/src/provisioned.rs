//! Holds what a provider returns: the cluster with its hosts, and the machines that still have to be changed.

use std::net::IpAddr;

use clusterfile::Cluster;
use secret::Secret;

/// What [`Provider::provision`](crate::Provider::provision) returns.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Provisioned {
    /// The wanted cluster with all its hosts.
    pub cluster: Cluster,
    /// Machines that differ from what is wanted, in the order in which they should be changed.
    pub updates: Vec<PendingUpdate>,
    /// How the control plane is reached that the provider runs itself; `None` where hosts run it.
    pub managed: Option<ManagedControlPlane>,
}

/// A control plane that its provider runs: a managed Kubernetes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ManagedControlPlane {
    /// URL of its API server.
    pub endpoint: String,
    /// A kubeconfig for its administrator.
    pub kubeconfig: Secret,
}

impl Provisioned {
    /// A cluster whose machines are all as wanted.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, updates: Vec::new(), managed: None }
    }

    /// The same cluster, with machines to change.
    #[must_use]
    pub fn with_updates(self, updates: Vec<PendingUpdate>) -> Self {
        Self { updates, ..self }
    }

    /// The same cluster, with the control plane that the provider runs.
    #[must_use]
    pub fn with_managed(self, managed: ManagedControlPlane) -> Self {
        Self { managed: Some(managed), ..self }
    }
}

impl ManagedControlPlane {
    /// A control plane behind this URL.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, kubeconfig: Secret) -> Self {
        Self { endpoint: endpoint.into(), kubeconfig }
    }
}

impl From<Cluster> for Provisioned {
    fn from(cluster: Cluster) -> Self {
        Self::new(cluster)
    }
}

/// A machine that has to stop for a while to become as wanted, for example of another size.
///
/// The caller drains the host, calls [`Provider::update`](crate::Provider::update), gives the host its pods back, and
/// calls [`Provider::updated`](crate::Provider::updated).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingUpdate {
    /// Address of the host.
    pub host: IpAddr,
    /// Name of the machine.
    pub name: String,
    /// What changes, for people: for example `4 CPU, 8 GiB -> 4 CPU, 16 GiB`.
    pub summary: String,
    /// Whether an earlier run began this update: the host may be drained, and must get its pods back in any case.
    pub begun: bool,
    /// Whether the machine still has to be changed. If not, an earlier run changed it, and the host only needs its pods
    /// back.
    pub needs_change: bool,
}

impl PendingUpdate {
    /// An update that nobody has begun.
    #[must_use]
    pub fn new(host: IpAddr, name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { host, name: name.into(), summary: summary.into(), begun: false, needs_change: true }
    }
}

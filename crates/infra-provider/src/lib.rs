//! Turns "three masters of this size" into reachable hosts, and gives them back.
//!
//! # Steps
//!
//! 1. [`Provider::describe`] says what would be made, without asking anybody.
//! 2. [`Provider::provision`] makes what is missing and returns the cluster with all its hosts filled in:
//!    address, roles, and how to log in. The same call again changes nothing; after a crash it completes the set.
//! 3. [`Provider::release`] takes hosts back; also repeatable, also after a crash.
//!
//! Three providers are here: [`BareMetal`] hands out the hosts that the Clusterfile lists; [`Container`] makes systemd
//! machines in the container engine of this machine; [`ali_cloud::AliCloud`] makes them on Alibaba Cloud. A vendor adds another one by implementing [`Provider`] and
//! running the suite in `testing` (feature `testing`) on it.
//!
//! ```
//! use clusterfile::{Cluster, MachineSpec, ProviderName};
//! use infra_provider::{Container, ContainerOptions, Provider};
//!
//! let mut wanted = Cluster::new("shop", "shop:1.4");
//! wanted.provider = ProviderName::CONTAINER;
//! wanted.machines.masters = Some(MachineSpec::of(1));
//! let provider = Container::new(ContainerOptions::default());
//! assert!(provider.describe(&wanted).iter().any(|line| line.contains("shop-master-0")));
//! ```
//!
//! # Errors
//!
//! Every failure is an [`Error`] that names the act, its object, and what to do about it.

pub mod ali_cloud;
mod bare_metal;
mod container;
mod context;
mod error;
mod event;
mod kept;
mod ssh_key;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::net::IpAddr;

use async_trait::async_trait;
use clusterfile::{Cluster, ProviderName};

pub use bare_metal::BareMetal;
pub use container::{Container, ContainerOptions};
pub use context::{CallerError, Context, Nothing, Workloads};
pub use error::{Cause, Error, Result};
pub use event::{ProviderEvent, Release};

/// Gives hosts for a Clusterfile, and takes them back.
///
/// Implementations keep no memory between calls: what exists is found out anew each time (by label, tag or name), so
/// that a crash at any point loses nothing.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The kind of Clusterfile this provider serves.
    fn name(&self) -> &ProviderName;

    /// Whether the hosts are made by this provider and end with [`Provider::release`]; such hosts need not be cleaned.
    fn owns_hosts(&self) -> bool;

    /// Refuses what [`Provider::provision`] would refuse before it makes anything, as far as that can be told without
    /// asking anybody.
    ///
    /// # Errors
    /// What is missing or wrong; nothing needs to be kept of such a cluster.
    fn check(&self, wanted: &Cluster) -> Result<()> {
        let _ = wanted;
        Ok(())
    }

    /// Makes what is missing and returns `wanted` with its hosts: the asked number of each role, every address distinct,
    /// every host reachable by its `ssh`.
    ///
    /// `current` is the cluster as it was remembered last; of more hosts than wanted, those it knows are kept first.
    /// Hosts that are no longer wanted are left out of the answer but stay until they are released.
    /// Files that the hosts' log-in needs are kept below the state directory of `context`.
    ///
    /// # Errors
    /// What is missing or was refused. What was made until then stays, and the next call goes on from there.
    async fn provision(&self, wanted: &Cluster, current: Option<&Cluster>, context: &Context<'_>) -> Result<Cluster>;

    /// Takes hosts of `cluster` back. Hosts that are gone already are no error.
    ///
    /// # Errors
    /// What could not be removed; the next call goes on from there.
    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<()>;

    /// What exists of a cluster of which nothing is remembered, as far as it can be found by its name; enough to
    /// release it. `None` when nothing exists, or when this provider cannot look.
    ///
    /// # Errors
    /// When looking fails.
    async fn find(&self, name: &str, context: &Context<'_>) -> Result<Option<Cluster>> {
        let _ = (name, context);
        Ok(None)
    }

    /// The address under which the API server answers the operator, where that is not the first master's own; it is one
    /// of the `certSANS` of what [`Provider::provision`] returned.
    fn public_address(&self, cluster: &Cluster) -> Option<IpAddr> {
        let _ = cluster;
        None
    }

    /// What `provision` would have to give for `wanted`, a line each; asks nobody and changes nothing.
    fn describe(&self, wanted: &Cluster) -> Vec<String>;
}

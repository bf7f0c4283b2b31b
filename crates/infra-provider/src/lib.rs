//! Turns "three masters of this size" into reachable hosts, and gives them back.
//!
//! # Steps
//!
//! 1. [`Provider::check`] and [`Provider::describe`] say what would be refused and what would be made; no request is
//!    sent.
//! 2. [`Provider::provision`] makes what is missing and returns the cluster with all its hosts: address, roles, and how
//!    to log in. The same call again changes nothing; after a crash it resumes. Machines of another size than wanted are
//!    returned as [`PendingUpdate`]s.
//! 3. [`Provider::update`] changes one such machine, after its caller drained it; [`Provider::updated`] notes that the
//!    host has its pods back.
//! 4. [`Provider::release`] deletes hosts; it can be repeated, also after a crash. [`Provider::find`] finds a cluster
//!    whose saved state is lost.
//!
//! Three providers are here: [`BareMetal`] uses the hosts that the Clusterfile lists, `Container` makes systemd machines
//! in the container engine of this machine, `ali_cloud::AliCloud` makes them on Alibaba Cloud. A vendor adds another one
//! by implementing [`Provider`] and running the suite in `testing` on it.
//!
//! # Example
//!
//! ```
//! use clusterfile::{Cluster, Role};
//! use infra_provider::{BareMetal, Context, Provider};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let mut wanted = Cluster::new("shop", "shop:1.4");
//! wanted.add_hosts(&Role::Master, ["192.0.2.10".parse()?]);
//!
//! let context = Context::new(std::path::Path::new("/var/lib/sealer/shop"), &|event| println!("{event:?}"));
//! let provisioned = BareMetal.provision(&wanted, None, &context).await?;
//! assert_eq!(provisioned.cluster.hosts.len(), 1);
//! assert!(provisioned.updates.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `ali-cloud` (default) | module `ali_cloud`: the provider for Alibaba Cloud and its API client |
//! | `container` (default) | `Container`, by the Docker Engine API |
//! | `testing` | module `testing`: the contract suite of [`Provider`] and a provider that counts its calls |
//!
//! # Errors
//!
//! Every failure is an [`Error`] that names the act, its object, and what to do about it.

#[cfg(feature = "ali-cloud")]
pub mod ali_cloud;
mod bare_metal;
#[cfg(feature = "container")]
mod container;
mod context;
mod error;
mod event;
#[cfg(any(feature = "ali-cloud", feature = "container"))]
mod machine_role;
mod provisioned;
#[cfg(any(feature = "ali-cloud", feature = "container"))]
mod ssh_key;
#[cfg(any(feature = "ali-cloud", feature = "container"))]
mod subnet;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::net::IpAddr;

use async_trait::async_trait;
use clusterfile::{Cluster, ProviderName};

pub use bare_metal::BareMetal;
#[cfg(feature = "container")]
pub use container::{Container, ContainerOptions};
pub use context::{Context, Events};
pub use error::{Cause, Error, Result};
pub use event::{ProviderEvent, Release};
pub use provisioned::{ManagedControlPlane, PendingUpdate, Provisioned};

/// Gives hosts for a Clusterfile, and takes them back.
///
/// Implementations keep nothing in memory between calls: what exists is found again each time, by label, tag, name or
/// a record below the state directory. So a crash at any point loses nothing, and the futures can be dropped at any
/// time. A call whose context is cancelled ends with [`Error::Cancelled`]; the same call again resumes.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The name by which a Clusterfile selects this provider (`spec.provider`).
    fn name(&self) -> &ProviderName;

    /// Whether the hosts are made by this provider and end with [`Provider::release`]; such hosts need not be cleaned.
    fn owns_hosts(&self) -> bool;

    /// Refuses what [`Provider::provision`] would refuse before it makes anything, as far as that can be told without
    /// any request.
    ///
    /// # Errors
    /// What is missing or wrong; no state needs to be saved for such a cluster.
    fn check(&self, wanted: &Cluster) -> Result<()> {
        let _ = wanted;
        Ok(())
    }

    /// Makes what is missing and returns `wanted` with its hosts: the asked number of each role, every address distinct,
    /// every host reachable by its `ssh`. Machines that run but are not as wanted are listed, not changed.
    ///
    /// `current` is the cluster as it was saved last; of more hosts than wanted, those that `wanted` lists are kept first,
    /// then those of `current`.
    /// Hosts that are no longer wanted are left out of the answer but stay until they are released.
    /// Files that the hosts' log-in needs are kept below the state directory of `context`.
    ///
    /// # Errors
    /// What is missing or was refused. What was made until then stays, and the next call resumes.
    async fn provision(
        &self,
        wanted: &Cluster,
        current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned>;

    /// Performs the pending update of one machine of a provisioned `cluster`: stops it, changes it, starts it and waits
    /// until it runs. Nothing is done when the machine already is as wanted. The host was drained before.
    ///
    /// # Errors
    /// What was refused; the machine is started again where possible, and the next call resumes.
    async fn update(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        let _ = (cluster, host, context);
        Ok(())
    }

    /// Takes note that an updated host has its pods back. Until then [`Provider::provision`] lists its update as begun,
    /// so that a run after a crash does not leave the host drained.
    ///
    /// # Errors
    /// When the provider's record cannot be written.
    async fn updated(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        let _ = (cluster, host, context);
        Ok(())
    }

    /// Takes hosts of `cluster` back. Hosts that are gone already are no error, nor are addresses that are none of its
    /// machines'. Whoever calls this has taken the hosts out of the cluster before, so that it can do without them.
    ///
    /// # Errors
    /// What could not be removed; the next call resumes.
    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<()>;

    /// What exists of a cluster that has no saved state, as far as it can be found by its name; enough to release it.
    /// `None` when nothing exists, or when this provider cannot look.
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

    /// What `provision` would have to make for `wanted`, a line each; sends no request and changes nothing.
    fn describe(&self, wanted: &Cluster) -> Vec<String>;
}

//! What does a provider work with besides the cluster itself?

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use clusterfile::Cluster;

use crate::{Error, ProviderEvent, Result};

/// Why something that the caller does for a provider failed.
pub type CallerError = Box<dyn std::error::Error + Send + Sync>;

/// The surroundings of one call of a provider.
pub struct Context<'a> {
    /// Where files are kept that belong to the cluster: keys to log in, what is being made right now.
    pub state_dir: &'a Path,
    /// Told what happens.
    pub events: &'a (dyn Fn(ProviderEvent) + Sync),
    /// Keeps what is known of the cluster so far; called whenever something of it came into being.
    pub remember: &'a (dyn Fn(&Cluster) -> Result<(), CallerError> + Sync),
    /// What runs on the hosts, when one must be stopped for a while.
    pub workloads: &'a dyn Workloads,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// For hosts on which nothing runs, and a caller that keeps nothing until the end.
    #[must_use]
    pub fn new(state_dir: &'a Path, events: &'a (dyn Fn(ProviderEvent) + Sync)) -> Self {
        Self { state_dir, events, remember: &|_| Ok(()), workloads: &Nothing }
    }

    /// Tells an event.
    pub fn tell(&self, event: ProviderEvent) {
        (self.events)(event);
    }

    /// Has the caller keep what is known of `cluster`.
    ///
    /// # Errors
    /// When the caller cannot.
    pub fn remember(&self, cluster: &Cluster) -> Result<()> {
        (self.remember)(cluster).map_err(|source| Error::Caller {
            act: "keep the state",
            object: cluster.name.clone(),
            source,
        })
    }
}

/// What runs on hosts, for a provider that must stop one of them for a while.
#[async_trait]
pub trait Workloads: Send + Sync + fmt::Debug {
    /// Moves everything away from `host` that can be moved, and has nothing new come to it.
    ///
    /// # Errors
    /// When something cannot be moved; the host is not stopped then.
    async fn drain(&self, host: IpAddr) -> Result<(), CallerError>;

    /// Waits until `host` is back and lets work come to it again.
    ///
    /// # Errors
    /// When the host does not come back; no other host is stopped then.
    async fn resume(&self, host: IpAddr) -> Result<(), CallerError>;
}

/// Hosts on which nothing runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

#[async_trait]
impl Workloads for Nothing {
    async fn drain(&self, _host: IpAddr) -> Result<(), CallerError> {
        Ok(())
    }

    async fn resume(&self, _host: IpAddr) -> Result<(), CallerError> {
        Ok(())
    }
}

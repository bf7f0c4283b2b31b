//! Drains a node before its machine stops, and uncordons it afterwards.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clusterfile::Cluster;
use remote::{Command, Remote};

use crate::connect::connect_new;
use crate::{ClusterState, Error, Events, Sealer};

/// How long pods may take to leave a host; the rest is for kubectl itself.
const DRAIN: Duration = Duration::from_secs(300);
/// How long a host that runs again may take to be Ready; the rest is for kubectl itself.
const RETURN: Duration = Duration::from_secs(300);
/// What kubectl needs besides.
const SPARE: Duration = Duration::from_secs(60);

/// The work on the hosts of a cluster, moved by the cluster's own kubectl on one of its masters.
pub(crate) struct Kubectl<'a> {
    pub(crate) sealer: &'a Sealer,
    pub(crate) state: &'a ClusterState,
    pub(crate) cluster: &'a Cluster,
    pub(crate) events: Events<'a>,
}

impl std::fmt::Debug for Kubectl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubectl").field("cluster", &self.cluster.name).finish_non_exhaustive()
    }
}

impl Kubectl<'_> {
    /// Moves pods away from `host`, and lets no new ones come to it.
    pub(crate) async fn drain(&self, host: IpAddr) -> Result<(), Error> {
        self.perform("drain", host, include_str!("workloads/drain.sh"), DRAIN).await
    }

    /// Waits until `host` is Ready again, and lets pods come to it.
    pub(crate) async fn resume(&self, host: IpAddr) -> Result<(), Error> {
        self.perform("wait for the return", host, include_str!("workloads/resume.sh"), RETURN).await
    }

    async fn perform(&self, act: &'static str, host: IpAddr, script: &str, limit: Duration) -> Result<(), Error> {
        let master = self.master(host).await?;
        let env = [("HOST", host.to_string()), ("SECONDS_LEFT", limit.as_secs().to_string())];
        let mut command = Command::new(script).timeout(limit + SPARE);
        command.env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let output = master.run(&command).await.map_err(runtime::Error::from)?;
        if output.code == Some(0) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let detail = if last.is_empty() { output.status() } else { last.chars().take(500).collect() };
        Err(Error::Workloads { act, host, detail })
    }

    /// A master that can be asked: another one than `host`, if there is one. The host itself may just have been started.
    async fn master(&self, host: IpAddr) -> Result<Arc<dyn Remote>, Error> {
        let mut one = self.cluster.clone();
        let other = self.cluster.masters().find(|master| master.address != host);
        let Some(master) = other.or_else(|| self.cluster.masters().next()) else {
            return Err(Error::NotSupported { what: "a cluster without a master".to_owned() });
        };
        one.hosts = vec![master.clone()];
        let mut remotes = connect_new(self.sealer, self.state, &one, self.events).await?;
        remotes.pop_first().map(|(_, remote)| remote).ok_or_else(|| Error::Connect(Vec::new()))
    }
}

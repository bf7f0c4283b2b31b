//! Cleans one host of which nothing is remembered here, by asking its own marker.

use std::net::IpAddr;
use std::sync::Arc;

use clusterfile::{Cluster, Clusterfile, Host, Role};
use runtime::{Facts, ImageContents, Marker, Payload, Request, Requirements, Secrets};
use serde::Serialize;

use crate::connect::connect;
use crate::connector::Connections;
use crate::executor::Executor;
use crate::observe::Observed;
use crate::run::Run;
use crate::takeover::Shared;
use crate::{ApplyOptions, ClusterState, Error, Events, Sealer, State, operator_lock};

/// Where keys and journals of such hosts are kept until they are clean, below the directory of states.
const STATES: &str = ".hosts";
const JOURNAL: &str = "delete.jsonl";

/// What a host says about the cluster that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HostClaim {
    /// The host.
    pub host: IpAddr,
    /// The cluster of its marker.
    pub cluster: String,
    /// `master` or `node`.
    pub role: String,
    /// Its container engine, and whether that goes, too, because sealer installed it.
    pub engine: String,
    /// Whether the container engine was installed by sealer and is removed.
    pub removes_engine: bool,
    /// Nodes of a cluster that is still up, as this host's API server says: cleaning a host does not take it off them.
    pub other_nodes: Vec<String>,
}

/// How to clean a host.
pub struct CleanHostOptions<'a> {
    /// Whether to clean it, now that it is known what it is.
    pub agree: &'a (dyn Fn(&HostClaim) -> bool + Send + Sync),
    /// The runtime that made its cluster; kubeadm's when nothing is said.
    pub runtime: Option<String>,
    /// How the plan is performed.
    pub apply: ApplyOptions,
}

impl std::fmt::Debug for CleanHostOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CleanHostOptions").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

/// Takes a cluster off one host whose state directory was lost. Only what its marker says is ours is removed; the
/// cluster's other hosts and its API are not told.
///
/// # Errors
///
/// [`Error::NoMarker`] when nothing on the host is ours, [`Error::HostOfKnownCluster`] when its cluster is known here,
/// [`Error::NotAgreed`], [`Error::Connect`], and [`Error::Unfinished`], after which the same call resumes.
pub async fn clean_host(
    sealer: &Sealer,
    host: &Host,
    options: &CleanHostOptions<'_>,
    events: Events<'_>,
) -> Result<HostClaim, Error> {
    let run = Run { sealer, options: &options.apply, events };
    let states = State::new(&sealer.state().root().join(STATES)).to_look_at();
    // Addresses of IPv6 have colons, which names of states do not have.
    let state = states.lock(&format!("host-{}", host.address).replace(':', "-"))?;
    let mut asked = Cluster::new("", "");
    asked.hosts = vec![host.clone()];
    if let Some(runtime) = &options.runtime {
        asked.annotations.insert(crate::plugins::RUNTIME_ANNOTATION.to_owned(), runtime.clone());
    }
    let requirements = sealer.runtime_of(&asked)?.requirements();
    let gathering = run.until_cancelled("asking the host", gather(&run, &state, &asked, &requirements));
    let (mut observed, marker) = gathering.await?;
    refuse_known(sealer, host.address, &marker, &requirements)?;
    let claim = claim(host.address, &marker, &observed.facts);
    if !(options.agree)(&claim) {
        return Err(Error::NotAgreed { host: host.address });
    }

    // Whose secrets the host has is not known here; that it shall be cleaned nevertheless was agreed to.
    observed.facts.hosts.values_mut().filter_map(|facts| facts.marker.as_mut()).for_each(|own| own.authority.clear());
    let role = if marker.role == "master" { Role::Master } else { Role::Node };
    let mut cluster = Cluster::new(&marker.cluster, "");
    cluster.annotations = asked.annotations;
    cluster.hosts = vec![host.clone()];
    cluster.hosts[0].roles = vec![role];
    let (image, secrets) = (ImageContents::named(""), Secrets::make(&cluster, requirements.secrets)?);
    let wanted = Clusterfile::from(cluster.without_hosts());
    let payload = Payload::new(&image, &secrets);
    let plan = sealer.runtime_of(&cluster)?.plan(&Request::new(&wanted, &observed.facts, &payload))?;
    let journal = state.file(JOURNAL);
    atomic_file::remove(&journal).map_err(|source| Error::State { act: "remove", path: journal, source })?;
    let provider = sealer.provider_for(&cluster)?;
    // Whoever works on its cluster, if that still runs, must not lose a host meanwhile.
    let (shared, plan) = (Shared::of(&observed, &cluster, &requirements), Arc::new(plan));
    operator_lock::exclusively(&run, &state, shared.claim_to_delete().await, async |run| {
        let executor =
            Executor { run, state: &state, cluster: &cluster, provider, observed: &observed, journal: JOURNAL };
        executor.execute(&plan).await
    })
    .await?;
    state.forget()?;
    Ok(claim)
}

/// What the host says, and its marker.
async fn gather(
    run: &Run<'_>,
    state: &ClusterState,
    asked: &Cluster,
    requirements: &Requirements,
) -> Result<(Observed, Marker), Error> {
    let Connections { remotes, failures } = connect(run, state, asked, &asked.hosts, &[]).await?;
    if !failures.is_empty() {
        return Err(Error::Connect(failures));
    }
    let facts = runtime::gather(&remotes, "", requirements).await?;
    let found = facts.hosts.iter().find_map(|(address, host)| Some((*address, host.marker.clone()?)));
    let Some((_, marker)) = found else {
        return Err(Error::NoMarker { host: asked.hosts[0].address });
    };
    // Only now the name is known by which the API may be asked.
    let facts = runtime::gather(&remotes, &marker.cluster, requirements).await?;
    Ok((Observed { remotes, facts, ..Observed::default() }, marker))
}

/// Refuses a host of a cluster that is known here.
fn refuse_known(sealer: &Sealer, host: IpAddr, marker: &Marker, requirements: &Requirements) -> Result<(), Error> {
    if sealer.state().clusterfile(&marker.cluster)?.is_none() {
        return Ok(());
    }
    let directory = sealer.state().root().join(&marker.cluster);
    let is_ours =
        Secrets::load(&directory, requirements.secrets)?.is_some_and(|secrets| marker.is_of(&marker.cluster, &secrets));
    if is_ours { Err(Error::HostOfKnownCluster { host, cluster: marker.cluster.clone() }) } else { Ok(()) }
}

fn claim(host: IpAddr, marker: &Marker, facts: &Facts) -> HostClaim {
    let nodes = facts.api.iter().flat_map(|api| &api.nodes);
    HostClaim {
        host,
        cluster: marker.cluster.clone(),
        role: marker.role.clone(),
        engine: marker.engine.clone(),
        removes_engine: marker.engine_ours,
        other_nodes: nodes.filter(|(address, _)| **address != host).map(|(_, node)| node.name.clone()).collect(),
    }
}

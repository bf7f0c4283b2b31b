//! Connects to the hosts of a cluster and gathers the facts about them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use clusterfile::{Cluster, Host, Role};
use futures_util::future::join_all;
use remote::Local;
use runtime::{Facts, OPERATOR_HOST, Requirements, Runtime};

use crate::change;
use crate::connect::connect;
use crate::connector::{Connections, Remotes};
use crate::executor::JOURNAL;
use crate::run::Run;
use crate::takeover::Shared;
use crate::target::Target;
use crate::{ClusterState, Error};

const ASKING: &str = "asking the hosts";

/// The hosts that were asked, and what they said.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) remotes: Remotes,
    pub(crate) facts: Facts,
    /// Hosts that are or were of the cluster and are not wanted any more, whether they could be asked or not.
    pub(crate) others: Vec<Host>,
    /// What is shared with other operators, once [`crate::takeover::renew`] has asked for it.
    pub(crate) shared: Shared,
}

/// Who is asked.
struct Asked<'a> {
    /// The cluster: its name, and how to log in.
    cluster: &'a Cluster,
    /// Hosts without which nothing is done, unless the operator agrees to go on without them.
    needed: &'a [Host],
    /// Those of them that may just have been made.
    starting: Vec<Host>,
    /// Hosts that leave: one that cannot be asked is taken out of the cluster all the same.
    others: Vec<Host>,
}

/// Asks all wanted hosts, and whoever else is or was of the cluster, as far as they can be reached.
pub(crate) async fn gather(run: &Run<'_>, state: &ClusterState, target: &Target<'_>) -> Result<Observed, Error> {
    let requirements = target.runtime.requirements();
    if requirements.without_hosts {
        return Ok(operator());
    }
    let started = Instant::now();
    let cluster = target.cluster();
    let asked = Asked {
        cluster,
        needed: &cluster.hosts,
        starting: starting(state, target),
        others: change::others(target.current.as_ref(), cluster),
    };
    let observed = run.until_cancelled(ASKING, ask(run, state, asked, &requirements)).await?;
    run.phase("preflight", cluster, started);
    for (host, reason) in &observed.facts.unreachable {
        run.warn(if cluster.host(*host).is_some() {
            format!("{host} cannot be asked and is left out: {reason}")
        } else {
            format!("{host} leaves, and nothing on it is cleaned: {reason}")
        });
    }
    Ok(observed)
}

/// Asks the hosts of a cluster that stands and whose hosts stay; nodes may be silent.
pub(crate) async fn gather_standing(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    requirements: &Requirements,
) -> Result<Observed, Error> {
    let started = Instant::now();
    let (masters, nodes): (Vec<_>, Vec<_>) = current.hosts.iter().cloned().partition(Host::is_master);
    let asked = Asked { cluster: current, needed: &masters, starting: Vec::new(), others: nodes };
    let mut observed = run.until_cancelled(ASKING, ask(run, state, asked, requirements)).await?;
    observed.facts.unreachable.retain(|host, _| masters.iter().any(|master| master.address == *host));
    run.phase("preflight", current, started);
    Ok(observed)
}

/// Asks all hosts of a cluster that is deleted.
pub(crate) async fn gather_all(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    requirements: &Requirements,
) -> Result<Observed, Error> {
    if requirements.without_hosts {
        return Ok(operator());
    }
    let asked = Asked { cluster: current, needed: &current.hosts, starting: Vec::new(), others: Vec::new() };
    run.until_cancelled(ASKING, ask(run, state, asked, requirements)).await
}

async fn ask(
    run: &Run<'_>,
    state: &ClusterState,
    asked: Asked<'_>,
    requirements: &Requirements,
) -> Result<Observed, Error> {
    let Asked { cluster, needed, starting, others } = asked;
    let all: Vec<Host> = needed.iter().chain(&others).cloned().collect();
    let Connections { mut remotes, failures } = connect(run, state, cluster, &all, &starting).await?;
    let may_lack = |host: IpAddr| run.options.ignore_unreachable || needed.iter().all(|one| one.address != host);
    let (passed_over, failures): (Vec<_>, Vec<_>) = failures.into_iter().partition(|(host, _)| may_lack(*host));
    if !failures.is_empty() {
        return Err(Error::Connect(failures));
    }
    let mut facts = facts(&mut remotes, &cluster.name, requirements, &may_lack).await?;
    facts.unreachable.extend(passed_over.into_iter().map(|(host, error)| (host, reason(host, &error))));
    let mut observed = Observed { remotes, facts, others, ..Observed::default() };

    let strangers = strangers(cluster, &all, &observed.facts);
    if !strangers.is_empty() {
        let mut remotes = connect(run, state, cluster, &strangers, &[]).await?.remotes;
        let mut said = self::facts(&mut remotes, &cluster.name, requirements, &|_| true).await?;
        for stranger in strangers {
            let address = stranger.address;
            let facts = said.hosts.remove(&address).filter(|host| host.cluster.as_ref() == Some(&cluster.name));
            if let (Some(facts), Some(remote)) = (facts, remotes.remove(&address)) {
                observed.facts.hosts.insert(address, facts);
                observed.remotes.insert(address, remote);
                observed.others.push(stranger);
            } else {
                run.warn(format!(
                    "node {address} is neither in the Clusterfile nor known to be made by sealer: it is left alone"
                ));
            }
        }
    }
    without_marker(&cluster.name, &mut observed);
    Ok(observed)
}

/// Hosts that leave, that the cluster calls its nodes, and that carry nothing of it, for example because they were
/// installed anew: there is nothing to clean on them, and the cluster must forget them all the same.
fn without_marker(cluster: &str, observed: &mut Observed) {
    let Observed { facts: Facts { hosts, unreachable, api: Some(api), .. }, others, .. } = observed else { return };
    for Host { address, .. } in others {
        let is_ours = |host: &runtime::HostFacts| host.cluster.as_deref() == Some(cluster);
        if api.nodes.contains_key(address) && hosts.get(address).is_some_and(|host| !is_ours(host)) {
            hosts.remove(address);
            unreachable.insert(*address, "it carries nothing of this cluster".to_owned());
        }
    }
}

/// Hosts that only the cluster itself names as its nodes.
///
/// The address is what a node says of itself: a password would go to whoever listens there, so none is sent.
fn strangers(cluster: &Cluster, asked: &[Host], facts: &Facts) -> Vec<Host> {
    let nodes = facts.api.iter().flat_map(|api| &api.nodes);
    let unknown = nodes.filter(|(address, _)| asked.iter().all(|host| host.address != **address));
    unknown
        .map(|(address, node)| {
            let role = if node.control_plane { Role::Master } else { Role::Node };
            let mut host = Host::new(*address, role);
            host.ssh = cluster.ssh.clone();
            host.ssh.password = None;
            host
        })
        .collect()
}

/// Asks every host that is connected. One that does not answer, and may be lacking, is unreachable.
async fn facts(
    remotes: &mut Remotes,
    cluster: &str,
    requirements: &Requirements,
    may_lack: &(dyn Fn(IpAddr) -> bool + Sync),
) -> Result<Facts, Error> {
    let error = match runtime::gather(remotes, cluster, requirements).await {
        Ok(facts) => return Ok(facts),
        Err(error) => error,
    };
    // Which of them it was shows when each is asked alone.
    let alone = remotes.iter().filter(|(host, _)| may_lack(**host)).map(|(host, remote)| async move {
        let only = Remotes::from([(*host, Arc::clone(remote))]);
        (*host, runtime::gather(&only, cluster, requirements).await.err())
    });
    let silent: BTreeMap<IpAddr, String> =
        join_all(alone).await.into_iter().filter_map(|(host, error)| Some((host, reason(host, &error?)))).collect();
    if silent.is_empty() {
        return Err(error.into());
    }
    remotes.retain(|host, _| !silent.contains_key(host));
    let mut facts = runtime::gather(remotes, cluster, requirements).await?;
    facts.unreachable = silent;
    Ok(facts)
}

/// Why a host cannot be asked, without its address in front.
fn reason(host: IpAddr, error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{host}: ")).map_or_else(|| text.clone(), str::to_owned)
}

/// What the cluster says about itself after a change. It is up, so failing to read its state is only a warning.
pub(crate) async fn look_again(run: &Run<'_>, observed: &Observed, runtime: &dyn Runtime, cluster: &Cluster) -> Facts {
    if runtime.requirements().without_hosts {
        return Facts::default();
    }
    let mut remotes = observed.remotes.clone();
    remotes.retain(|host, _| cluster.host(*host).is_some());
    match runtime::gather(&remotes, &cluster.name, &runtime.requirements()).await {
        Ok(facts) => facts,
        Err(error) => {
            run.warn(format!("the state of the nodes is not known: {error}"));
            Facts::default()
        }
    }
}

/// The steps of a runtime without hosts happen here.
fn operator() -> Observed {
    let local: Arc<dyn remote::Remote> = Arc::new(Local::new(OPERATOR_HOST));
    Observed { remotes: [(OPERATOR_HOST, local)].into(), ..Observed::default() }
}

/// Hosts whose machines may just have been made or changed, so that their systems are still starting: new ones, all of
/// them while a change that made some is under way, and those whose change an earlier run did not finish.
fn starting(state: &ClusterState, target: &Target<'_>) -> Vec<Host> {
    let cluster = target.cluster();
    if !target.provider.owns_hosts() {
        return Vec::new();
    }
    let current = target.current.as_ref();
    let all = !state.file(JOURNAL).exists()
        || current.is_some_and(change::is_under_way)
        || target.updates.iter().any(|update| update.begun);
    let known = |host: &Host| current.is_some_and(|current| current.host(host.address).is_some());
    cluster.hosts.iter().filter(|host| all || !known(host)).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clusterfile::Secret;
    use runtime::facts::NodeFacts;

    use super::*;

    #[test]
    fn who_only_the_cluster_names_gets_no_password() {
        let [known, stranger] = [[10, 0, 0, 1], [10, 0, 0, 9]].map(IpAddr::from);
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.ssh.password = Some(Secret::from("hunter2".to_owned()));
        cluster.ssh.private_key = Some("/keys/id".to_owned());
        cluster.add_hosts(&Role::Master, [known]);
        let mut facts = Facts::default();
        let api = facts.api.get_or_insert_default();
        api.nodes = [known, stranger].map(|address| (address, NodeFacts::default())).into();
        let found = strangers(&cluster, &cluster.hosts, &facts);
        assert_eq!(found.iter().map(|host| host.address).collect::<Vec<_>>(), [stranger]);
        assert_eq!((&found[0].ssh.password, found[0].ssh.private_key.as_deref()), (&None, Some("/keys/id")));
    }
}

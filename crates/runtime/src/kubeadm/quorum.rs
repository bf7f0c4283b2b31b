//! Whether etcd keeps its majority at each step of a change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{Error, Request};

/// Refuses a change in which etcd would lose the majority of its members: the cluster could then not be changed, nor read,
/// by anybody.
///
/// The order is that of the plan: the dead leave, new masters join, the others leave one after another. A master that
/// answers nobody or is not Ready counts as a member that is dead.
pub(super) fn check(request: &Request<'_>) -> Result<(), Error> {
    let Some(api) = &request.facts.api else { return Ok(()) };
    let wanted = |host: &IpAddr| request.cluster().host(*host).is_some_and(clusterfile::Host::is_master);
    let dead = |host: &IpAddr| request.facts.unreachable.contains_key(host);
    let members = api.nodes.iter().filter(|(_, node)| node.control_plane);
    let mut members: BTreeMap<IpAddr, bool> = members.map(|(host, node)| (*host, node.ready && !dead(host))).collect();
    if members.is_empty() {
        return Ok(());
    }
    members.retain(|host, _| wanted(host) || !dead(host));
    members.extend(request.not_done().filter(|host| host.is_master()).map(|host| (host.address, true)));
    let leaving: Vec<IpAddr> = members.keys().filter(|host| !wanted(host)).copied().collect();
    for host in leaving {
        members.remove(&host);
        let alive = members.values().filter(|alive| **alive).count();
        if alive * 2 <= members.len() {
            let dead: Vec<String> =
                members.iter().filter(|(_, alive)| !**alive).map(|(host, _)| host.to_string()).collect();
            let reason = format!(
                "without master {host} only {alive} of {} masters would be alive, and etcd would lose its majority; bring back or take out {} first",
                members.len(),
                dead.join(", ")
            );
            return Err(Error::InvalidCluster { cluster: request.cluster().name.clone(), reason });
        }
    }
    Ok(())
}

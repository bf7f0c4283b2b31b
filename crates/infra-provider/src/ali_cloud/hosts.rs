//! Fills hosts, log-in and annotations of a cluster in from its cloud resources.

use std::path::Path;

use clusterfile::{Cluster, Jump, Ssh};

use super::annotations;
use super::record::{Machine, Resources};
use super::settings::{ClusterSpec, Role};
use crate::{Error, Result};

/// `wanted` with the annotations and host addresses of what exists so far.
pub(super) fn annotated(wanted: &Cluster, resources: &Resources) -> Cluster {
    let mut cluster = wanted.clone();
    annotations::write(&mut cluster, resources);
    cluster
}

/// The finished cluster: hosts with address and log-in, the API server's public name, annotations.
///
/// `key` is the private key that opens the machines; without one they are opened as the Clusterfile says.
pub(super) fn filled(
    wanted: &Cluster,
    spec: &ClusterSpec,
    resources: &Resources,
    key: Option<&Path>,
) -> Result<Cluster> {
    let mut cluster = annotated(wanted, resources);
    cluster.ssh = ssh(wanted, resources, key)?;
    cluster.hosts.clear();
    for (role, count) in [(Role::Master, spec.masters.count), (Role::Node, spec.nodes.count)] {
        let machines = kept(resources, role, count, wanted);
        for address in machines.into_iter().filter_map(|(_, machine)| machine.address) {
            match wanted.host(address) {
                Some(known) => {
                    let mut host = known.clone();
                    host.ssh = cluster.ssh.clone();
                    cluster.hosts.push(host);
                }
                None => cluster.add_hosts(&role.as_str().into(), [address]),
            }
        }
    }
    if let Some(eip) = &resources.eip {
        let name = eip.address.to_string();
        if !cluster.cert_sans.contains(&name) {
            cluster.cert_sans.push(name);
        }
    }
    Ok(cluster)
}

/// The machines of a role that are used, by number: of more than are wanted, those that the Clusterfile lists first.
pub(super) fn kept<'a>(
    resources: &'a Resources,
    role: Role,
    count: u32,
    wanted: &Cluster,
) -> Vec<(&'a String, &'a Machine)> {
    let is_listed = |machine: &Machine| machine.address.is_some_and(|address| wanted.host(address).is_some());
    let machines = ordered(resources, role);
    let (listed, others): (Vec<_>, Vec<_>) = machines.iter().copied().partition(|(_, machine)| is_listed(machine));
    let used: Vec<&String> = listed.into_iter().chain(others).take(count as usize).map(|(id, _)| id).collect();
    machines.into_iter().filter(|(id, _)| used.contains(id)).collect()
}

/// Machines of a role by number; the one that bears the public address leads the masters.
pub(super) fn ordered(resources: &Resources, role: Role) -> Vec<(&String, &Machine)> {
    let mut machines = resources.of_role(role);
    let bound = resources.eip.as_ref().and_then(|eip| eip.bound_to.as_ref());
    machines.sort_by_key(|(id, _)| Some(*id) != bound);
    machines
}

/// How to log in: through the first master's public address, the first master itself included, because its address in
/// the cluster is the one inside the VPC.
fn ssh(wanted: &Cluster, resources: &Resources, key: Option<&Path>) -> Result<Ssh> {
    let mut ssh = wanted.ssh.clone();
    if let Some(key) = key {
        let path = key.to_str().ok_or_else(|| Error::StatePath { path: key.to_owned() })?.to_owned();
        ssh = ssh.with_private_key(path);
        ssh.private_key_password = None;
    }
    if let Some(eip) = &resources.eip {
        let mut jump = Jump::new(eip.address);
        jump.port = ssh.port;
        ssh.jump = vec![jump];
    }
    Ok(ssh)
}

//! Which hosts, addresses and annotations does a cluster get from what exists in the cloud?

use std::net::IpAddr;
use std::path::Path;

use clusterfile::{Cluster, Jump, Ssh};

use super::annotations::{self, Facts};
use super::record::{Machine, Things};
use super::settings::{Role, Wish};
use crate::{Error, Result};

/// `wanted` with the annotations and host addresses of what exists so far.
pub(super) fn annotated(wanted: &Cluster, things: &Things) -> Cluster {
    let mut cluster = wanted.clone();
    annotations::write(&mut cluster, &facts(things));
    cluster
}

/// The finished cluster: hosts with address and log-in, the API server's public name, annotations.
///
/// `key` is the private key that opens the machines; without one they are opened as the Clusterfile says.
pub(super) fn filled(wanted: &Cluster, wish: &Wish, things: &Things, key: Option<&Path>) -> Result<Cluster> {
    let mut cluster = annotated(wanted, things);
    cluster.ssh = ssh(wanted, things, key)?;
    cluster.hosts.clear();
    for (role, count) in [(Role::Master, wish.masters.count), (Role::Node, wish.nodes.count)] {
        let machines = ordered(things, role).into_iter().take(count as usize);
        for address in machines.filter_map(|(_, machine)| machine.address) {
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
    if let Some(eip) = &things.eip {
        let name = eip.address.to_string();
        if !cluster.cert_sans.contains(&name) {
            cluster.cert_sans.push(name);
        }
    }
    Ok(cluster)
}

/// Machines of a role by number; the one that bears the public address leads the masters.
pub(super) fn ordered(things: &Things, role: Role) -> Vec<(&String, &Machine)> {
    let mut machines = things.of_role(role);
    let bound = things.eip.as_ref().and_then(|eip| eip.bound_to.as_ref());
    machines.sort_by_key(|(id, _)| Some(*id) != bound);
    machines
}

/// How to log in: through the first master's public address, the first master itself included, because its address in
/// the cluster is the one inside the VPC.
fn ssh(wanted: &Cluster, things: &Things, key: Option<&Path>) -> Result<Ssh> {
    let mut ssh = wanted.ssh.clone();
    if let Some(key) = key {
        let path = key.to_str().ok_or_else(|| Error::StatePath { path: key.to_owned() })?.to_owned();
        ssh = ssh.with_private_key(path);
        ssh.private_key_password = None;
    }
    if let Some(eip) = &things.eip {
        let mut jump = Jump::new(eip.address);
        jump.port = ssh.port;
        ssh.jump = vec![jump];
    }
    Ok(ssh)
}

fn facts(things: &Things) -> Facts {
    let id = |thing: &super::record::Thing| thing.id.clone();
    let vswitch = things.vswitches.iter().next();
    let pair = |(id, machine): (&String, &Machine)| -> (String, Option<IpAddr>) { (id.clone(), machine.address) };
    Facts {
        region: things.region.clone(),
        zone: vswitch.map(|(zone, _)| zone.clone()),
        vpc: things.vpc.as_ref().map(id),
        vswitch: vswitch.map(|(_, vswitch)| id(vswitch)),
        security_group: things.security_group.as_ref().map(id),
        key_pair: things.key_pair.as_ref().map(id),
        eip: things.eip.as_ref().map(|eip| (eip.id.clone(), eip.address)),
        masters: ordered(things, Role::Master).into_iter().map(pair).collect(),
        nodes: ordered(things, Role::Node).into_iter().map(|(id, _)| id.clone()).collect(),
    }
}

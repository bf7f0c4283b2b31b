//! Changes the size of running machines, one per call: stop, modify, start, wait until it runs.
//!
//! Draining the host before and uncordoning it after is the caller's work.

use std::net::IpAddr;

use super::api::Class;
use super::api::ecs::{
    Instance, InstanceStatus, describe_available_resource, modify_instance_spec, start_instances, stop_instances,
};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class};
use super::record::Resources;
use super::settings::{ClusterSpec, Group, Role};
use super::stock::{Candidates, candidates};
use super::{discover, hosts, running, tags};
use crate::{Error, PendingUpdate, ProviderEvent, Result};

/// Machines of `listed` that have another size than wanted, and those whose update an earlier run began: begun ones
/// first, then nodes, then masters, the first master last. From now on the record has their updates as begun.
pub(super) fn pending(cloud: &Cloud<'_>, spec: &ClusterSpec, listed: &[Instance]) -> Result<Vec<PendingUpdate>> {
    cloud.record.change(|resources| {
        let mut updates = Vec::new();
        let mut ids = Vec::new();
        for group in [&spec.nodes, &spec.masters] {
            let machines = hosts::kept(resources, group.role, group.count, cloud.wanted);
            for (id, machine) in machines.into_iter().rev() {
                let Some(host) = machine.address else { continue };
                let begun = resources.updating.contains(id);
                let other = listed.iter().find(|instance| instance.instance_id == *id && differs(instance, group));
                if begun || other.is_some() {
                    let name = tags::host_name(&spec.cluster, group.role, machine.index);
                    let summary =
                        other.map_or_else(|| "begun by an earlier run".to_owned(), |other| summary(other, group));
                    let update = PendingUpdate::new(host, name, summary);
                    updates.push(PendingUpdate { begun, needs_change: other.is_some(), ..update });
                    ids.push(id.clone());
                }
            }
        }
        resources.updating.extend(ids);
        updates.sort_by_key(|update| !update.begun);
        updates
    })
}

fn summary(instance: &Instance, group: &Group) -> String {
    let (cpu, gib) = (instance.cpu, instance.memory / 1024.0);
    format!("{cpu} CPU, {gib} GiB -> {} CPU, {} GiB", group.cpu, group.memory_gib)
}

/// Whether the Clusterfile says a size and the machine has another one.
fn differs(instance: &Instance, group: &Group) -> bool {
    let gib = instance.memory / 1024.0;
    let other = (instance.cpu - f64::from(group.cpu)).abs() > 0.5 || (gib - f64::from(group.memory_gib)).abs() > 0.5;
    group.sized && other
}

/// Gives the machine at `host` the wanted size; does nothing when it has it and runs.
pub(super) async fn update(cloud: &Cloud<'_>, spec: &ClusterSpec, host: IpAddr) -> Result<()> {
    let (id, role) = machine(cloud, host).await?;
    let group = match role {
        Role::Master => &spec.masters,
        Role::Node => &spec.nodes,
    };
    // An earlier run may have stopped or changed it.
    let listed = running::listed(cloud, std::slice::from_ref(&id)).await?.remove(&id);
    let Some(instance) = listed.filter(|instance| differs(instance, group)) else {
        return running::await_running(cloud, Prerequisite::unknown(Pending::Restarted)).await.map(drop);
    };
    let types = types(cloud, spec, group, &instance.zone_id).await?;
    cloud.context.tell(ProviderEvent::Resizing { host: instance.host_name.clone(), instance_type: types[0].clone() });
    cloud.keep(|resources| resources.updating.extend([id.clone()]))?;
    let mut prerequisite = Prerequisite::unknown(Pending::Stopped);
    if instance.status == InstanceStatus::Running {
        cloud.change(&stop_instances(std::slice::from_ref(&id)), None).await?;
        prerequisite = Prerequisite::from_now(Pending::Stopped);
    }
    let changed = first_that_fits(cloud, &id, &types, prerequisite).await;
    // Whatever came of it, the machine must run again.
    cloud.change(&start_instances(std::slice::from_ref(&id)), None).await?;
    running::await_running(cloud, Prerequisite::from_now(Pending::Restarted)).await?;
    changed
}

/// The machine at `host`, searched for in the cloud when the record does not know it.
async fn machine(cloud: &Cloud<'_>, host: IpAddr) -> Result<(String, Role)> {
    let known = |resources: &Resources| {
        let found = resources.machines.iter().find(|(_, machine)| machine.address == Some(host));
        found.map(|(id, machine)| (id.clone(), machine.role))
    };
    if let Some(found) = cloud.record.with(known) {
        return Ok(found);
    }
    discover::machines(cloud).await?;
    cloud.record.with(known).ok_or_else(|| Error::UnknownHost { cluster: cloud.wanted.name.clone(), host })
}

async fn first_that_fits(cloud: &Cloud<'_>, id: &str, types: &[String], prerequisite: Prerequisite) -> Result<()> {
    let (mut prerequisite, mut refused) = (Some(prerequisite), None);
    for instance_type in types {
        // Needs no intent: what it is for shows in the machine itself.
        let asked = modify_instance_spec(id, instance_type).with_token(&cloud.record.token()?);
        match cloud.change(&asked, prerequisite.take()).await {
            Ok(()) => {
                return cloud.keep(|resources| {
                    if let Some(machine) = resources.machines.get_mut(id) {
                        machine.instance_type.clone_from(instance_type);
                    }
                });
            }
            Err(error) if class(&error) == Some(Class::NextCandidate) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Types of the wanted size in the machine's own zone, which it cannot leave.
async fn types(cloud: &Cloud<'_>, spec: &ClusterSpec, group: &Group, zone: &str) -> Result<Vec<String>> {
    let asked = describe_available_resource(Some(zone), Some((group.cpu, group.memory_gib)), None);
    let stock = cloud.ask(&asked).await?;
    let one = Group { role: Role::Master, count: 1, ..group.clone() };
    let none = Group { role: Role::Node, count: 0, ..group.clone() };
    let found: Option<Candidates> = candidates((&one, &stock), (&none, &stock), Some(zone)).into_iter().next();
    found.map(|found| found.masters).filter(|types| !types.is_empty()).ok_or_else(|| Error::NothingOffered {
        cluster: spec.cluster.clone(),
        region: format!("{}, zone {zone}", cloud.client.region()),
        size: group.size(),
    })
}

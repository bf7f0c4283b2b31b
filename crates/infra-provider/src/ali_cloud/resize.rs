//! How do machines get another size while the cluster goes on: one at a time, drained before it stops?

use std::net::IpAddr;

use super::api::Class;
use super::api::ecs::{
    DescribeAvailableResource, Instance, InstanceStatus, ModifyInstanceSpec, StartInstances, StopInstances,
};
use super::cloud::{Cloud, Gate, class};
use super::running;
use super::settings::{Group, Role, Wish};
use super::stock::{Candidates, candidates};
use super::waits::Wait;
use crate::{Error, ProviderEvent, Result};

/// Gives every machine of `listed` that has another size than wanted the wanted one. Nodes come first, the first master
/// last; after a crash the same call goes on with the machine that was being changed.
pub(super) async fn resize(cloud: &Cloud<'_>, wish: &Wish, listed: &[Instance]) -> Result<()> {
    finish(cloud).await?;
    let things = cloud.record.things();
    for group in [&wish.nodes, &wish.masters].into_iter().filter(|group| group.sized) {
        let machines: Vec<String> =
            super::hosts::ordered(&things, group.role).into_iter().rev().map(|(id, _)| id.clone()).collect();
        let differing = machines
            .iter()
            .filter_map(|id| listed.iter().find(|instance| instance.instance_id == *id && differs(instance, group)));
        for instance in differing {
            change(cloud, wish, group, instance).await?;
        }
    }
    Ok(())
}

fn differs(instance: &Instance, group: &Group) -> bool {
    let gib = instance.memory / 1024.0;
    (instance.cpu - f64::from(group.cpu)).abs() > 0.5 || (gib - f64::from(group.memory_gib)).abs() > 0.5
}

/// A machine that was being changed when an earlier run ended gets its work back.
async fn finish(cloud: &Cloud<'_>) -> Result<()> {
    let Some(id) = cloud.record.with(|things| things.resizing.clone()) else { return Ok(()) };
    let stored = cloud.record.with(|things| things.machines.get(&id).and_then(|machine| machine.address));
    if let Some(address) = stored {
        resume(cloud, address).await?;
    }
    cloud.keep(|things| things.resizing = None)
}

async fn change(cloud: &Cloud<'_>, wish: &Wish, group: &Group, listed: &Instance) -> Result<()> {
    let id = listed.instance_id.clone();
    // What was listed when the run began may have been stopping then, or may have been changed by a run before.
    let fresh = running::listed(cloud, std::slice::from_ref(&id)).await?.remove(&id);
    let Some(instance) = fresh.filter(|instance| differs(instance, group)) else { return Ok(()) };
    let types = types(cloud, wish, group, &instance.zone_id).await?;
    let address = instance.private_ip();
    cloud.context.tell(ProviderEvent::Resizing { host: instance.host_name.clone(), instance_type: types[0].clone() });
    cloud.keep(|things| things.resizing = Some(id.clone()))?;
    let mut gate = Gate::unknown(Wait::Stopped);
    if instance.status == InstanceStatus::Running {
        if let Some(address) = address {
            drain(cloud, address).await?;
        }
        cloud.change(&StopInstances { instance_ids: vec![id.clone()], force: false }, None).await?;
        gate = Gate::from_now(Wait::Stopped);
    }
    let changed = first_that_fits(cloud, &id, &types, gate).await;
    // Whatever came of it, the machine must run again.
    cloud.change(&StartInstances { instance_ids: vec![id.clone()] }, None).await?;
    running::await_running(cloud, Gate::from_now(Wait::Restarted)).await?;
    finish(cloud).await?;
    changed
}

async fn first_that_fits(cloud: &Cloud<'_>, id: &str, types: &[String], gate: Gate) -> Result<()> {
    let (mut gate, mut refused) = (Some(gate), None);
    for instance_type in types {
        // Needs no intent: what it is for shows in the machine itself.
        let client_token = cloud.record.token()?;
        let instance_type = instance_type.clone();
        let asked = ModifyInstanceSpec { client_token, instance_id: id.to_owned(), instance_type };
        match cloud.change(&asked, gate.take()).await {
            Ok(_) => {
                return cloud.keep(|things| {
                    if let Some(machine) = things.machines.get_mut(id) {
                        machine.instance_type = asked.instance_type;
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
async fn types(cloud: &Cloud<'_>, wish: &Wish, group: &Group, zone: &str) -> Result<Vec<String>> {
    let asked = DescribeAvailableResource {
        zone_id: Some(zone.to_owned()),
        cores: Some(group.cpu),
        memory: Some(f64::from(group.memory_gib)),
        instance_charge_type: Some("PostPaid".to_owned()),
        ..DescribeAvailableResource::default()
    };
    let stock = cloud.ask(&asked).await?;
    let one = Group { role: Role::Master, count: 1, ..group.clone() };
    let none = Group { role: Role::Node, count: 0, ..group.clone() };
    let found: Option<Candidates> = candidates((&one, &stock), (&none, &stock), Some(zone)).into_iter().next();
    found.map(|found| found.masters).filter(|types| !types.is_empty()).ok_or_else(|| Error::NothingOffered {
        cluster: wish.cluster.clone(),
        region: format!("{}, zone {zone}", cloud.client.region()),
        size: format!("{} processors and {} GiB of memory", group.cpu, group.memory_gib),
    })
}

async fn drain(cloud: &Cloud<'_>, host: IpAddr) -> Result<()> {
    let failed = |source| Error::Caller { act: "drain", object: host.to_string(), source };
    cloud.context.workloads.drain(host).await.map_err(failed)
}

async fn resume(cloud: &Cloud<'_>, host: IpAddr) -> Result<()> {
    let failed = |source| Error::Caller { act: "wait for the return", object: host.to_string(), source };
    cloud.context.workloads.resume(host).await.map_err(failed)
}

//! How is everything that was made for a cluster given back, and nothing else?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;

use super::api::Class;
use super::api::ecs::{DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup};
use super::api::eip::{ReleaseEipAddress, UnassociateEipAddress};
use super::api::vpc::{DeleteVSwitch, DeleteVpc};
use super::cloud::{Cloud, Gate, class};
use super::discover;
use super::record::{Machine, Thing};
use super::settings::Role;
use super::tags::host_name;
use super::waits::Wait;
use crate::{Error, ProviderEvent, Result};

/// The cloud deletes no more machines at once.
const PAGE: usize = 100;
/// So long a network may be in use before somebody unknown is looked for in it.
const IN_USE: Duration = Duration::from_secs(40);

/// Gives everything back; what could not be freed is told at the end, and the same call goes on from there.
pub(super) async fn everything(cloud: &Cloud<'_>, new: bool) -> Result<()> {
    look(cloud, new).await?;
    let mut failures = Failures::default();
    let rest = async {
        let gone = free_machines(cloud, None).await?;
        free_network(cloud, gone).await
    };
    let (address, rest) = join(free_address(cloud), rest).await;
    failures.note("public address", address);
    failures.note("machines and network", rest);
    failures.finish(cloud)?;
    cloud.record.forget()
}

/// Gives machines with these addresses back; what the others share stays.
pub(super) async fn hosts(cloud: &Cloud<'_>, addresses: &[IpAddr], lose_quorum: bool) -> Result<()> {
    discover::machines(cloud).await?;
    let things = cloud.record.things();
    let leaves = |machine: &Machine| machine.address.is_some_and(|address| addresses.contains(&address));
    let masters = things.of_role(Role::Master);
    let leaving = masters.iter().filter(|(_, machine)| leaves(machine)).count();
    let needed = masters.len() / 2 + 1;
    if leaving > 0 && masters.len() - leaving < needed && !lose_quorum {
        return Err(Error::Quorum {
            cluster: cloud.wanted.name.clone(),
            masters: masters.len(),
            leaving,
            needed,
            consent: super::annotations::LOSE_QUORUM,
        });
    }
    let ids: Vec<String> =
        things.machines.iter().filter(|(_, machine)| leaves(machine)).map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    free_machines(cloud, Some(&ids)).await.map(drop)
}

/// Finds what is to be freed: by tag, and longer for what was begun and never confirmed.
async fn look(cloud: &Cloud<'_>, new: bool) -> Result<()> {
    let open = cloud.record.with(|things| things.intents.clone());
    discover::machines(cloud).await?;
    let orders: Vec<String> = open.keys().filter(|step| step.starts_with("run ")).cloned().collect();
    discover::unconfirmed(cloud, &orders).await?;
    let others = open.len() > orders.len();
    if new || others {
        discover::surroundings(cloud).await?;
    }
    if open.contains_key("address") {
        discover::unconfirmed_address(cloud).await?;
    }
    // What was begun is known now as well as it can be; a token of it is never used again.
    cloud.keep(|things| things.intents.clear())
}

/// Deletes machines, all of them or those with these ids; returns the gate behind which their network is free.
async fn free_machines(cloud: &Cloud<'_>, only: Option<&[String]>) -> Result<Option<Gate>> {
    let ids: Vec<String> = cloud.record.with(|things| {
        let wanted = |id: &&String| only.is_none_or(|only| only.contains(id));
        things.machines.keys().filter(wanted).cloned().collect()
    });
    for page in ids.chunks(PAGE) {
        delete_page(cloud, page.to_vec()).await?;
        let gone = cloud.record.with(|things| {
            let name = |machine: &Machine| host_name(&cloud.wanted.name, machine.role, machine.index);
            let left = |id: &String| things.machines.get(id).map(|machine| (name(machine), machine.address));
            page.iter().filter_map(left).collect::<Vec<_>>()
        });
        cloud.keep(|things| {
            things.machines.retain(|id, _| !page.contains(id));
            if let Some(eip) =
                things.eip.as_mut().filter(|eip| eip.bound_to.as_ref().is_some_and(|id| page.contains(id)))
            {
                // Releasing a machine frees its address, too; whether at once is not known, so it is asked for.
                if only.is_some() {
                    eip.bound_to = None;
                }
            }
        })?;
        for (host, address) in gone {
            cloud.context.tell(ProviderEvent::Released { host, address });
        }
    }
    Ok((!ids.is_empty()).then(|| Gate::from_now(Wait::Gone)))
}

async fn delete_page(cloud: &Cloud<'_>, mut ids: Vec<String>) -> Result<()> {
    while !ids.is_empty() {
        let asked = DeleteInstances { instance_ids: ids.clone(), force: true };
        match cloud.change(&asked, None).await {
            Ok(_) => return Ok(()),
            // One of them is gone already; the cloud does not say which.
            Err(error) if class(&error) == Some(Class::Gone) => {
                let listed = super::running::listed(cloud, &ids).await?;
                let before = ids.len();
                ids.retain(|id| listed.contains_key(id));
                if ids.len() == before {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn free_address(cloud: &Cloud<'_>) -> Result<()> {
    let Some(eip) = cloud.record.with(|things| things.eip.clone()) else { return Ok(()) };
    let mut gate = None;
    if eip.bound_to.is_some() {
        let unbind = UnassociateEipAddress { allocation_id: eip.id.clone(), force: true };
        gone_is_fine(cloud.change(&unbind, None).await)?;
        cloud.keep(|things| {
            if let Some(eip) = &mut things.eip {
                eip.bound_to = None;
            }
        })?;
        gate = Some(Gate::from_now(Wait::Unbound));
    }
    gone_is_fine(cloud.change(&ReleaseEipAddress { allocation_id: eip.id.clone() }, gate).await)?;
    freed(cloud, "public address", &eip.id);
    cloud.keep(|things| things.eip = None)
}

async fn free_key(cloud: &Cloud<'_>, gate: Option<Gate>) -> Result<()> {
    let Some(pair) = own(cloud.record.with(|things| things.key_pair.clone())) else { return Ok(()) };
    gone_is_fine(cloud.change(&DeleteKeyPairs { names: vec![pair.clone()] }, gate).await)?;
    freed(cloud, "key pair", &pair);
    cloud.keep(|things| things.key_pair = None)
}

/// Frees vSwitches, security group and VPC, in this order; machines that nobody knew of are looked for when the network
/// stays in use.
async fn free_network(cloud: &Cloud<'_>, gone: Option<Gate>) -> Result<()> {
    let mut gate = gone;
    loop {
        let impatient = Cloud { deadline: cloud.deadline.min(Instant::now() + IN_USE), ..*cloud };
        match network_once(&impatient, gate).await {
            Err(Error::OutOfTime { .. }) if Instant::now() + IN_USE < cloud.deadline => {
                discover::machines(cloud).await?;
                gate = free_machines(cloud, None).await?;
            }
            other => return other,
        }
    }
}

async fn network_once(cloud: &Cloud<'_>, gone: Option<Gate>) -> Result<()> {
    let vswitches: BTreeMap<String, Thing> = cloud.record.with(|things| things.vswitches.clone());
    // The first one is the probe; what comes after it need not wait for the machines again.
    let mut gate = gone;
    let mut last = None;
    for (zone, vswitch) in vswitches {
        if vswitch.own {
            gone_is_fine(cloud.change(&DeleteVSwitch { v_switch_id: vswitch.id.clone() }, gate.take()).await)?;
            last = Some(Gate::from_now(Wait::VSwitchGone));
            freed(cloud, "vSwitch", &vswitch.id);
        }
        cloud.keep(|things| drop(things.vswitches.remove(&zone)))?;
    }
    if let Some(group) = own(cloud.record.with(|things| things.security_group.clone())) {
        gone_is_fine(cloud.change(&DeleteSecurityGroup { security_group_id: group.clone() }, gate.take()).await)?;
        freed(cloud, "security group", &group);
    }
    cloud.keep(|things| things.security_group = None)?;
    // A key pair belongs to its machines as long as there are any.
    let (key, vpc) = join(free_key(cloud, gate), free_vpc(cloud, last)).await;
    key.and(vpc)
}

async fn free_vpc(cloud: &Cloud<'_>, last: Option<Gate>) -> Result<()> {
    if let Some(vpc) = own(cloud.record.with(|things| things.vpc.clone())) {
        gone_is_fine(cloud.change(&DeleteVpc { vpc_id: vpc.clone() }, last).await)?;
        freed(cloud, "VPC", &vpc);
    }
    cloud.keep(|things| things.vpc = None)
}

/// The id of something that was made for this cluster; what the user gave is not touched.
fn own(thing: Option<Thing>) -> Option<String> {
    thing.filter(|thing| thing.own).map(|thing| thing.id)
}

fn freed(cloud: &Cloud<'_>, what: &'static str, id: &str) {
    cloud.context.tell(ProviderEvent::Freed { what: what.to_owned(), id: id.to_owned() });
}

fn gone_is_fine<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if matches!(class(&error), Some(Class::Gone | Class::Missing)) => Ok(()),
        other => other.map(drop),
    }
}

/// What could not be freed, and why.
#[derive(Default)]
struct Failures(Vec<(&'static str, Error)>);

impl Failures {
    fn note(&mut self, what: &'static str, result: Result<()>) {
        if let Err(error) = result {
            self.0.push((what, error));
        }
    }

    fn finish(mut self, cloud: &Cloud<'_>) -> Result<()> {
        if self.0.len() < 2 {
            return self.0.pop().map_or(Ok(()), |(_, error)| Err(error));
        }
        let left = self.0.into_iter().map(|(what, error)| format!("{what}: {error}")).collect();
        Err(Error::NotFreed { cluster: cloud.wanted.name.clone(), left })
    }
}

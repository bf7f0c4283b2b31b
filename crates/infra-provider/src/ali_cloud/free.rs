//! How is one kind of thing given back: machines, address, network?

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join;

use super::api::Class;
use super::api::ecs::{DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup};
use super::api::eip::ReleaseEipAddress;
use super::api::vpc::{DeleteVSwitch, DeleteVpc};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class, lost_patience};
use super::failures::Failures;
use super::record::{Eip, Machine, Thing};
use super::tags::host_name;
use super::{address, discover};
use crate::{Error, ProviderEvent, Result};

/// The cloud deletes no more machines at once.
const PAGE: usize = 100;
/// So long an address may be in use before it is looked by whom.
const PATIENCE: Duration = Duration::from_secs(8);
/// So long a network may be in use before somebody unknown is looked for in it.
const IN_USE: Duration = Duration::from_secs(40);

/// Deletes machines, all of them or those with these ids; returns the prerequisite behind which their network is free.
pub(super) async fn free_machines(cloud: &Cloud<'_>, only: Option<&[String]>) -> Result<Option<Prerequisite>> {
    let ids: Vec<String> = cloud.record.with(|things| {
        let wanted = |id: &&String| only.is_none_or(|only| only.contains(id));
        things.machines.keys().filter(wanted).cloned().collect()
    });
    let mut failures = Failures::default();
    let mut pages: Vec<Vec<String>> = ids.chunks(PAGE).map(<[String]>::to_vec).collect();
    while let Some(page) = pages.pop() {
        match delete_page(cloud, page.clone()).await {
            Ok(()) => note_released(cloud, &page, only.is_some())?,
            // One that is protected keeps the others of its page; they are told apart by halves.
            Err(error) if page.len() > 1 && class(&error).is_some_and(Class::is_fatal) => {
                let (one, other) = page.split_at(page.len() / 2);
                pages.extend([one.to_vec(), other.to_vec()]);
                if is_everywhere(&error) {
                    return Err(error);
                }
            }
            Err(error) if class(&error) == Some(Class::Refused) => {
                failures.note(page[0].as_str(), Err(error)).unwrap_or(())
            }
            Err(error) => return Err(error),
        }
    }
    if !failures.is_empty() {
        failures.because("network");
    }
    failures.finish(cloud)?;
    Ok((!ids.is_empty()).then(|| Prerequisite::from_now(Pending::Gone)))
}

/// Whether every other call would be refused the same way.
fn is_everywhere(error: &Error) -> bool {
    !matches!(class(error), Some(Class::Refused | Class::Forbidden))
}

/// Writes down that the deletion of these machines was answered.
fn note_released(cloud: &Cloud<'_>, page: &[String], others_stay: bool) -> Result<()> {
    let name = |machine: &Machine| host_name(&cloud.wanted.name, machine.role, machine.index);
    let gone = cloud.record.with(|things| {
        let left = |id: &String| things.machines.get(id).map(|machine| (name(machine), machine.address));
        page.iter().filter_map(left).collect::<Vec<_>>()
    });
    cloud.keep(|things| {
        things.machines.retain(|id, _| !page.contains(id));
        things.updating.retain(|id| !page.contains(id));
        things.leaving.extend(page.iter().cloned());
        let bears = |eip: &&mut Eip| eip.bound_to.as_ref().is_some_and(|id| page.contains(id));
        // Releasing a machine frees its address, too; whether at once is not known, so it is asked for when all goes.
        if let Some(eip) = things.eip.as_mut().filter(bears).filter(|_| others_stay) {
            eip.bound_to = None;
        }
    })?;
    for (host, address) in gone {
        cloud.context.tell(ProviderEvent::Released { host, address });
    }
    Ok(())
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

/// Unbinds the public address and releases it.
pub(super) async fn free_address(cloud: &Cloud<'_>) -> Result<()> {
    loop {
        let prerequisite = address::unbind(cloud).await?;
        let Some(eip) = cloud.record.with(|things| things.eip.clone()) else { return Ok(()) };
        let release = ReleaseEipAddress { allocation_id: eip.id.clone() };
        match gone_is_fine(cloud.impatient(PATIENCE).change(&release, prerequisite).await) {
            // Somebody bears it.
            Err(error) if lost_patience(&error) => address::look(cloud).await?,
            Err(error) => return Err(error),
            Ok(()) => {
                freed(cloud, "public address", &eip.id);
                return cloud.keep(|things| things.eip = None);
            }
        }
    }
}

async fn free_key(cloud: &Cloud<'_>, prerequisite: Option<Prerequisite>) -> Result<()> {
    let Some(pair) = own(cloud.record.with(|things| things.key_pair.clone())) else { return Ok(()) };
    gone_is_fine(cloud.change(&DeleteKeyPairs { names: vec![pair.clone()] }, prerequisite).await)?;
    freed(cloud, "key pair", &pair);
    cloud.keep(|things| things.key_pair = None)
}

/// Frees vSwitches, security group and key pair; machines that nobody knew of are looked for when the network stays in
/// use. Returns the prerequisite behind which the VPC is free.
pub(super) async fn free_network(cloud: &Cloud<'_>, gone: Option<Prerequisite>) -> Result<Option<Prerequisite>> {
    let mut prerequisite = gone;
    loop {
        match network_once(&cloud.impatient(IN_USE), prerequisite).await {
            Err(error) if lost_patience(&error) => {
                discover::machines(cloud).await?;
                prerequisite = free_machines(cloud, None).await?;
            }
            other => return other,
        }
    }
}

async fn network_once(cloud: &Cloud<'_>, gone: Option<Prerequisite>) -> Result<Option<Prerequisite>> {
    let vswitches: BTreeMap<String, Thing> = cloud.record.with(|things| things.vswitches.clone());
    // The first one is the probe; what comes after it need not wait for the machines again.
    let mut prerequisite = gone;
    let mut last = None;
    for (zone, vswitch) in vswitches {
        if vswitch.own {
            gone_is_fine(cloud.change(&DeleteVSwitch { v_switch_id: vswitch.id.clone() }, prerequisite.take()).await)?;
            last = Some(Prerequisite::from_now(Pending::VSwitchGone));
            freed(cloud, "vSwitch", &vswitch.id);
        }
        cloud.keep(|things| drop(things.vswitches.remove(&zone)))?;
    }
    // A key pair belongs to its machines as long as there are any.
    if prerequisite.is_some() {
        free_group(cloud, prerequisite).await?;
        free_key(cloud, prerequisite).await?;
    } else {
        let (group, key) = join(free_group(cloud, None), free_key(cloud, None)).await;
        group.and(key)?;
    }
    Ok(last)
}

async fn free_group(cloud: &Cloud<'_>, prerequisite: Option<Prerequisite>) -> Result<()> {
    if let Some(group) = own(cloud.record.with(|things| things.security_group.clone())) {
        gone_is_fine(cloud.change(&DeleteSecurityGroup { security_group_id: group.clone() }, prerequisite).await)?;
        freed(cloud, "security group", &group);
    }
    cloud.keep(|things| things.security_group = None)
}

/// Deletes the VPC, behind the prerequisite of what stood in it last.
pub(super) async fn free_vpc(cloud: &Cloud<'_>, last: Option<Prerequisite>) -> Result<()> {
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

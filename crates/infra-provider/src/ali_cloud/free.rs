//! Deletes one kind of resource: machines, address, network, VPC.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join;

use super::api::Class;
use super::api::ecs::{delete_instances, delete_key_pairs, delete_security_group};
use super::api::eip::release_eip_address;
use super::api::vpc::{delete_vpc, delete_vswitch};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class, state_timed_out};
use super::failures::Failures;
use super::record::{Eip, Machine, Resource};
use super::tags::host_name;
use super::{address, discover};
use crate::{Error, ProviderEvent, Result};

/// The API deletes no more machines per call.
const PAGE_SIZE: usize = 100;
/// How long an address may be in use before its user is looked up.
const STATE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a network may be in use before unrecorded machines are searched for in it.
const IN_USE: Duration = Duration::from_secs(40);

/// Deletes machines, all of them or those with these ids; returns the state to wait for before their
/// network can be deleted.
pub(super) async fn free_machines(cloud: &Cloud<'_>, only: Option<&[String]>) -> Result<Option<Prerequisite>> {
    let ids: Vec<String> = cloud.record.with(|resources| {
        let wanted = |id: &&String| only.is_none_or(|only| only.contains(id));
        resources.machines.keys().filter(wanted).cloned().collect()
    });
    let mut failures = Failures::default();
    let mut pages: Vec<Vec<String>> = ids.chunks(PAGE_SIZE).map(<[String]>::to_vec).collect();
    while let Some(page) = pages.pop() {
        match delete_page(cloud, page.clone()).await {
            Ok(()) => note_released(cloud, &page, only.is_some())?,
            // One protected machine fails the whole page; it is isolated by bisection.
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

/// Whether every other call would fail the same way.
fn is_everywhere(error: &Error) -> bool {
    !matches!(class(error), Some(Class::Refused | Class::Forbidden))
}

/// Records that these machines were deleted.
fn note_released(cloud: &Cloud<'_>, page: &[String], others_stay: bool) -> Result<()> {
    let name = |machine: &Machine| host_name(&cloud.wanted.name, machine.role, machine.index);
    let gone = cloud.record.with(|resources| {
        let left = |id: &String| resources.machines.get(id).map(|machine| (name(machine), machine.address));
        page.iter().filter_map(left).collect::<Vec<_>>()
    });
    cloud.keep(|resources| {
        resources.machines.retain(|id, _| !page.contains(id));
        resources.updating.retain(|id| !page.contains(id));
        resources.leaving.extend(page.iter().cloned());
        let bears = |eip: &&mut Eip| eip.bound_to.as_ref().is_some_and(|id| page.contains(id));
        // Deleting a machine unbinds its address; whether at once is not documented, so a full deletion unbinds it itself.
        if let Some(eip) = resources.eip.as_mut().filter(bears).filter(|_| others_stay) {
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
        match cloud.change(&delete_instances(&ids), None).await {
            Ok(()) => return Ok(()),
            // One of them no longer exists; the API does not say which.
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
        let Some(eip) = cloud.record.with(|resources| resources.eip.clone()) else { return Ok(()) };
        let release = release_eip_address(&eip.id);
        match gone_is_fine(cloud.with_state_timeout(STATE_TIMEOUT).change(&release, prerequisite).await) {
            // It is bound to a machine.
            Err(error) if state_timed_out(&error) => address::refresh(cloud).await?,
            Err(error) => return Err(error),
            Ok(()) => {
                freed(cloud, "public address", &eip.id);
                return cloud.keep(|resources| resources.eip = None);
            }
        }
    }
}

async fn free_key(cloud: &Cloud<'_>, prerequisite: Option<Prerequisite>) -> Result<()> {
    let Some(pair) = own(cloud.record.with(|resources| resources.key_pair.clone())) else { return Ok(()) };
    gone_is_fine(cloud.change(&delete_key_pairs(std::slice::from_ref(&pair)), prerequisite).await)?;
    freed(cloud, "key pair", &pair);
    cloud.keep(|resources| resources.key_pair = None)
}

/// Deletes vSwitches, security group and key pair; searches for unrecorded machines when the network stays in use.
/// Returns the state to wait for before the VPC can be deleted.
pub(super) async fn free_network(cloud: &Cloud<'_>, gone: Option<Prerequisite>) -> Result<Option<Prerequisite>> {
    let mut prerequisite = gone;
    loop {
        match network_once(&cloud.with_state_timeout(IN_USE), prerequisite).await {
            Err(error) if state_timed_out(&error) => {
                discover::machines(cloud).await?;
                prerequisite = free_machines(cloud, None).await?;
            }
            other => return other,
        }
    }
}

async fn network_once(cloud: &Cloud<'_>, gone: Option<Prerequisite>) -> Result<Option<Prerequisite>> {
    let vswitches: BTreeMap<String, Resource> = cloud.record.with(|resources| resources.vswitches.clone());
    // The first deletion waits for the machines to be gone; those after it need not wait again.
    let mut prerequisite = gone;
    let mut last = None;
    for (zone, vswitch) in vswitches {
        if vswitch.own {
            gone_is_fine(cloud.change(&delete_vswitch(&vswitch.id), prerequisite.take()).await)?;
            last = Some(Prerequisite::from_now(Pending::VSwitchGone));
            freed(cloud, "vSwitch", &vswitch.id);
        }
        cloud.keep(|resources| drop(resources.vswitches.remove(&zone)))?;
    }
    // A key pair cannot be deleted while machines have it.
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
    if let Some(group) = own(cloud.record.with(|resources| resources.security_group.clone())) {
        gone_is_fine(cloud.change(&delete_security_group(&group), prerequisite).await)?;
        freed(cloud, "security group", &group);
    }
    cloud.keep(|resources| resources.security_group = None)
}

/// Deletes the VPC, once the vSwitch that was deleted last has left it.
pub(super) async fn free_vpc(cloud: &Cloud<'_>, last: Option<Prerequisite>) -> Result<()> {
    if let Some(vpc) = own(cloud.record.with(|resources| resources.vpc.clone())) {
        gone_is_fine(cloud.change(&delete_vpc(&vpc), last).await)?;
        freed(cloud, "VPC", &vpc);
    }
    cloud.keep(|resources| resources.vpc = None)
}

/// The id of a resource that was made for this cluster; the user's own are not deleted.
fn own(resource: Option<Resource>) -> Option<String> {
    resource.filter(|resource| resource.own).map(|resource| resource.id)
}

fn freed(cloud: &Cloud<'_>, what: &'static str, id: &str) {
    cloud.context.tell(ProviderEvent::Freed { what: what.to_owned(), id: id.to_owned() });
}

fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(class(&error), Some(Class::Gone | Class::Missing)) => Ok(()),
        other => other,
    }
}

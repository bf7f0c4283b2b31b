//! How is everything that was made for a cluster given back, and nothing else?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::api::Class;
use super::api::ecs::{DeleteInstances, DeleteKeyPairs, DeleteSecurityGroup};
use super::api::eip::ReleaseEipAddress;
use super::api::vpc::{DeleteVSwitch, DeleteVpc};
use super::cloud::{Cloud, Gate, class, lost_patience};
use super::machines::unanswered;
use super::record::{Eip, Machine, Thing, Things};
use super::settings::Role;
use super::tags::host_name;
use super::waits::Wait;
use super::{address, discover};
use crate::{Error, ProviderEvent, Result};
use futures_util::future::join;

/// The cloud deletes no more machines at once.
const PAGE: usize = 100;
/// So often everything is freed when more turns up that nobody remembers.
const ROUNDS: u32 = 8;
/// So long an address may be in use before it is looked by whom.
const PATIENCE: Duration = Duration::from_secs(8);
/// So long a network may be in use before somebody unknown is looked for in it.
const IN_USE: Duration = Duration::from_secs(40);

/// Gives everything back; what could not be freed is told at the end, and the same call goes on from there.
pub(super) async fn everything(cloud: &Cloud<'_>) -> Result<()> {
    let mut forgotten = look(cloud).await?;
    for _ in 0..ROUNDS {
        once(cloud).await?;
        if !forgotten {
            break;
        }
        // More than one of each may have been made in runs that nobody remembers.
        discover::surroundings(cloud).await?;
        forgotten = cloud.record.with(Things::is_anything);
    }
    cloud.record.forget()
}

async fn once(cloud: &Cloud<'_>) -> Result<()> {
    let mut failures = Failures::default();
    let rest = async {
        let gone = free_machines(cloud, None).await?;
        free_network(cloud, gone).await
    };
    let (address, rest) = join(free_address(cloud), rest).await;
    failures.note("public address", address);
    let last = failures.note("machines and network", rest).flatten();
    if failures.0.is_empty() {
        // It is found by its tag as long as anything is left, so it goes last.
        failures.note("VPC", free_vpc(cloud, last).await);
    }
    failures.finish(cloud)
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

/// Finds what is to be freed: by tag, and longer for what was begun and never confirmed. Returns whether there may be
/// things that nobody remembers.
async fn look(cloud: &Cloud<'_>) -> Result<bool> {
    let (open, looked) = cloud.record.with(|things| (things.intents.clone(), things.looked));
    discover::machines(cloud).await?;
    let orders = unanswered(cloud.record);
    discover::unconfirmed(cloud, &orders).await?;
    let forgotten = !looked || open.len() > orders.len();
    if forgotten {
        discover::surroundings(cloud).await?;
    }
    if open.contains_key("address") {
        discover::unconfirmed_address(cloud).await?;
    }
    if cloud.record.with(|things| things.eip.as_ref().is_some_and(|eip| eip.bound_to.is_none())) {
        // Whether an unconfirmed binding had its effect, the cloud knows.
        if open.keys().any(|step| step.starts_with("bind ")) {
            address::look(cloud).await?;
        }
    }
    // What was begun is known now as well as it can be; a token of it is never used again. Whoever comes after a deletion
    // that was broken off has to look what is left.
    cloud.keep(|things| {
        things.intents.clear();
        things.looked = false;
    })?;
    Ok(forgotten)
}

/// Deletes machines, all of them or those with these ids; returns the gate behind which their network is free.
async fn free_machines(cloud: &Cloud<'_>, only: Option<&[String]>) -> Result<Option<Gate>> {
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
    if !failures.0.is_empty() {
        failures.0.push(("network".to_owned(), None));
    }
    failures.finish(cloud)?;
    Ok((!ids.is_empty()).then(|| Gate::from_now(Wait::Gone)))
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

async fn free_address(cloud: &Cloud<'_>) -> Result<()> {
    loop {
        let gate = address::unbind(cloud).await?;
        let Some(eip) = cloud.record.with(|things| things.eip.clone()) else { return Ok(()) };
        let release = ReleaseEipAddress { allocation_id: eip.id.clone() };
        match gone_is_fine(cloud.impatient(PATIENCE).change(&release, gate).await) {
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

async fn free_key(cloud: &Cloud<'_>, gate: Option<Gate>) -> Result<()> {
    let Some(pair) = own(cloud.record.with(|things| things.key_pair.clone())) else { return Ok(()) };
    gone_is_fine(cloud.change(&DeleteKeyPairs { names: vec![pair.clone()] }, gate).await)?;
    freed(cloud, "key pair", &pair);
    cloud.keep(|things| things.key_pair = None)
}

/// Frees vSwitches, security group and key pair; machines that nobody knew of are looked for when the network stays in
/// use. Returns the gate behind which the VPC is free.
async fn free_network(cloud: &Cloud<'_>, gone: Option<Gate>) -> Result<Option<Gate>> {
    let mut gate = gone;
    loop {
        match network_once(&cloud.impatient(IN_USE), gate).await {
            Err(error) if lost_patience(&error) => {
                discover::machines(cloud).await?;
                gate = free_machines(cloud, None).await?;
            }
            other => return other,
        }
    }
}

async fn network_once(cloud: &Cloud<'_>, gone: Option<Gate>) -> Result<Option<Gate>> {
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
    // A key pair belongs to its machines as long as there are any.
    if gate.is_some() {
        free_group(cloud, gate).await?;
        free_key(cloud, gate).await?;
    } else {
        let (group, key) = join(free_group(cloud, None), free_key(cloud, None)).await;
        group.and(key)?;
    }
    Ok(last)
}

async fn free_group(cloud: &Cloud<'_>, gate: Option<Gate>) -> Result<()> {
    if let Some(group) = own(cloud.record.with(|things| things.security_group.clone())) {
        gone_is_fine(cloud.change(&DeleteSecurityGroup { security_group_id: group.clone() }, gate).await)?;
        freed(cloud, "security group", &group);
    }
    cloud.keep(|things| things.security_group = None)
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

/// What could not be freed, and why; without a reason because of the others.
#[derive(Default)]
struct Failures(Vec<(String, Option<Error>)>);

impl Failures {
    fn note<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push((what.to_owned(), Some(error)))).ok()
    }

    fn finish(mut self, cloud: &Cloud<'_>) -> Result<()> {
        if let (1, Some((_, Some(_)))) = (self.0.len(), self.0.last()) {
            return self.0.pop().and_then(|(_, error)| error).map_or(Ok(()), Err);
        }
        let line = |(what, error): (String, Option<Error>)| match error {
            Some(Error::NotFreed { left, .. }) => left,
            Some(error) => vec![format!("{what}: {error}")],
            None => vec![format!("{what}: the machines are in it")],
        };
        let left: Vec<String> = self.0.into_iter().flat_map(line).collect();
        if left.is_empty() { Ok(()) } else { Err(Error::NotFreed { cluster: cloud.wanted.name.clone(), left }) }
    }
}

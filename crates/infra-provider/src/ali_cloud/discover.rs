//! Finds what exists of a cluster by its tags, whether it is recorded or not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::api::ecs::{Instance, RUN, describe_instances, describe_key_pairs, describe_security_groups};
use super::api::eip::{ASSOCIATE, describe_eip_addresses};
use super::api::vpc::{describe_vpcs, describe_vswitches};
use super::cloud::Cloud;
use super::orders::Step;
use super::record::{Eip, Machine, Resource, Resources};
use super::settings::Role;
use super::{annotations, tags};
use crate::{Error, Result};

/// How often something whose making was never confirmed is searched for; new resources are not listed at once.
pub(super) const MAX_LOOKUPS: u32 = 5;
/// How long after each look.
pub(super) const LOOKUP_INTERVAL: Duration = Duration::from_secs(3);

/// The machines that exist when a run begins. Of a cluster of which nothing is remembered here, everything else that
/// was made for it is searched for, too: it is taken over, not made again.
///
/// Its VPC is the first resource to come and the last to go, so where there is none and the Clusterfile names nothing, one
/// look is enough. Of a cluster that is `new` here, what there is was made by somebody else and is left alone.
pub(super) async fn existing(cloud: &Cloud<'_>, new: bool) -> Result<Vec<Instance>> {
    if cloud.record.with(|resources| resources.searched) {
        begun(cloud).await?;
        return machines(cloud).await;
    }
    // What an earlier deletion left in the record may be gone.
    cloud.record.change(Resources::clear_resources)?;
    let mut listed = Vec::new();
    if annotations::names_resources(&cloud.wanted.annotations) || any_vpc(cloud).await? {
        if new {
            let cluster = cloud.wanted.name.clone();
            return Err(Error::ClusterExists { cluster, region: cloud.client.region().to_owned() });
        }
        other_resources(cloud).await?;
        listed = machines(cloud).await?;
        await_listed(cloud, &mut listed).await?;
    }
    cloud.record.change(|resources| resources.searched = true)?;
    Ok(listed)
}

/// Finds what an earlier run began to make around the machines and never saw answered: repeating the call gives the first
/// answer for a day only, and makes a second one after that.
async fn begun(cloud: &Cloud<'_>) -> Result<()> {
    let open = |resources: &Resources| {
        resources.intents.values().any(|intent| ![RUN, ASSOCIATE].contains(&intent.action.as_str()))
    };
    if !cloud.record.with(open) {
        return Ok(());
    }
    other_resources(cloud).await?;
    cloud.keep(|resources| {
        let Resources { vpc, vswitches, security_group, key_pair, eip, intents, .. } = resources;
        intents.retain(|step, _| match step.as_str() {
            "vpc" => vpc.is_none(),
            "security group" => security_group.is_none(),
            "key pair" => key_pair.is_none(),
            "address" => eip.is_none(),
            other => !other.strip_prefix("vswitch ").is_some_and(|zone| vswitches.contains_key(zone)),
        });
    })
}

async fn any_vpc(cloud: &Cloud<'_>) -> Result<bool> {
    let cluster = &cloud.wanted.name;
    let vpcs = cloud.list(describe_vpcs(None, &tags::search(cluster))).await?;
    Ok(vpcs.iter().any(|vpc| tags::is_own(&vpc.tags, cluster)))
}

/// Machines that the Clusterfile knows of are searched for a while when they do not show: new ones are not listed at once.
async fn await_listed(cloud: &Cloud<'_>, listed: &mut Vec<Instance>) -> Result<()> {
    let ids = annotations::machines(&cloud.wanted.annotations);
    let known = || cloud.record.with(|resources| ids.iter().all(|id| resources.machines.contains_key(id)));
    for _ in 1..MAX_LOOKUPS {
        if known() {
            break;
        }
        cloud.context.sleep(LOOKUP_INTERVAL).await?;
        *listed = machines(cloud).await?;
    }
    Ok(())
}

/// All machines that were made for the cluster and are not leaving, wherever that was remembered.
pub(super) async fn machines(cloud: &Cloud<'_>) -> Result<Vec<Instance>> {
    let cluster = &cloud.wanted.name;
    let mut listed = cloud.list(describe_instances(&[], &tags::search(cluster))).await?;
    listed.retain(|instance| tags::is_own(&instance.tags, cluster));
    let leaving = cloud.record.change(|resources| {
        resources.leaving.retain(|id| listed.iter().any(|instance| instance.instance_id == *id));
        resources.leaving.clone()
    })?;
    listed.retain(|instance| !leaving.contains(&instance.instance_id));
    adopt_machines(cloud, &listed)?;
    Ok(listed)
}

/// Takes everything else that was made for the cluster into the record, for when that does not know of it.
pub(super) async fn other_resources(cloud: &Cloud<'_>) -> Result<()> {
    let cluster = &cloud.wanted.name;
    let tags = tags::search(cluster);
    let (vpcs, vswitches, groups, pairs, addresses) = futures_util::try_join!(
        cloud.list(describe_vpcs(None, &tags)),
        cloud.list(describe_vswitches(None, None, &tags)),
        cloud.list(describe_security_groups(&tags)),
        cloud.list(describe_key_pairs(&tags)),
        addresses(cloud),
    )?;
    let own = |tags: &[super::api::Tag]| tags::is_own(tags, cluster);
    cloud.keep(|resources| {
        for vpc in vpcs.into_iter().filter(|vpc| own(&vpc.tags)) {
            made(&mut resources.vpc, vpc.vpc_id);
        }
        for vswitch in vswitches.into_iter().filter(|vswitch| own(&vswitch.tags)) {
            let mut known = resources.vswitches.remove(&vswitch.zone_id);
            made(&mut known, vswitch.v_switch_id);
            resources.vswitches.extend(known.map(|known| (vswitch.zone_id, known)));
        }
        for group in groups.into_iter().filter(|group| own(&group.tags)) {
            made(&mut resources.security_group, group.security_group_id);
        }
        for pair in pairs.into_iter().filter(|pair| own(&pair.tags)) {
            made(&mut resources.key_pair, pair.key_pair_name);
        }
        for eip in addresses {
            resources.eip.get_or_insert(eip);
        }
    })
}

/// Takes note of something that bears the cluster's tag; that machines stand in it did not tell whose it is.
fn made(place: &mut Option<Resource>, id: String) {
    match place {
        Some(known) if known.id == id => known.own = true,
        Some(_) => {}
        None => *place = Some(Resource { id, own: true }),
    }
}

/// The public addresses that were allocated for the cluster.
pub(super) async fn addresses(cloud: &Cloud<'_>) -> Result<Vec<Eip>> {
    let cluster = &cloud.wanted.name;
    let listed = cloud
        .list(describe_eip_addresses(None, &tags::search(cluster)))
        .await?
        .into_iter()
        .filter(|eip| tags::is_own(&eip.tags, cluster));
    let read = |eip: super::api::eip::Eip| {
        let bound_to = Some(eip.instance_id).filter(|id| !id.is_empty());
        Some(Eip { id: eip.allocation_id, address: eip.ip_address.parse().ok()?, bound_to })
    };
    Ok(listed.filter_map(read).collect())
}

/// Looks for machines whose order was never confirmed, until they show or should have.
pub(super) async fn unconfirmed(cloud: &Cloud<'_>, orders: &[Step]) -> Result<()> {
    let settled = || cloud.record.with(|resources| orders.iter().all(|order| order.is_filled(resources)));
    for look in 0..MAX_LOOKUPS {
        if settled() {
            break;
        }
        if look > 0 {
            cloud.context.sleep(LOOKUP_INTERVAL).await?;
        }
        machines(cloud).await?;
    }
    if orders.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = orders.iter().map(ToString::to_string).collect();
    cloud.keep(|resources| resources.intents.retain(|name, _| !names.contains(name)))
}

/// Looks for a public address whose allocation was never confirmed, until it shows or should have.
pub(super) async fn unconfirmed_address(cloud: &Cloud<'_>) -> Result<()> {
    for look in 0..MAX_LOOKUPS {
        if cloud.record.with(|resources| resources.eip.is_some()) {
            break;
        }
        if look > 0 {
            cloud.context.sleep(LOOKUP_INTERVAL).await?;
        }
        let found = addresses(cloud).await?.into_iter().next();
        cloud.keep(|resources| resources.eip = resources.eip.take().or(found))?;
    }
    Ok(())
}

/// Takes machines into the record that are not in it, with what can be told about them.
fn adopt_machines(cloud: &Cloud<'_>, listed: &[Instance]) -> Result<()> {
    let cluster = &cloud.wanted.name;
    let strangers: Vec<&Instance> = cloud.record.with(|resources| {
        listed.iter().filter(|instance| !resources.machines.contains_key(&instance.instance_id)).collect()
    });
    if strangers.is_empty() {
        return Ok(());
    }
    cloud.keep(|resources| {
        let mut free: BTreeMap<Role, u32> = BTreeMap::new();
        for instance in strangers {
            let (role, number) =
                tags::read(instance, cluster).map_or((Role::Node, None), |(role, number)| (role, Some(number)));
            let taken = |resources: &super::record::Resources, number: u32| {
                resources.machines.values().any(|machine| machine.role == role && machine.index == number)
            };
            let index = number.filter(|number| !taken(resources, *number)).unwrap_or_else(|| {
                let next = free.entry(role).or_insert(0);
                while taken(resources, *next) {
                    *next += 1;
                }
                *next
            });
            let address: Option<IpAddr> = instance.private_ip();
            let machine = Machine { role, index, address, instance_type: instance.instance_type.clone() };
            resources.machines.insert(instance.instance_id.clone(), machine);
            let given = |id: &str| Resource { id: id.to_owned(), own: false };
            if !instance.vpc_id().is_empty() {
                resources.vpc.get_or_insert_with(|| given(instance.vpc_id()));
            }
            if !instance.v_switch_id().is_empty() {
                let vswitch = || given(instance.v_switch_id());
                resources.vswitches.entry(instance.zone_id.clone()).or_insert_with(vswitch);
            }
            if let Some(group) = instance.security_group_ids.first() {
                resources.security_group.get_or_insert_with(|| given(group));
            }
        }
    })
}

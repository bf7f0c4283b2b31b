//! What of a cluster exists already, whether it was remembered or not?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::api::ecs::{DescribeInstances, DescribeKeyPairs, DescribeSecurityGroups, Instance};
use super::api::eip::DescribeEipAddresses;
use super::api::vpc::{DescribeVSwitches, DescribeVpcs};
use super::cloud::Cloud;
use super::record::{Eip, Machine, Thing};
use super::settings::Role;
use super::tags;
use crate::Result;

/// How often something whose making was never confirmed is looked for; new things are not listed at once.
const LOOKS: u32 = 5;
/// How long after each look.
const BETWEEN: Duration = Duration::from_secs(3);

/// All machines that were made for the cluster, wherever that was remembered.
pub(super) async fn machines(cloud: &Cloud<'_>) -> Result<Vec<Instance>> {
    let cluster = &cloud.wanted.name;
    let asked = DescribeInstances { tags: tags::search(cluster), ..DescribeInstances::default() };
    let mut listed = cloud.list(asked).await?;
    listed.retain(|instance| tags::is_own(&instance.tags, cluster));
    adopt_machines(cloud, &listed)?;
    Ok(listed)
}

/// Everything else that was made for the cluster, for when nothing is remembered.
pub(super) async fn surroundings(cloud: &Cloud<'_>) -> Result<()> {
    let cluster = &cloud.wanted.name;
    let tags = tags::search(cluster);
    let vpcs = DescribeVpcs { tags: tags.clone(), ..DescribeVpcs::default() };
    let vswitches = DescribeVSwitches { tags: tags.clone(), ..DescribeVSwitches::default() };
    let groups = DescribeSecurityGroups { tags: tags.clone(), ..DescribeSecurityGroups::default() };
    let pairs = DescribeKeyPairs { tags: tags.clone(), ..DescribeKeyPairs::default() };
    let (vpcs, vswitches, groups, pairs, addresses) = futures_util::try_join!(
        cloud.list(vpcs),
        cloud.list(vswitches),
        cloud.list(groups),
        cloud.list(pairs),
        addresses(cloud),
    )?;
    let own = |tags: &[super::api::Tag]| tags::is_own(tags, cluster);
    cloud.keep(|things| {
        for vpc in vpcs.into_iter().filter(|vpc| own(&vpc.tags)) {
            made(&mut things.vpc, vpc.vpc_id);
        }
        for vswitch in vswitches.into_iter().filter(|vswitch| own(&vswitch.tags)) {
            let mut known = things.vswitches.remove(&vswitch.zone_id);
            made(&mut known, vswitch.v_switch_id);
            things.vswitches.extend(known.map(|known| (vswitch.zone_id, known)));
        }
        for group in groups.into_iter().filter(|group| own(&group.tags)) {
            made(&mut things.security_group, group.security_group_id);
        }
        for pair in pairs.into_iter().filter(|pair| own(&pair.tags)) {
            made(&mut things.key_pair, pair.key_pair_name);
        }
        for eip in addresses {
            things.eip.get_or_insert(eip);
        }
    })
}

/// Takes note of something that bears the cluster's tag; that machines stand in it did not tell whose it is.
fn made(place: &mut Option<Thing>, id: String) {
    match place {
        Some(known) if known.id == id => known.own = true,
        Some(_) => {}
        None => *place = Some(Thing { id, own: true }),
    }
}

/// The public addresses that were allocated for the cluster.
pub(super) async fn addresses(cloud: &Cloud<'_>) -> Result<Vec<Eip>> {
    let cluster = &cloud.wanted.name;
    let asked = DescribeEipAddresses { tags: tags::search(cluster), ..DescribeEipAddresses::default() };
    let listed = cloud.list(asked).await?.into_iter().filter(|eip| tags::is_own(&eip.tags, cluster));
    let read = |eip: super::api::eip::Eip| {
        let bound_to = Some(eip.instance_id).filter(|id| !id.is_empty());
        Some(Eip { id: eip.allocation_id, address: eip.ip_address.parse().ok()?, bound_to })
    };
    Ok(listed.filter_map(read).collect())
}

/// Looks for machines whose order was never confirmed, until they show or should have.
pub(super) async fn unconfirmed(cloud: &Cloud<'_>, orders: &[String]) -> Result<()> {
    let before = cloud.record.with(|things| things.machines.len());
    for look in 0..LOOKS {
        if orders.is_empty() || cloud.record.with(|things| things.machines.len()) > before {
            break;
        }
        if look > 0 {
            sleep(BETWEEN).await;
        }
        machines(cloud).await?;
    }
    cloud.keep(|things| things.intents.retain(|step, _| !orders.contains(step)))
}

/// Looks for a public address whose allocation was never confirmed, until it shows or should have.
pub(super) async fn unconfirmed_address(cloud: &Cloud<'_>) -> Result<()> {
    for look in 0..LOOKS {
        if cloud.record.with(|things| things.eip.is_some()) {
            break;
        }
        if look > 0 {
            sleep(BETWEEN).await;
        }
        let found = addresses(cloud).await?.into_iter().next();
        cloud.keep(|things| things.eip = things.eip.take().or(found))?;
    }
    Ok(())
}

/// Takes machines into the record that are not in it, with what can be told about them.
fn adopt_machines(cloud: &Cloud<'_>, listed: &[Instance]) -> Result<()> {
    let cluster = &cloud.wanted.name;
    let strangers: Vec<&Instance> = cloud
        .record
        .with(|things| listed.iter().filter(|instance| !things.machines.contains_key(&instance.instance_id)).collect());
    if strangers.is_empty() {
        return Ok(());
    }
    cloud.keep(|things| {
        let mut free: BTreeMap<Role, u32> = BTreeMap::new();
        for instance in strangers {
            let (role, number) =
                tags::read(instance, cluster).map_or((Role::Node, None), |(role, number)| (role, Some(number)));
            let taken = |things: &super::record::Things, number: u32| {
                things.machines.values().any(|machine| machine.role == role && machine.index == number)
            };
            let index = number.filter(|number| !taken(things, *number)).unwrap_or_else(|| {
                let next = free.entry(role).or_insert(0);
                while taken(things, *next) {
                    *next += 1;
                }
                *next
            });
            let address: Option<IpAddr> = instance.private_ip();
            let machine = Machine { role, index, address, instance_type: instance.instance_type.clone() };
            things.machines.insert(instance.instance_id.clone(), machine);
            let given = |id: &str| Thing { id: id.to_owned(), own: false };
            if !instance.vpc_id().is_empty() {
                things.vpc.get_or_insert_with(|| given(instance.vpc_id()));
            }
            if !instance.v_switch_id().is_empty() {
                let vswitch = || given(instance.v_switch_id());
                things.vswitches.entry(instance.zone_id.clone()).or_insert_with(vswitch);
            }
            if let Some(group) = instance.security_group_ids.first() {
                things.security_group.get_or_insert_with(|| given(group));
            }
        }
    })
}

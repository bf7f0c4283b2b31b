//! In which order do all things of a cluster come into being, with nothing waited for in vain?

use std::collections::BTreeMap;

use futures_util::future::{join, join3};

use super::address;
use super::api::ecs::{DescribeAvailableResource, Stock};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite};
use super::discover;
use super::machines::{Order, order};
use super::network;
use super::orders::settle;
use super::record::Things;
use super::running;
use super::settings::{Group, Role, Wish};
use super::stock::{Candidates, candidates};
use crate::{Error, PendingUpdate, ProviderEvent, Result};

/// So often machines that vanished while they were made are replaced.
const ROUNDS: u32 = 3;

/// What a run was told besides the wish.
pub(super) struct Terms<'a> {
    /// Who may reach SSH and the API server.
    pub(super) open_for: &'a [String],
    /// The line for `authorized_keys`; none when machines are opened by a password.
    pub(super) public_key: Option<&'a str>,
    /// Whether nothing of the cluster was ever made from here.
    pub(super) new: bool,
}

/// Makes what is missing, until every wanted machine runs at an address of its own and the first master is public.
/// Returns the machines that have another size than wanted.
pub(super) async fn complete(cloud: &Cloud<'_>, wish: &Wish, terms: &Terms<'_>) -> Result<Vec<PendingUpdate>> {
    let listed = discover::existing(cloud, terms.new).await?;
    for round in 0..ROUNDS {
        let open = settle(cloud, &missing(cloud, wish)).await?;
        discover::unconfirmed(cloud, &open).await?;
        let missing = missing(cloud, wish);
        let prerequisite = if missing.iter().all(|(_, numbers)| numbers.is_empty()) {
            address::allocate(cloud, wish).await?;
            // The operator may come from another address than before.
            network::reopen(cloud, terms.open_for).await?;
            Prerequisite::unknown(Pending::Running)
        } else {
            make(cloud, wish, terms, &missing).await?;
            Prerequisite::from_now(Pending::Running)
        };
        let mut lost = running::await_running(cloud, prerequisite).await?;
        if cloud.record.with(|things| things.eip.is_none()) {
            // Somebody gave the public address back.
            address::allocate(cloud, wish).await?;
            lost.extend(running::await_running(cloud, Prerequisite::unknown(Pending::Running)).await?);
        }
        if lost.is_empty() {
            unclaimed(cloud, wish);
            return super::update::pending(cloud, wish, &listed);
        }
        for machine in lost {
            cloud.context.tell(ProviderEvent::Lost { machine, round: round + 1 });
        }
    }
    Err(Error::Vanishing { cluster: wish.cluster.clone() })
}

/// The numbers of machines that are wanted and not there, by role.
fn missing(cloud: &Cloud<'_>, wish: &Wish) -> Vec<(Role, Vec<u32>)> {
    let lacking = |group: &Group, things: &Things| {
        let taken: Vec<u32> = things.of_role(group.role).into_iter().map(|(_, machine)| machine.index).collect();
        let lack = (group.count as usize).saturating_sub(taken.len());
        (group.role, (0..).filter(|number| !taken.contains(number)).take(lack).collect())
    };
    cloud.record.with(|things| vec![lacking(&wish.masters, things), lacking(&wish.nodes, things)])
}

/// Orders what is missing, and before it everything that machines stand on.
async fn make(cloud: &Cloud<'_>, wish: &Wish, terms: &Terms<'_>, missing: &[(Role, Vec<u32>)]) -> Result<()> {
    let zone = given_zone(cloud, wish).await?;
    // What was begun is finished before an error is told: its answer must not be lost.
    let (candidates, network) = join(stock(cloud, wish, missing, zone.as_deref()), network::vpc(cloud, wish)).await;
    let (candidates, (vpc, prerequisite)) = (candidates?, network?);
    let first = &candidates.first().ok_or_else(|| nothing_offered(cloud, wish))?.zone;

    let key = async {
        match (&wish.key_pair, terms.public_key) {
            (None, None) => Ok(None),
            (_, key) => network::key_pair(cloud, wish, key.unwrap_or_default()).await.map(Some),
        }
    };
    // The vSwitch is the one probe of the VPC; what else needs the VPC comes after it. What needs no VPC comes after
    // its making all the same: as long as anything exists, the VPC does, and a run that knows nothing finds it.
    let (vswitch, key_pair, address) =
        join3(network::vswitch(cloud, wish, (&vpc, prerequisite), first), key, address::allocate(cloud, wish)).await;
    let ((_, prerequisite), key_pair) = (vswitch?, key_pair?);
    address?;
    let security_group = network::security_group(cloud, wish, &vpc, terms.open_for).await?;

    let mut prerequisites: BTreeMap<String, Prerequisite> =
        prerequisite.map(|prerequisite| (first.clone(), prerequisite)).into_iter().collect();
    let terms = Order {
        wish,
        vpc: &vpc,
        security_group: &security_group,
        key_pair: key_pair.as_deref(),
        candidates: &candidates,
    };
    for (role, numbers) in missing.iter().filter(|(_, numbers)| !numbers.is_empty()) {
        let group = match role {
            Role::Master => &wish.masters,
            Role::Node => &wish.nodes,
        };
        order(cloud, &terms, group, numbers.clone(), &mut prerequisites).await?;
    }
    Ok(())
}

/// The zone that the user decided for, by name or by a vSwitch.
async fn given_zone(cloud: &Cloud<'_>, wish: &Wish) -> Result<Option<String>> {
    let known = cloud.record.with(|things| {
        let given = things.vswitches.iter().find(|(_, vswitch)| Some(&vswitch.id) == wish.vswitch.as_ref());
        given.map(|(zone, _)| zone.clone())
    });
    let own = cloud.record.with(|things| {
        wish.vswitch.as_ref().is_some_and(|id| things.vswitches.values().any(|known| known.own && known.id == *id))
    });
    Ok(match (&wish.vswitch, known) {
        // What an earlier run made and wrote down decides nothing: machines may go to another zone.
        (Some(_), _) if own => None,
        (Some(_), Some(zone)) => Some(zone),
        (Some(id), None) => Some(network::given_vswitch(cloud, id).await?.zone_id),
        (None, _) => wish.zone.clone().filter(|zone| cloud.record.with(|things| !things.vswitches.contains_key(zone))),
    })
}

async fn stock(
    cloud: &Cloud<'_>,
    wish: &Wish,
    missing: &[(Role, Vec<u32>)],
    zone: Option<&str>,
) -> Result<Vec<Candidates>> {
    let lacks = |role: Role| missing.iter().any(|(other, numbers)| *other == role && !numbers.is_empty());
    let of = |group: &Group| Group { count: u32::from(lacks(group.role)), ..group.clone() };
    let (masters, nodes) = (of(&wish.masters), of(&wish.nodes));
    let (for_masters, for_nodes) = match (masters.count, nodes.count) {
        (1, 1) if !masters.same_size(&nodes) => {
            let both = join(offered(cloud, &masters), offered(cloud, &nodes)).await;
            (both.0?, both.1?)
        }
        (1, _) => (offered(cloud, &masters).await?, None),
        _ => (offered(cloud, &nodes).await?, None),
    };
    let empty = Stock::default();
    let one = for_masters.as_ref().unwrap_or(&empty);
    let mut found = candidates((&masters, one), (&nodes, for_nodes.as_ref().unwrap_or(one)), zone);
    // Zones in which the cluster has a network already come first.
    let known = |zone: &str| {
        cloud
            .record
            .with(|things| things.vswitches.contains_key(zone) || things.intents.contains_key(&network::step(zone)))
    };
    found.sort_by_key(|candidates| !known(&candidates.zone));
    Ok(found)
}

async fn offered(cloud: &Cloud<'_>, group: &Group) -> Result<Option<Stock>> {
    let by_size = group.types.is_empty();
    let asked = DescribeAvailableResource {
        cores: by_size.then_some(group.cpu),
        memory: by_size.then_some(f64::from(group.memory_gib)),
        instance_type: (group.types.len() == 1).then(|| group.types[0].clone()),
        instance_charge_type: Some("PostPaid".to_owned()),
        ..DescribeAvailableResource::default()
    };
    cloud.ask(&asked).await.map(Some)
}

fn nothing_offered(cloud: &Cloud<'_>, wish: &Wish) -> Error {
    let group = &wish.masters;
    Error::NothingOffered {
        cluster: wish.cluster.clone(),
        region: cloud.client.region().to_owned(),
        size: format!("{} processors and {} GiB of memory", group.cpu, group.memory_gib),
    }
}

/// Tells of machines that are there and not wanted; they stay until they are released.
fn unclaimed(cloud: &Cloud<'_>, wish: &Wish) {
    let things = cloud.record.things();
    for (role, count) in [(Role::Master, wish.masters.count), (Role::Node, wish.nodes.count)] {
        for (id, machine) in super::hosts::ordered(&things, role).into_iter().skip(count as usize) {
            if let Some(address) = machine.address {
                cloud.context.tell(ProviderEvent::Unclaimed { host: id.clone(), address });
            }
        }
    }
}

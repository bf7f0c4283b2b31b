//! Creates everything that a cluster lacks, in the order that waits least.

use std::collections::BTreeMap;

use futures_util::future::{join, join3};

use super::address;
use super::api::ecs::{Stock, describe_available_resource};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite};
use super::discover;
use super::machines::{Order, order};
use super::network;
use super::orders::repeat_unanswered;
use super::record::Resources;
use super::running;
use super::settings::{ClusterSpec, Group, Role};
use super::stock::{Candidates, candidates};
use crate::{Error, PendingUpdate, ProviderEvent, Result};

/// How often machines that vanish while they start are replaced.
const MAX_ROUNDS: u32 = 3;

/// What the caller says besides the Clusterfile.
pub(super) struct CreateOptions<'a> {
    /// Who may reach SSH and the API server.
    pub(super) admin_cidrs: &'a [String],
    /// The line for `authorized_keys`; none when machines are opened by a password.
    pub(super) public_key: Option<&'a str>,
    /// Whether nothing of the cluster was ever made from this state directory.
    pub(super) new: bool,
}

/// Makes what is missing, until every wanted machine runs at an address of its own and the first master is public.
/// Returns the machines that have another size than wanted.
pub(super) async fn complete(
    cloud: &Cloud<'_>,
    spec: &ClusterSpec,
    options: &CreateOptions<'_>,
) -> Result<Vec<PendingUpdate>> {
    let listed = discover::existing(cloud, options.new).await?;
    for round in 0..MAX_ROUNDS {
        let open = repeat_unanswered(cloud, &missing(cloud, spec)).await?;
        discover::unconfirmed(cloud, &open).await?;
        let missing = missing(cloud, spec);
        let prerequisite = if missing.iter().all(|(_, numbers)| numbers.is_empty()) {
            address::allocate(cloud, spec).await?;
            // The operator may have another address than before.
            network::reopen(cloud, options.admin_cidrs).await?;
            Prerequisite::unknown(Pending::Running)
        } else {
            make(cloud, spec, options, &missing).await?;
            Prerequisite::from_now(Pending::Running)
        };
        let mut lost = running::await_running(cloud, prerequisite).await?;
        if cloud.record.with(|resources| resources.eip.is_none()) {
            // Somebody released the public address.
            address::allocate(cloud, spec).await?;
            lost.extend(running::await_running(cloud, Prerequisite::unknown(Pending::Running)).await?);
        }
        if lost.is_empty() {
            unclaimed(cloud, spec);
            return super::update::pending(cloud, spec, &listed);
        }
        for machine in lost {
            cloud.context.tell(ProviderEvent::Lost { machine, round: round + 1 });
        }
    }
    Err(Error::MachinesVanish { cluster: spec.cluster.clone() })
}

/// The numbers of wanted machines that do not exist, by role.
fn missing(cloud: &Cloud<'_>, spec: &ClusterSpec) -> Vec<(Role, Vec<u32>)> {
    let lacking = |group: &Group, resources: &Resources| {
        let taken: Vec<u32> = resources.of_role(group.role).into_iter().map(|(_, machine)| machine.index).collect();
        let lack = (group.count as usize).saturating_sub(taken.len());
        (group.role, (0..).filter(|number| !taken.contains(number)).take(lack).collect())
    };
    cloud.record.with(|resources| vec![lacking(&spec.masters, resources), lacking(&spec.nodes, resources)])
}

/// Orders missing machines, after the network, key and address that they need.
async fn make(
    cloud: &Cloud<'_>,
    spec: &ClusterSpec,
    options: &CreateOptions<'_>,
    missing: &[(Role, Vec<u32>)],
) -> Result<()> {
    let zone = given_zone(cloud, spec).await?;
    // A request that was sent is awaited before an error is returned: its response must not be lost.
    let (candidates, network) = join(stock(cloud, spec, missing, zone.as_deref()), network::vpc(cloud, spec)).await;
    let (candidates, (vpc, prerequisite)) = (candidates?, network?);
    let first = &candidates.first().ok_or_else(|| nothing_offered(cloud, spec))?.zone;

    let key = async {
        match (&spec.key_pair, options.public_key) {
            (None, None) => Ok(None),
            (_, key) => network::key_pair(cloud, spec, key.unwrap_or_default()).await.map(Some),
        }
    };
    // The vSwitch is the one call that tests whether the VPC is ready; the security group comes after it. The key and
    // the address need no VPC and come after it all the same: a run without a record finds them through the VPC.
    let (vswitch, key_pair, address) =
        join3(network::vswitch(cloud, spec, (&vpc, prerequisite), first), key, address::allocate(cloud, spec)).await;
    let ((_, prerequisite), key_pair) = (vswitch?, key_pair?);
    address?;
    let security_group = network::security_group(cloud, spec, &vpc, options.admin_cidrs).await?;

    let mut prerequisites: BTreeMap<String, Prerequisite> =
        prerequisite.map(|prerequisite| (first.clone(), prerequisite)).into_iter().collect();
    let placement = Order {
        spec,
        vpc: &vpc,
        security_group: &security_group,
        key_pair: key_pair.as_deref(),
        candidates: &candidates,
    };
    for (role, numbers) in missing.iter().filter(|(_, numbers)| !numbers.is_empty()) {
        let group = match role {
            Role::Master => &spec.masters,
            Role::Node => &spec.nodes,
        };
        order(cloud, &placement, group, numbers.clone(), &mut prerequisites).await?;
    }
    Ok(())
}

/// The zone that the user chose, by name or by a vSwitch.
async fn given_zone(cloud: &Cloud<'_>, spec: &ClusterSpec) -> Result<Option<String>> {
    let known = cloud.record.with(|resources| {
        let given = resources.vswitches.iter().find(|(_, vswitch)| Some(&vswitch.id) == spec.vswitch.as_ref());
        given.map(|(zone, _)| zone.clone())
    });
    let own = cloud.record.with(|resources| {
        spec.vswitch.as_ref().is_some_and(|id| resources.vswitches.values().any(|known| known.own && known.id == *id))
    });
    Ok(match (&spec.vswitch, known) {
        // A vSwitch that an earlier run made does not bind the user: machines may go to another zone.
        (Some(_), _) if own => None,
        (Some(_), Some(zone)) => Some(zone),
        (Some(id), None) => Some(network::given_vswitch(cloud, id).await?.zone_id),
        (None, _) => {
            spec.zone.clone().filter(|zone| cloud.record.with(|resources| !resources.vswitches.contains_key(zone)))
        }
    })
}

async fn stock(
    cloud: &Cloud<'_>,
    spec: &ClusterSpec,
    missing: &[(Role, Vec<u32>)],
    zone: Option<&str>,
) -> Result<Vec<Candidates>> {
    let lacks = |role: Role| missing.iter().any(|(other, numbers)| *other == role && !numbers.is_empty());
    let of = |group: &Group| Group { count: u32::from(lacks(group.role)), ..group.clone() };
    let (masters, nodes) = (of(&spec.masters), of(&spec.nodes));
    let (for_masters, for_nodes) = match (masters.count, nodes.count) {
        (1, 1) if !masters.same_size(&nodes) => {
            let both = join(offered(cloud, &masters), offered(cloud, &nodes)).await;
            (both.0?, Some(both.1?))
        }
        (1, _) => (offered(cloud, &masters).await?, None),
        _ => (offered(cloud, &nodes).await?, None),
    };
    let for_nodes = for_nodes.as_ref().unwrap_or(&for_masters);
    let mut found = candidates((&masters, &for_masters), (&nodes, for_nodes), zone);
    // Zones that already have a vSwitch of the cluster come first.
    let known = |zone: &str| {
        cloud.record.with(|resources| {
            resources.vswitches.contains_key(zone) || resources.intents.contains_key(&network::step(zone))
        })
    };
    found.sort_by_key(|candidates| !known(&candidates.zone));
    Ok(found)
}

async fn offered(cloud: &Cloud<'_>, group: &Group) -> Result<Stock> {
    let (size, one) = match group.types.as_slice() {
        [] => (Some((group.cpu, group.memory_gib)), None),
        [one] => (None, Some(one.as_str())),
        _ => (None, None),
    };
    cloud.ask(&describe_available_resource(None, size, one)).await
}

fn nothing_offered(cloud: &Cloud<'_>, spec: &ClusterSpec) -> Error {
    let group = &spec.masters;
    Error::NothingOffered {
        cluster: spec.cluster.clone(),
        region: cloud.client.region().to_owned(),
        size: group.size(),
    }
}

/// Reports machines that exist and are not wanted; they stay until they are released.
fn unclaimed(cloud: &Cloud<'_>, spec: &ClusterSpec) {
    let resources = cloud.record.resources();
    for (role, count) in [(Role::Master, spec.masters.count), (Role::Node, spec.nodes.count)] {
        let kept = super::hosts::kept(&resources, role, count, cloud.wanted);
        for (id, machine) in resources.of_role(role) {
            if kept.iter().any(|(used, _)| *used == id) {
                continue;
            }
            if let Some(address) = machine.address {
                cloud.context.tell(ProviderEvent::Unclaimed { host: id.clone(), address });
            }
        }
    }
}

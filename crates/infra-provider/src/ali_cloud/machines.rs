//! Orders machines, in as many types and zones as it takes.

use std::collections::{BTreeMap, VecDeque};

use super::api::Class;
use super::api::ecs::{Disk, LogIn, RunInstances};
use super::cloud::{Cloud, Prerequisite, class};
use super::network;
use super::orders::{Step, place};
use super::settings::{ClusterSpec, DiskSpec, Group, Image, Role};
use super::stock::Candidates;
use super::tags::{host_name, of_machine};
use crate::{Error, ProviderEvent, Result};

/// The API accepts no larger order.
const MAX_ORDER: usize = 100;

/// Where and how machines are ordered.
pub(super) struct Order<'a> {
    pub(super) spec: &'a ClusterSpec,
    pub(super) vpc: &'a str,
    pub(super) security_group: &'a str,
    /// The key pair that opens the machines; none when the spec has a password.
    pub(super) key_pair: Option<&'a str>,
    /// Zones and types to try, the best first.
    pub(super) candidates: &'a [Candidates],
}

/// Orders the machines of `group` with these numbers. `prerequisites`
/// are those of vSwitches that were just made, by zone.
///
/// A type or zone that is sold out is followed by the next one at once; what a partial success lacks is ordered there.
pub(super) async fn order(
    cloud: &Cloud<'_>,
    order: &Order<'_>,
    group: &Group,
    numbers: Vec<u32>,
    prerequisites: &mut BTreeMap<String, Prerequisite>,
) -> Result<()> {
    let mut left: VecDeque<u32> = numbers.into();
    let mut refusals = Vec::new();
    for zone in order.candidates {
        if left.is_empty() {
            return Ok(());
        }
        let (vswitch, made) = network::vswitch(cloud, order.spec, (order.vpc, None), &zone.zone).await?;
        let prerequisite = prerequisites.remove(&zone.zone).or(made);
        in_zone(cloud, order, group, (zone, &vswitch, prerequisite), &mut left, &mut refusals).await?;
    }
    if left.is_empty() {
        return Ok(());
    }
    refusals.dedup();
    Err(Error::SoldOut {
        cluster: order.spec.cluster.clone(),
        lacking: left.len(),
        role: group.role.as_str(),
        size: group.size(),
        refusals,
    })
}

/// What is tried after an order that was refused.
enum Next {
    Nothing,
    Disks,
    Type,
    Zone,
}

async fn in_zone(
    cloud: &Cloud<'_>,
    order: &Order<'_>,
    group: &Group,
    (candidates, vswitch, mut prerequisite): (&Candidates, &str, Option<Prerequisite>),
    left: &mut VecDeque<u32>,
    refusals: &mut Vec<String>,
) -> Result<()> {
    let zone = &candidates.zone;
    let types = match group.role {
        Role::Master => &candidates.masters,
        Role::Node => &candidates.nodes,
    };
    for instance_type in types {
        for disks in combinations(group) {
            let attempt = Attempt { order, group, zone, vswitch, instance_type, disks: &disks };
            match fill(cloud, &attempt, &mut prerequisite, left, refusals).await? {
                Next::Nothing | Next::Zone => return Ok(()),
                Next::Type => break,
                Next::Disks => {}
            }
        }
    }
    Ok(())
}

/// Orders until nothing is left or this type is sold out in this zone.
async fn fill(
    cloud: &Cloud<'_>,
    attempt: &Attempt<'_>,
    prerequisite: &mut Option<Prerequisite>,
    left: &mut VecDeque<u32>,
    refusals: &mut Vec<String>,
) -> Result<Next> {
    while !left.is_empty() {
        let numbers: Vec<u32> = left.iter().copied().take(MAX_ORDER).collect();
        let error = match run(cloud, attempt, &numbers, prerequisite.take()).await {
            Ok(0) => return Ok(Next::Type),
            Ok(made) => {
                left.drain(..made.min(numbers.len()));
                continue;
            }
            Err(error) => error,
        };
        if class(&error) != Some(Class::NextCandidate) {
            return Err(error);
        }
        let code = code(&error);
        refusals.push(format!("{} in {}: {code}", attempt.instance_type, attempt.zone));
        return Ok(match code.as_str() {
            "Zone.NotOnSale" | "Zone.NotOpen" => Next::Zone,
            code if code.contains("DiskCategory") || code.contains("CategoryNotSupported") => Next::Disks,
            _ => Next::Type,
        });
    }
    Ok(Next::Nothing)
}

struct Attempt<'a> {
    order: &'a Order<'a>,
    group: &'a Group,
    zone: &'a str,
    vswitch: &'a str,
    instance_type: &'a str,
    disks: &'a Disks,
}

/// The disks of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disks {
    system: Disk,
    data: Vec<Disk>,
}

/// Sends one order; returns how many machines it made.
async fn run(
    cloud: &Cloud<'_>,
    attempt: &Attempt<'_>,
    numbers: &[u32],
    prerequisite: Option<Prerequisite>,
) -> Result<usize> {
    let role = attempt.group.role;
    cloud.context.tell(ProviderEvent::Ordering {
        role: role.as_str(),
        count: numbers.len(),
        instance_type: attempt.instance_type.to_owned(),
    });
    let step = Step { role, numbers: numbers.to_vec() };
    // What a partial success lacks is ordered elsewhere.
    place(cloud, &step, prerequisite, request(attempt, numbers).request()).await
}

fn request(attempt: &Attempt<'_>, numbers: &[u32]) -> RunInstances {
    let Attempt { order, group, vswitch, instance_type, disks, .. } = *attempt;
    let spec = order.spec;
    let (image_id, image_family) = match &spec.image {
        Image::Id(id) => (Some(id.clone()), None),
        Image::Family(family) => (None, Some(family.clone())),
    };
    let log_in = match (order.key_pair, &spec.password) {
        (Some(pair), _) => LogIn::KeyPair(pair.to_owned()),
        (None, Some(password)) => LogIn::Password(password.clone()),
        (None, None) => LogIn::Image,
    };
    RunInstances {
        image_id,
        image_family,
        instance_type: instance_type.to_owned(),
        security_group_id: order.security_group.to_owned(),
        v_switch_id: vswitch.to_owned(),
        amount: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
        instance_name: format!("{}-{}", spec.cluster, group.role.as_str()),
        host_names: numbers.iter().map(|number| host_name(&spec.cluster, group.role, *number)).collect(),
        log_in,
        system_disk: disks.system.clone(),
        data_disks: disks.data.clone(),
        tags: of_machine(&spec.cluster, group.role),
    }
}

/// Kinds of disk to try with one type: each kind for the system disk, with the same kind for data disks that name none.
fn combinations(group: &Group) -> Vec<Disks> {
    let disk = |spec: &DiskSpec, category: &str| Disk { size: spec.size_gib, category: category.to_owned() };
    let kinds = group.system_disk.categories.iter();
    kinds
        .map(|kind| Disks {
            system: disk(&group.system_disk, kind),
            data: group
                .data_disks
                .iter()
                .map(|data| {
                    let named = data.categories.iter().find(|category| *category == kind);
                    disk(data, named.or(data.categories.first()).unwrap_or(kind))
                })
                .collect(),
        })
        .collect()
}

fn code(error: &Error) -> String {
    match error {
        Error::Cloud { source, .. } => source.code.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn kinds_of_disk_are_tried_together_and_a_named_one_alone() {
        let spec = |categories: &[&str]| DiskSpec {
            size_gib: 40,
            categories: categories.iter().map(|name| (*name).to_owned()).collect(),
        };
        let group = |system: &[&str], data: &[&str]| Group {
            role: Role::Node,
            count: 1,
            cpu: 4,
            memory_gib: 8,
            sized: true,
            types: Vec::new(),
            system_disk: spec(system),
            data_disks: vec![spec(data)],
        };
        let show = |group: &Group| -> Vec<String> {
            let name = |disk: &Disk| disk.category.clone();
            combinations(group)
                .iter()
                .map(|disks| format!("{} {}", name(&disks.system), name(&disks.data[0])))
                .collect()
        };
        assert_eq!(show(&group(&["essd", "ssd"], &["essd", "ssd"])), ["essd essd", "ssd ssd"]);
        assert_eq!(show(&group(&["essd", "ssd"], &["auto"])), ["essd auto", "ssd auto"]);
        assert_eq!(show(&group(&["auto"], &["essd", "ssd"])), ["auto essd"]);
    }
}

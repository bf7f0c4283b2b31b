//! Creates VPC, vSwitches, security group and key pair.

use std::net::Ipv4Addr;

use super::api::Parameters;
use super::api::ecs::{authorize_security_group, create_security_group, import_key_pair};
use super::api::vpc::{VSwitch, create_vpc, create_vswitch, describe_vpcs, describe_vswitches};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class};
use super::record::{Intent, Resource};
use super::settings::ClusterSpec;
use super::tags::{name, of_cluster};
use crate::subnet::Subnet;
use crate::{Error, Result};

/// Ports that the operator needs: SSH, and the API server.
const PORTS: [u16; 2] = [22, 6443];
/// The first subnet of a cluster's own VPC, as upstream; every further zone gets the next one of the same size.
const FIRST_VSWITCH: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
/// Its prefix length: room for a thousand machines. (Upstream used 24.)
const VSWITCH_LENGTH: u8 = 20;

/// The error code for a range that overlaps another vSwitch.
const CIDR_OVERLAPS: &str = "InvalidCidrBlock.Overlapped";
/// No region has more zones.
const MAX_VSWITCHES: u32 = 32;

/// The name of the step that imports the key pair.
const KEY_PAIR: &str = "key pair";

/// The name of the step that makes a vSwitch.
pub(super) fn step(zone: &str) -> String {
    format!("vswitch {zone}")
}

/// Creates the VPC when there is none; returns it and the state to wait for, if it is not known to be ready.
pub(super) async fn vpc(cloud: &Cloud<'_>, spec: &ClusterSpec) -> Result<(String, Option<Prerequisite>)> {
    if let Some(vpc) = cloud.record.with(|resources| resources.vpc.clone()) {
        return Ok((vpc.id, Some(Prerequisite::unknown(Pending::Vpc))));
    }
    if let Some(id) = &spec.vpc {
        cloud.keep(|resources| resources.vpc = Some(Resource { id: id.clone(), own: false }))?;
        return Ok((id.clone(), None));
    }
    let made =
        cloud.make("vpc", None, create_vpc(&name(&spec.cluster), &of_cluster(&spec.cluster)), |resources, answer| {
            resources.vpc = Some(Resource { id: answer.vpc_id.clone(), own: true })
        });
    let made = made.await?;
    cloud.tell_made("VPC", &made.vpc_id);
    Ok((made.vpc_id, Some(Prerequisite::from_now(Pending::Vpc))))
}

/// Creates the vSwitch in `zone` when there is none; returns it and the state to wait for.
pub(super) async fn vswitch(
    cloud: &Cloud<'_>,
    spec: &ClusterSpec,
    (vpc, prerequisite): (&str, Option<Prerequisite>),
    zone: &str,
) -> Result<(String, Option<Prerequisite>)> {
    if let Some(vswitch) = cloud.record.with(|resources| resources.vswitches.get(zone).cloned()) {
        return Ok((vswitch.id, Some(Prerequisite::unknown(Pending::VSwitch))));
    }
    let step = step(zone);
    // Ranges that are taken by vSwitches which a lost record does not know.
    let mut skipped = 0;
    let made = loop {
        let cidr = free_range(cloud, vpc, zone, skipped).await?;
        let make = cloud.make(
            &step,
            prerequisite,
            create_vswitch(vpc, zone, &cidr, &name(&spec.cluster), &of_cluster(&spec.cluster)),
            |resources, answer| {
                let made = Resource { id: answer.v_switch_id.clone(), own: true };
                resources.vswitches.insert(zone.to_owned(), made);
            },
        );
        match make.await {
            Err(Error::Cloud { source, .. }) if source.code == CIDR_OVERLAPS && skipped < MAX_VSWITCHES => skipped += 1,
            other => break other?,
        }
    };
    cloud.tell_made("vSwitch", &made.v_switch_id);
    Ok((made.v_switch_id, Some(Prerequisite::from_now(Pending::VSwitch))))
}

/// Looks up the vSwitch that the user named; its zone and VPC are used for everything else.
pub(super) async fn given_vswitch(cloud: &Cloud<'_>, id: &str) -> Result<VSwitch> {
    let found = cloud
        .list(describe_vswitches(Some(id), None, &[]))
        .await?
        .into_iter()
        .find(|vswitch| vswitch.v_switch_id == id);
    let found = found.ok_or_else(|| Error::Setting {
        field: super::annotations::VSWITCH.to_owned(),
        value: id.to_owned(),
        reason: format!("there is no such vSwitch in region {}", cloud.client.region()),
    })?;
    cloud.keep(|resources| {
        let given = |id: &str| Resource { id: id.to_owned(), own: false };
        resources.vpc.get_or_insert_with(|| given(&found.vpc_id));
        resources.vswitches.entry(found.zone_id.clone()).or_insert_with(|| given(id));
    })?;
    Ok(found)
}

/// Creates the security group when there is none, and opens it for `admin_cidrs`.
pub(super) async fn security_group(
    cloud: &Cloud<'_>,
    spec: &ClusterSpec,
    vpc: &str,
    admin_cidrs: &[String],
) -> Result<String> {
    let known = cloud.record.with(|resources| resources.security_group.clone());
    let group = match (known, &spec.security_group) {
        (Some(known), _) => known,
        (None, Some(id)) => {
            let given = Resource { id: id.clone(), own: false };
            cloud.keep(|resources| resources.security_group = Some(given.clone()))?;
            given
        }
        (None, None) => {
            let made = cloud.make(
                "security group",
                None,
                create_security_group(vpc, &name(&spec.cluster), &of_cluster(&spec.cluster)),
                |resources, answer| {
                    resources.security_group = Some(Resource { id: answer.security_group_id.clone(), own: true });
                },
            );
            let made = made.await?;
            cloud.tell_made("security group", &made.security_group_id);
            Resource { id: made.security_group_id, own: true }
        }
    };
    open(cloud, &group, admin_cidrs).await?;
    Ok(group.id)
}

/// Opens an existing security group for addresses that it does not admit yet.
pub(super) async fn reopen(cloud: &Cloud<'_>, admin_cidrs: &[String]) -> Result<()> {
    match cloud.record.with(|resources| resources.security_group.clone()) {
        Some(group) => open(cloud, &group, admin_cidrs).await,
        None => Ok(()),
    }
}

async fn open(cloud: &Cloud<'_>, group: &Resource, admin_cidrs: &[String]) -> Result<()> {
    // The rules of a user's own security group are the user's.
    let missing: Vec<&String> = cloud.record.with(|resources| {
        admin_cidrs.iter().filter(|cidr| group.own && !resources.opened_for.contains(cidr)).collect()
    });
    if !missing.is_empty() {
        let opened = missing.iter().flat_map(|cidr| PORTS.map(|port| (port, cidr.as_str())));
        cloud.change(&authorize_security_group(&group.id, opened), None).await?;
        cloud.keep(|resources| resources.opened_for.extend(missing.into_iter().cloned()))?;
    }
    Ok(())
}

/// Imports the key pair that opens new machines, unless there is one; `public_key` is its line of `authorized_keys`.
pub(super) async fn key_pair(cloud: &Cloud<'_>, spec: &ClusterSpec, public_key: &str) -> Result<String> {
    if let Some(pair) = cloud.record.with(|resources| resources.key_pair.clone()) {
        return Ok(pair.id);
    }
    if let Some(given) = &spec.key_pair {
        cloud.keep(|resources| resources.key_pair = Some(Resource { id: given.clone(), own: false }))?;
        return Ok(given.clone());
    }
    // The name holds this cluster's random id, so "name taken" means that an earlier call had its effect.
    let id = cloud.record.with(|resources| format!("{}-{}", name(&spec.cluster), resources.uid));
    let import = import_key_pair(&id, public_key, &of_cluster(&spec.cluster));
    // A deletion that follows a killed import has to search for the key pair.
    let intent = Intent::new(import.action, &Parameters::new());
    cloud.record.change(|resources| resources.intents.insert(KEY_PAIR.to_owned(), intent))?;
    match cloud.change(&import, None).await {
        Err(error) if !is_taken(&error) => return Err(error),
        _ => cloud.keep(|resources| {
            resources.key_pair = Some(Resource { id: id.clone(), own: true });
            resources.intents.remove(KEY_PAIR);
        })?,
    }
    Ok(id)
}

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Cloud { source, .. } if source.code.contains("KeyPair") && (source.code.contains("Exist") || source.code.contains("Duplicate")))
        && class(error).is_some()
}

/// The range of a new vSwitch: the next one in the cluster's own VPC, a free one in the user's.
async fn free_range(cloud: &Cloud<'_>, vpc: &str, zone: &str, skipped: u32) -> Result<String> {
    let (own, used) = cloud.record.with(|resources| {
        let begun = resources.intents.keys().filter(|name| name.starts_with(&step("")) && **name != step(zone)).count();
        let used = u32::try_from(resources.vswitches.len() + begun).unwrap_or(u32::MAX);
        (resources.vpc.as_ref().is_some_and(|vpc| vpc.own), used)
    });
    if own {
        return Ok(part(u32::from(FIRST_VSWITCH), VSWITCH_LENGTH, used.saturating_add(skipped).min(255)).to_string());
    }
    let missing = |reason: &str| Error::Setting {
        field: super::annotations::VPC.to_owned(),
        value: vpc.to_owned(),
        reason: reason.to_owned(),
    };
    let found = cloud.list(describe_vpcs(Some(vpc), &[])).await?.into_iter().find(|found| found.vpc_id == vpc);
    let block = found.ok_or_else(|| missing("there is no such VPC in this region"))?.cidr_block;
    let block = block.parse().ok().filter(|block: &Subnet| (8..=29).contains(&block.length));
    let block = block.ok_or_else(|| missing("its addresses cannot be understood"))?;
    let vswitches = cloud.list(describe_vswitches(None, Some(vpc), &[])).await?;
    let taken: Vec<Subnet> = vswitches.iter().filter_map(|vswitch| vswitch.cidr_block.parse().ok()).collect();
    let free = first_free(block, &taken).ok_or_else(|| missing("no 250 addresses in a row are free in it"))?;
    Ok(free.to_string())
}

/// The part number `number` of the network that begins at `base`, in parts of this length.
fn part(base: u32, length: u8, number: u32) -> Subnet {
    Subnet { base: base + (number << (32 - length)), length }
}

/// The first part of 256 addresses (or all, if there are fewer) that touches none of `taken`.
fn first_free(block: Subnet, taken: &[Subnet]) -> Option<Subnet> {
    let length = block.length.max(24);
    let count = 1_u32 << (length - block.length).min(16);
    let mut parts = (0..count).map(|number| part(block.base, length, number));
    parts.find(|part| !taken.iter().any(|other| other.overlaps(part)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn own_ranges_follow_each_other() {
        let ranges = [0, 1, 2].map(|number| part(u32::from(FIRST_VSWITCH), VSWITCH_LENGTH, number).to_string());
        assert_eq!(ranges, ["172.16.0.0/20", "172.16.16.0/20", "172.16.32.0/20"]);
    }

    #[test]
    fn a_free_range_touches_no_other() {
        let free = |block: &str, taken: &[&str]| {
            let taken: Vec<Subnet> = taken.iter().map(|text| text.parse().unwrap()).collect();
            first_free(block.parse().unwrap(), &taken).map(|part| part.to_string())
        };
        assert_eq!(free("10.0.0.0/16", &[]).as_deref(), Some("10.0.0.0/24"));
        assert_eq!(free("10.0.0.0/16", &["10.0.0.0/23", "10.0.2.128/25"]).as_deref(), Some("10.0.3.0/24"));
        assert_eq!(free("10.0.0.0/26", &[]).as_deref(), Some("10.0.0.0/26"));
        assert_eq!(free("10.0.0.0/24", &["10.0.0.7/29"]), None);
    }
}

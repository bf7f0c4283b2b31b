//! Deletes what was made for a cluster, and nothing else.

use std::net::IpAddr;

use futures_util::future::join;

use super::api::vpc::describe_vpcs;
use super::cloud::Cloud;
use super::failures::Failures;
use super::free::{free_address, free_machines, free_network, free_vpc};
use super::orders::unanswered;
use super::record::{Machine, Resources};
use super::{address, discover};
use crate::{Error, Result};

/// How often unrecorded resources are searched for and deleted.
const MAX_ROUNDS: u32 = 8;

/// Deletes everything. What could not be deleted is reported at the end; the same call resumes.
pub(super) async fn everything(cloud: &Cloud<'_>) -> Result<()> {
    let mut forgotten = look(cloud).await?;
    for _ in 0..MAX_ROUNDS {
        once(cloud).await?;
        if !forgotten {
            break;
        }
        // Runs without a record may have made more than one of each.
        discover::other_resources(cloud).await?;
        forgotten = cloud.record.with(Resources::any_exist);
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
    if failures.is_empty() {
        // Whatever is left is found through the VPC, so it goes last.
        failures.note("VPC", free_vpc(cloud, last).await);
    }
    failures.finish(cloud)
}

/// Deletes the machines with these addresses; shared resources stay.
pub(super) async fn hosts(cloud: &Cloud<'_>, addresses: &[IpAddr]) -> Result<()> {
    discover::machines(cloud).await?;
    let leaves = |machine: &Machine| machine.address.is_some_and(|address| addresses.contains(&address));
    let resources = cloud.record.resources();
    let ids: Vec<String> =
        resources.machines.iter().filter(|(_, machine)| leaves(machine)).map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    free_machines(cloud, Some(&ids)).await.map(drop)
}

/// Finds what has to be deleted: by tag, and with repeated searches for calls that were never answered. Returns whether
/// there may be resources that are not recorded.
async fn look(cloud: &Cloud<'_>) -> Result<bool> {
    let (open, searched) = cloud.record.with(|resources| (resources.intents.clone(), resources.searched));
    let listed = discover::machines(cloud).await?;
    if searched && listed.is_empty() {
        check_account(cloud).await?;
    }
    let orders = unanswered(cloud.record);
    discover::unconfirmed(cloud, &orders).await?;
    let forgotten = !searched || open.len() > orders.len();
    if forgotten {
        discover::other_resources(cloud).await?;
    }
    if open.contains_key("address") {
        discover::unconfirmed_address(cloud).await?;
    }
    if cloud.record.with(|resources| resources.eip.as_ref().is_some_and(|eip| eip.bound_to.is_none())) {
        // Only the cloud knows whether an unanswered binding had its effect.
        if open.keys().any(|step| step.starts_with("bind ")) {
            address::refresh(cloud).await?;
        }
    }
    // Everything that can be known of unanswered calls is known now; their tokens are not used again. A run after an
    // interrupted deletion has to search for what is left.
    cloud.keep(|resources| {
        resources.intents.clear();
        resources.searched = false;
    })?;
    Ok(forgotten)
}

/// Refuses when no recorded resource is visible: with the key of another account everything seems to be deleted, and
/// believing that would lose track of resources that cost money.
async fn check_account(cloud: &Cloud<'_>) -> Result<()> {
    let resources = cloud.record.resources();
    let Some(vpc) = resources.vpc.as_ref().filter(|_| !resources.machines.is_empty()) else { return Ok(()) };
    if cloud.list(describe_vpcs(Some(&vpc.id), &[])).await?.iter().any(|found| found.vpc_id == vpc.id) {
        return Ok(());
    }
    Err(Error::NothingVisible {
        cluster: cloud.wanted.name.clone(),
        region: resources.region,
        record: cloud.record.path().to_owned(),
    })
}

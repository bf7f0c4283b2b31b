//! How is everything that was made for a cluster given back, and nothing else?

use std::net::IpAddr;

use futures_util::future::join;

use super::api::vpc::DescribeVpcs;
use super::cloud::Cloud;
use super::failures::Failures;
use super::free::{free_address, free_machines, free_network, free_vpc};
use super::orders::unanswered;
use super::record::{Machine, Things};
use super::settings::Role;
use super::{address, discover};
use crate::{Error, Result};

/// So often everything is freed when more turns up that nobody remembers.
const ROUNDS: u32 = 8;

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
    if failures.is_empty() {
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
    let listed = discover::machines(cloud).await?;
    if looked && listed.is_empty() {
        check_account(cloud).await?;
    }
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

/// Refuses when nothing that is remembered can be seen: to the key of another account everything is gone already, and
/// believing that would forget what goes on costing money.
async fn check_account(cloud: &Cloud<'_>) -> Result<()> {
    let things = cloud.record.things();
    let Some(vpc) = things.vpc.as_ref().filter(|_| !things.machines.is_empty()) else { return Ok(()) };
    let asked = DescribeVpcs { vpc_id: Some(vpc.id.clone()), ..DescribeVpcs::default() };
    if cloud.list(asked).await?.iter().any(|found| found.vpc_id == vpc.id) {
        return Ok(());
    }
    Err(Error::NothingVisible {
        cluster: cloud.wanted.name.clone(),
        region: things.region,
        record: cloud.record.path().to_owned(),
    })
}

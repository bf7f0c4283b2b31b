//! Waits until all machines run, each at an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::address;
use super::api::ecs::{Instance, InstanceStatus, describe_instances, start_instances};
use super::backoff::LONGEST_PAUSE;
use super::cloud::{Cloud, Prerequisite};
use crate::{ProviderEvent, Result};

/// The cloud lists no more machines at once.
const PAGE_SIZE: usize = 100;
/// A machine that is not listed for so long is gone; one that was listed before, after a third of it.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Waits until all machines of the record run, and binds the public address to the first master as soon as that one
/// does; returns those that were lost on the way and left the record.
pub(super) async fn await_running(cloud: &Cloud<'_>, prerequisite: Prerequisite) -> Result<Vec<String>> {
    cloud.until(prerequisite).await?;
    let mut backoff = prerequisite.pending.backoff();
    let (mut seen, mut started) = (BTreeSet::new(), BTreeSet::new());
    let mut absent_since: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let asked = Instant::now();
        let ids: Vec<String> = cloud.record.with(|resources| resources.machines.keys().cloned().collect());
        let listed = listed(cloud, &ids).await?;
        keep_addresses(cloud, &listed)?;
        restart(cloud, &listed, &mut started).await?;
        let state = State::of(&ids, &listed);
        address::verify_binding(cloud, &listed).await?;
        address::bind(cloud, |first| !state.lacking.contains(first)).await?;
        if state.lacking.is_empty() {
            return Ok(Vec::new());
        }
        // One list in which it does not stand loses no machine: it may be back in the next.
        absent_since.retain(|id, _| state.absent.contains(id));
        for id in &state.absent {
            absent_since.entry(id.clone()).or_insert(asked);
        }
        let is_lost = |id: &String, since: Instant| {
            since.elapsed() >= if seen.contains(id) { LOST_AFTER / 3 } else { LOST_AFTER }
        };
        let lost: Vec<String> =
            absent_since.iter().filter(|(id, since)| is_lost(id, **since)).map(|(id, _)| id.clone()).collect();
        if !lost.is_empty() {
            cloud.keep(|resources| {
                resources.machines.retain(|id, _| !lost.contains(id));
                resources.updating.retain(|id| !lost.contains(id));
                resources.intents.retain(|step, _| !lost.iter().any(|id| step.ends_with(id.as_str())));
            })?;
            return Ok(lost);
        }
        seen.extend(listed.into_keys());
        let pause = backoff.next().unwrap_or(LONGEST_PAUSE);
        cloud.check_deadline(&format!("machines {}", state.lacking.join(", ")), pause, None)?;
        cloud.context.sleep(pause).await?;
    }
}

/// What the cloud says about these machines, a page at a time.
pub(super) async fn listed(cloud: &Cloud<'_>, ids: &[String]) -> Result<BTreeMap<String, Instance>> {
    let mut found = BTreeMap::new();
    for page in ids.chunks(PAGE_SIZE) {
        let listed = cloud.ask(describe_instances(page, &[]).request()).await?.items;
        found.extend(listed.into_iter().map(|instance| (instance.instance_id.clone(), instance)));
    }
    Ok(found)
}

/// Who somebody stopped is started again, once.
async fn restart(cloud: &Cloud<'_>, listed: &BTreeMap<String, Instance>, started: &mut BTreeSet<String>) -> Result<()> {
    let stopped = listed.values().filter(|instance| instance.status == InstanceStatus::Stopped);
    let ids: Vec<String> =
        stopped.map(|instance| instance.instance_id.clone()).filter(|id| !started.contains(id)).collect();
    for page in ids.chunks(PAGE_SIZE) {
        cloud.change(&start_instances(page), None).await?;
    }
    started.extend(ids);
    Ok(())
}

/// Takes over addresses that are sure: those of running machines that no other machine claims.
fn keep_addresses(cloud: &Cloud<'_>, listed: &BTreeMap<String, Instance>) -> Result<()> {
    let sure = sure_addresses(listed);
    let fresh: Vec<(String, IpAddr)> = cloud.record.with(|resources| {
        let known = |id: &str| resources.machines.get(id).and_then(|machine| machine.address);
        sure.into_iter().filter(|(id, address)| known(id) != Some(*address)).collect()
    });
    if fresh.is_empty() {
        return Ok(());
    }
    cloud.keep(|resources| {
        for (id, address) in &fresh {
            if let Some(machine) = resources.machines.get_mut(id) {
                machine.address = Some(*address);
            }
        }
    })?;
    for (id, address) in fresh {
        let host = listed.get(&id).map_or(id.clone(), |instance| instance.host_name.clone());
        cloud.context.tell(ProviderEvent::Ready { host, address, failed_units: Vec::new() });
    }
    Ok(())
}

fn sure_addresses(listed: &BTreeMap<String, Instance>) -> Vec<(String, IpAddr)> {
    let running = listed.iter().filter(|(_, instance)| instance.status == InstanceStatus::Running);
    let addresses: Vec<(String, IpAddr)> =
        running.filter_map(|(id, instance)| Some((id.clone(), instance.private_ip()?))).collect();
    let claims = |address: IpAddr| addresses.iter().filter(|(_, other)| *other == address).count();
    addresses.iter().filter(|(_, address)| claims(*address) == 1).cloned().collect()
}

/// Who is not ready yet.
struct State {
    /// Not running, or without an address of its own.
    lacking: Vec<String>,
    /// Not listed at all.
    absent: Vec<String>,
}

impl State {
    fn of(ids: &[String], listed: &BTreeMap<String, Instance>) -> Self {
        let ready: BTreeSet<String> = sure_addresses(listed).into_iter().map(|(id, _)| id).collect();
        let lacking = ids.iter().filter(|id| !ready.contains(*id)).cloned().collect();
        let absent = ids.iter().filter(|id| !listed.contains_key(*id)).cloned().collect();
        Self { lacking, absent }
    }
}

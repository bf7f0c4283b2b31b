//! Allocates, binds, unbinds and checks the public address of the first master.

use std::collections::BTreeMap;
use std::time::Duration;

use super::api::ecs::{Instance, InstanceStatus};
use super::api::eip::{allocate_eip_address, associate_eip_address, describe_eip_addresses, unassociate_eip_address};
use super::api::{Class, Done};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class, state_timed_out};
use super::discover::{LOOKUP_INTERVAL, MAX_LOOKUPS};
use super::hosts::ordered;
use super::record::{Eip, Resources};
use super::settings::{ClusterSpec, Role};
use super::tags::{name, of_cluster};
use crate::{Error, Result};

/// Bandwidth in Mbit/s. Traffic is what is paid for, so a high limit costs nothing by itself (as upstream).
const BANDWIDTH: u32 = 100;
/// Binding and unbinding take a few seconds; a longer refusal has another reason.
const STATE_TIMEOUT: Duration = Duration::from_secs(6);

/// Allocates the public address when there is none.
pub(super) async fn allocate(cloud: &Cloud<'_>, spec: &ClusterSpec) -> Result<()> {
    if cloud.record.with(|resources| resources.eip.is_some()) {
        return Ok(());
    }
    let mut unreadable = None;
    let made = cloud.make(
        "address",
        None,
        allocate_eip_address(BANDWIDTH, &name(&spec.cluster), &of_cluster(&spec.cluster)),
        |resources, answer| match answer.eip_address.parse() {
            Ok(address) => resources.eip = Some(Eip { id: answer.allocation_id.clone(), address, bound_to: None }),
            Err(_) => unreadable = Some(answer.eip_address.clone()),
        },
    );
    let made = made.await?;
    cloud.tell_made(&format!("public address {}", made.eip_address), &made.allocation_id);
    unreadable.map_or(Ok(()), |text| Err(Error::Unreadable { what: "the new public address", text }))
}

/// Binds the public address to the first master if that one `runs`.
pub(super) async fn bind(cloud: &Cloud<'_>, runs: impl Fn(&String) -> bool) -> Result<()> {
    loop {
        let resources = cloud.record.resources();
        let Some(eip) = &resources.eip else { return Ok(()) };
        let Some((first, _)) = ordered(&resources, Role::Master).into_iter().next() else { return Ok(()) };
        match &eip.bound_to {
            Some(bound) if bound == first => return Ok(()),
            _ if !runs(first) => return Ok(()),
            Some(_) => {
                if let Some(prerequisite) = unbind(cloud).await? {
                    cloud.until(prerequisite).await?;
                }
            }
            None => {}
        }
        match associate(&cloud.with_state_timeout(STATE_TIMEOUT), eip, first).await {
            // The error is the same for an address that is bound already, bound elsewhere, or still being unbound.
            Err(error) if state_timed_out(&error) || is_bound_already(&error) => {
                refresh(cloud).await?;
                if is_bound_already(&error)
                    && cloud.record.with(|resources| bound(resources.eip.as_ref()) != Some(first.clone()))
                {
                    return Err(error);
                }
            }
            other => return other.map(drop),
        }
    }
}

async fn associate(cloud: &Cloud<'_>, eip: &Eip, first: &str) -> Result<Done> {
    let step = format!("bind {first}");
    let keep = |resources: &mut Resources, _: &Done| {
        if let Some(eip) = &mut resources.eip {
            eip.bound_to = Some(first.to_owned());
        }
    };
    cloud.make(&step, None, associate_eip_address(&eip.id, first), keep).await
}

fn is_bound_already(error: &Error) -> bool {
    matches!(error, Error::Cloud { source, .. } if source.code == "InvalidAssociation.Duplicated")
}

fn bound(eip: Option<&Eip>) -> Option<String> {
    eip.and_then(|eip| eip.bound_to.clone())
}

/// Looks the binding up when a running machine should have the public address and does not show it.
pub(super) async fn verify_binding(cloud: &Cloud<'_>, listed: &BTreeMap<String, Instance>) -> Result<()> {
    let ambiguous = cloud.record.with(|resources| {
        let eip = resources.eip.as_ref()?;
        let bearer = listed.get(eip.bound_to.as_ref()?)?;
        Some(bearer.status == InstanceStatus::Running && bearer.eip_id() != Some(&eip.id))
    });
    if ambiguous == Some(true) { refresh(cloud).await } else { Ok(()) }
}

/// Looks up which machine has the public address, and whether the address still exists.
pub(super) async fn refresh(cloud: &Cloud<'_>) -> Result<()> {
    let Some(id) = cloud.record.with(|resources| resources.eip.as_ref().map(|eip| eip.id.clone())) else {
        return Ok(());
    };
    let mut found = None;
    // Lists lag behind, and a missing address is replaced by another one while it still costs money.
    for refresh in 0..MAX_LOOKUPS {
        if refresh > 0 {
            cloud.context.sleep(LOOKUP_INTERVAL).await?;
        }
        found =
            cloud.list(describe_eip_addresses(Some(&id), &[])).await?.into_iter().find(|eip| eip.allocation_id == id);
        if found.is_some() {
            break;
        }
    }
    cloud.keep(|resources| match found {
        Some(found) => {
            if let Some(eip) = &mut resources.eip {
                eip.bound_to = Some(found.instance_id).filter(|id| !id.is_empty());
            }
        }
        None => resources.eip = None,
    })
}

/// Unbinds the public address, so that it can be bound elsewhere or released; does nothing when it is not bound.
/// Returns the state to wait for.
pub(super) async fn unbind(cloud: &Cloud<'_>) -> Result<Option<Prerequisite>> {
    while let Some(Eip { id, bound_to: Some(_), .. }) = cloud.record.with(|resources| resources.eip.clone()) {
        match cloud.with_state_timeout(STATE_TIMEOUT).change(&unassociate_eip_address(&id), None).await {
            Err(error) if state_timed_out(&error) => refresh(cloud).await?,
            Err(error) if class(&error) != Some(Class::Gone) => return Err(error),
            _ => {
                cloud.keep(|resources| {
                    if let Some(eip) = &mut resources.eip {
                        eip.bound_to = None;
                    }
                })?;
                return Ok(Some(Prerequisite::from_now(Pending::Unbound)));
            }
        }
    }
    Ok(None)
}

//! How does the first master get its public address?

use std::collections::BTreeMap;
use std::time::Duration;

use super::api::ecs::{Instance, InstanceStatus};
use super::api::eip::{AllocateEipAddress, AssociateEipAddress, DescribeEipAddresses, UnassociateEipAddress};
use super::api::{Class, Done};
use super::backoff::Pending;
use super::cloud::{Cloud, Prerequisite, class, lost_patience};
use super::discover::{BETWEEN, LOOKS};
use super::hosts::ordered;
use super::record::Eip;
use super::settings::{Role, Wish};
use super::tags::{name, of_cluster};
use crate::{Error, Result};

/// Mbit/s; paid by traffic, so that a wide one costs nothing until it is used (as upstream).
const BANDWIDTH: u32 = 100;
/// Binding and unbinding take a few seconds; what is refused for longer is refused for another reason.
const PATIENCE: Duration = Duration::from_secs(6);

/// The public address; allocated when there is none.
pub(super) async fn allocate(cloud: &Cloud<'_>, wish: &Wish) -> Result<()> {
    if cloud.record.with(|things| things.eip.is_some()) {
        return Ok(());
    }
    let mut unreadable = None;
    let made = cloud.make(
        "address",
        None,
        |client_token| AllocateEipAddress {
            client_token,
            bandwidth: Some(BANDWIDTH),
            internet_charge_type: Some("PayByTraffic".to_owned()),
            name: Some(name(&wish.cluster)),
            tags: of_cluster(&wish.cluster),
        },
        |things, answer| match answer.eip_address.parse() {
            Ok(address) => things.eip = Some(Eip { id: answer.allocation_id.clone(), address, bound_to: None }),
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
        let things = cloud.record.things();
        let Some(eip) = &things.eip else { return Ok(()) };
        let Some((first, _)) = ordered(&things, Role::Master).into_iter().next() else { return Ok(()) };
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
        match associate(&cloud.impatient(PATIENCE), eip, first).await {
            // It is bound already, or to somebody else, or still being unbound: that decides what is done next.
            Err(error) if lost_patience(&error) || is_twice(&error) => {
                look(cloud).await?;
                if is_twice(&error) && cloud.record.with(|things| bound(things.eip.as_ref()) != Some(first.clone())) {
                    return Err(error);
                }
            }
            other => return other.map(drop),
        }
    }
}

async fn associate(cloud: &Cloud<'_>, eip: &Eip, first: &str) -> Result<Done> {
    let step = format!("bind {first}");
    let made = cloud.make(
        &step,
        None,
        |client_token| AssociateEipAddress {
            client_token,
            allocation_id: eip.id.clone(),
            instance_id: first.to_owned(),
        },
        |things, _| {
            if let Some(eip) = &mut things.eip {
                eip.bound_to = Some(first.to_owned());
            }
        },
    );
    made.await
}

fn is_twice(error: &Error) -> bool {
    matches!(error, Error::Cloud { source, .. } if source.code == "InvalidAssociation.Duplicated")
}

fn bound(eip: Option<&Eip>) -> Option<String> {
    eip.and_then(|eip| eip.bound_to.clone())
}

/// A running machine that should bear the public address and does not show it is looked at: the binding may have failed.
pub(super) async fn doubt(cloud: &Cloud<'_>, listed: &BTreeMap<String, Instance>) -> Result<()> {
    let doubtful = cloud.record.with(|things| {
        let eip = things.eip.as_ref()?;
        let bearer = listed.get(eip.bound_to.as_ref()?)?;
        Some(bearer.status == InstanceStatus::Running && bearer.eip_id() != Some(&eip.id))
    });
    if doubtful == Some(true) { look(cloud).await } else { Ok(()) }
}

/// Asks to whom the public address is bound, and whether it is still there.
pub(super) async fn look(cloud: &Cloud<'_>) -> Result<()> {
    let Some(id) = cloud.record.with(|things| things.eip.as_ref().map(|eip| eip.id.clone())) else { return Ok(()) };
    let asked = DescribeEipAddresses { allocation_id: Some(id.clone()), ..DescribeEipAddresses::default() };
    let mut found = None;
    // Lists lag behind; an address that is taken for gone is paid for all the same, and replaced by another one.
    for look in 0..LOOKS {
        if look > 0 {
            cloud.context.sleep(BETWEEN).await?;
        }
        found = cloud.list(asked.clone()).await?.into_iter().find(|eip| eip.allocation_id == id);
        if found.is_some() {
            break;
        }
    }
    cloud.keep(|things| match found {
        Some(found) => {
            if let Some(eip) = &mut things.eip {
                eip.bound_to = Some(found.instance_id).filter(|id| !id.is_empty());
            }
        }
        None => things.eip = None,
    })
}

/// Takes the public address away from the machine that bears it, so that it can be bound or released; nothing to do
/// when nobody bears it. Gives the prerequisite behind which it is free.
pub(super) async fn unbind(cloud: &Cloud<'_>) -> Result<Option<Prerequisite>> {
    while let Some(Eip { id, bound_to: Some(_), .. }) = cloud.record.with(|things| things.eip.clone()) {
        let unbind = UnassociateEipAddress { allocation_id: id, force: true };
        match cloud.impatient(PATIENCE).change(&unbind, None).await {
            Err(error) if lost_patience(&error) => look(cloud).await?,
            Err(error) if class(&error) != Some(Class::Gone) => return Err(error),
            _ => {
                cloud.keep(|things| {
                    if let Some(eip) = &mut things.eip {
                        eip.bound_to = None;
                    }
                })?;
                return Ok(Some(Prerequisite::from_now(Pending::Unbound)));
            }
        }
    }
    Ok(None)
}

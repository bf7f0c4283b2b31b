//! How does the first master get its public address?

use super::api::ecs::Instance;
use super::api::eip::{AllocateEipAddress, AssociateEipAddress, UnassociateEipAddress};
use super::cloud::{Cloud, Gate};
use super::hosts::ordered;
use super::record::Eip;
use super::settings::{Role, Wish};
use super::tags::{name, of_cluster};
use super::waits::Wait;
use crate::{Error, Result};

/// Mbit/s; paid by traffic, so that a wide one costs nothing until it is used (as upstream).
const BANDWIDTH: u32 = 100;

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
    made.await?;
    unreadable.map_or(Ok(()), |text| Err(Error::Unreadable { what: "the new public address", text }))
}

/// Binds the public address to the first master if that one `runs`.
pub(super) async fn bind(cloud: &Cloud<'_>, runs: impl FnOnce(&String) -> bool) -> Result<()> {
    let things = cloud.record.things();
    let Some(eip) = &things.eip else { return Ok(()) };
    let Some((first, _)) = ordered(&things, Role::Master).into_iter().next() else { return Ok(()) };
    match &eip.bound_to {
        Some(bound) if bound == first => return Ok(()),
        _ if !runs(first) => return Ok(()),
        Some(_) => unbind(cloud, &eip.id).await?,
        None => {}
    }
    let step = format!("bind {first}");
    let made = cloud.make(
        &step,
        None,
        |client_token| AssociateEipAddress { client_token, allocation_id: eip.id.clone(), instance_id: first.clone() },
        |things, _| {
            if let Some(eip) = &mut things.eip {
                eip.bound_to = Some(first.clone());
            }
        },
    );
    made.await.map(drop)
}

/// Takes over what a listed machine says about the public address, so that a binding that was lost is made again.
pub(super) fn observe(cloud: &Cloud<'_>, instances: &[Instance]) -> Result<()> {
    let bound = cloud.record.with(|things| {
        let eip = things.eip.as_ref()?;
        Some(
            instances.iter().find(|instance| instance.eip_id() == Some(&eip.id)).map(|found| found.instance_id.clone()),
        )
    });
    let Some(bound) = bound else { return Ok(()) };
    cloud.keep(|things| {
        if let Some(eip) = &mut things.eip {
            eip.bound_to = bound;
        }
    })
}

async fn unbind(cloud: &Cloud<'_>, id: &str) -> Result<()> {
    cloud.change(&UnassociateEipAddress { allocation_id: id.to_owned(), force: true }, None).await?;
    cloud.keep(|things| {
        if let Some(eip) = &mut things.eip {
            eip.bound_to = None;
        }
    })?;
    cloud.until(Gate::from_now(Wait::Unbound)).await;
    Ok(())
}

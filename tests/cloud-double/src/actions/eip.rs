//! Elastic addresses: allocate, associate, disassociate, describe, release.

use serde_json::{Value, json};

use super::page;
use super::vpc::pairs;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::clock::timestamp;
use crate::failure::{Failure, Outcome};
use crate::world::{Eip, EipState, Phase, World};

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "AllocateEipAddress",
        product: Product::Vpc,
        required: &["RegionId"],
        optional: &[
            "Bandwidth",
            "InternetChargeType",
            "InstanceChargeType",
            "ISP",
            "Name",
            "Description",
            "ClientToken",
            "Tag.N.Key",
            "Tag.N.Value",
            "ResourceGroupId",
        ],
        perform: allocate,
    },
    Action {
        name: "AssociateEipAddress",
        product: Product::Vpc,
        required: &["AllocationId", "InstanceId"],
        optional: &["InstanceType", "ClientToken"],
        perform: associate,
    },
    Action {
        name: "DescribeEipAddresses",
        product: Product::Vpc,
        required: &["RegionId"],
        optional: &[
            "AllocationId",
            "EipAddress",
            "EipName",
            "Status",
            "AssociatedInstanceId",
            "AssociatedInstanceType",
            "Tag.N.Key",
            "Tag.N.Value",
            "PageNumber",
            "PageSize",
        ],
        perform: list,
    },
    Action {
        name: "UnassociateEipAddress",
        product: Product::Vpc,
        required: &["AllocationId"],
        optional: &["InstanceId", "InstanceType", "Force", "ClientToken"],
        perform: unassociate,
    },
    Action {
        name: "ReleaseEipAddress",
        product: Product::Vpc,
        required: &["AllocationId"],
        optional: &[],
        perform: release,
    },
];

fn allocate(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    if world.eips.iter().filter(|eip| eip.region == call.region).count() >= world.options.quotas.eips {
        return Err(Failure::new(400, "QuotaExceeded.Eip", "there are too many EIPs in this region"));
    }
    let charge = call.parameters.get("InternetChargeType").unwrap_or("PayByBandwidth");
    let most = match charge {
        "PayByTraffic" => 200,
        "PayByBandwidth" => 500,
        _ => return Err(Failure::invalid("InternetChargeType", "it is not known")),
    };
    let bandwidth = call.parameters.number("Bandwidth", 1, most)?.unwrap_or(5);
    let (id, address) = (world.fresh_id("eip"), world.fresh_eip());
    world.eips.push(Eip {
        id: id.clone(),
        region: call.region.to_string(),
        name: call.parameters.get("Name").unwrap_or_default().to_string(),
        address,
        bandwidth,
        charge: charge.to_string(),
        tags: call.parameters.tags()?,
        created: timestamp(call.wall),
        state: EipState::Available,
        foreign: false,
    });
    Ok(json!({ "AllocationId": id, "EipAddress": address.to_string(), "ResourceGroupId": "rg-default" }))
}

fn associate(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let (id, instance) = (call.parameters.required("AllocationId")?, call.parameters.required("InstanceId")?);
    if call.parameters.get("InstanceType").is_some_and(|kind| kind != "EcsInstance") {
        return Err(Failure::invalid("InstanceType", "only EcsInstance is known here"));
    }
    let eip = world.eip(call.region, id)?.clone();
    if eip.state != EipState::Available {
        return Err(Failure::state("IncorrectEipStatus", id, eip.status()));
    }
    let found = world.instance(call.region, instance)?;
    if !matches!(found.phase, Phase::Running | Phase::Stopped) {
        return Err(Failure::state("IncorrectInstanceStatus", instance, found.phase.status()));
    }
    if found.public_ip.is_some() || world.eips.iter().any(|eip| eip.instance() == Some(instance)) {
        let message = format!("{instance} has an address for the outside already");
        return Err(Failure::new(400, "InvalidAssociation.Duplicated", message));
    }
    let until = call.now + world.options.timing.eip;
    let state = EipState::Associating { instance: instance.to_string(), until, fails: call.twist.bind_fails };
    world.eip(call.region, id)?.state = state;
    Ok(nothing())
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = |name: &str, value: &str| call.parameters.get(name).is_none_or(|wanted| wanted == value);
    let ids: Vec<&str> = call.parameters.get("AllocationId").map(|ids| ids.split(',').collect()).unwrap_or_default();
    let mut found = Vec::new();
    for eip in world.eips.iter().filter(|eip| eip.region == call.region) {
        let fits = (ids.is_empty() || ids.contains(&eip.id.as_str()))
            && given("EipAddress", &eip.address.to_string())
            && given("EipName", &eip.name)
            && given("Status", eip.status())
            && given("AssociatedInstanceId", eip.instance().unwrap_or_default());
        if fits && call.parameters.tags_match(&eip.tags)? {
            found.push(shown(world, eip));
        }
    }
    let page = page::by_number(found, call, 100)?;
    let mut answer = page.frame;
    answer.insert("EipAddresses".to_string(), json!({ "EipAddress": page.items }));
    Ok(Value::Object(answer))
}

fn shown(world: &World, eip: &Eip) -> Value {
    let bound = eip.instance().unwrap_or_default();
    let hook = world.instances.iter().find(|instance| instance.id == bound).and_then(|instance| instance.hook_public);
    json!({
        "AllocationId": eip.id,
        "Name": eip.name,
        "RegionId": eip.region,
        "IpAddress": hook.unwrap_or(eip.address).to_string(),
        "Status": eip.status(),
        "InstanceId": bound,
        "InstanceType": if bound.is_empty() { "" } else { "EcsInstance" },
        "Bandwidth": eip.bandwidth.to_string(),
        "InternetChargeType": eip.charge,
        "ChargeType": "PostPaid",
        "AllocationTime": eip.created,
        "Tags": { "Tag": pairs(&eip.tags) },
    })
}

fn unassociate(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("AllocationId")?;
    let until = call.now + world.options.timing.eip;
    let eip = world.eip(call.region, id)?;
    let EipState::InUse { instance } = eip.state.clone() else {
        return Err(Failure::state("IncorrectEipStatus", id, eip.status()));
    };
    if call.parameters.get("InstanceId").is_some_and(|given| given != instance) {
        return Err(Failure::new(400, "InvalidAssociation.NotFound", format!("{id} is bound to another instance")));
    }
    if eip.foreign {
        return Err(Failure::foreign("unbinds EIP", id));
    }
    eip.state = EipState::Unassociating { instance, until };
    Ok(nothing())
}

fn release(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("AllocationId")?;
    let eip = world.eip(call.region, id)?;
    if eip.foreign {
        return Err(Failure::foreign("releases EIP", id));
    }
    if eip.state != EipState::Available {
        return Err(Failure::state("IncorrectEipStatus", id, eip.status()));
    }
    world.eips.retain(|eip| eip.id != id);
    Ok(nothing())
}

//! vSwitches: create, describe, delete.

use serde_json::{Value, json};

use super::page;
use super::vpc::pairs;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::clock::timestamp;
use crate::failure::{Failure, Outcome};
use crate::world::{Cidr, VSwitch, World};

const TAG: [&str; 2] = ["Tag.N.Key", "Tag.N.Value"];

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateVSwitch",
        product: Product::Vpc,
        required: &["VpcId", "ZoneId", "CidrBlock"],
        optional: &["VSwitchName", "Description", "ClientToken", TAG[0], TAG[1]],
        perform: create,
    },
    Action {
        name: "DescribeVSwitchAttributes",
        product: Product::Vpc,
        required: &["VSwitchId"],
        optional: &[],
        perform: attributes,
    },
    Action {
        name: "DescribeVSwitches",
        product: Product::Vpc,
        required: &["RegionId"],
        optional: &["VpcId", "VSwitchId", "VSwitchName", "ZoneId", TAG[0], TAG[1], "PageNumber", "PageSize"],
        perform: list,
    },
    Action { name: "DeleteVSwitch", product: Product::Vpc, required: &["VSwitchId"], optional: &[], perform: delete },
];

fn create(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let vpc_id = call.parameters.required("VpcId")?;
    let zone = call.parameters.required("ZoneId")?;
    let vpc = world.vpc(call.region, vpc_id)?.clone();
    if vpc.status(call.now) == "Pending" {
        return Err(Failure::state("IncorrectVpcStatus", vpc_id, "Pending"));
    }
    if !world.zones(call.region).iter().any(|known| known == zone) {
        return Err(Failure::not_found("InvalidZoneId.NotFound", zone));
    }
    let malformed = |message: &str| Failure::new(400, "InvalidCidrBlock.Malformed", message);
    let cidr: Cidr = call.parameters.required("CidrBlock")?.parse().map_err(|()| malformed("it is no network"))?;
    if !(16..=29).contains(&cidr.prefix()) || !vpc.cidr.contains(cidr) {
        return Err(malformed(&format!("the network must be inside of {} and its mask within 16 and 29", vpc.cidr)));
    }
    let siblings: Vec<&VSwitch> = world.vswitches.iter().filter(|vswitch| vswitch.vpc == vpc_id).collect();
    if siblings.iter().any(|vswitch| vswitch.cidr.overlaps(cidr)) {
        return Err(Failure::new(400, "InvalidCidrBlock.Overlapped", "the network overlaps with another vSwitch"));
    }
    if let Some(busy) = siblings.iter().find(|vswitch| vswitch.status(call.now) == "Pending") {
        return Err(Failure::state("IncorrectVSwitchStatus", &busy.id, "Pending"));
    }
    if siblings.len() >= world.options.quotas.vswitches {
        return Err(Failure::new(400, "QuotaExceeded.VSwitch", "there are too many vSwitches in this VPC"));
    }
    let id = world.fresh_id("vsw");
    world.vswitches.push(VSwitch {
        id: id.clone(),
        region: call.region.to_string(),
        name: call.parameters.get("VSwitchName").unwrap_or_default().to_string(),
        vpc: vpc_id.to_string(),
        zone: zone.to_string(),
        cidr,
        tags: call.parameters.tags()?,
        created: timestamp(call.wall),
        ready_at: call.now + world.options.timing.vswitch,
        foreign: false,
    });
    Ok(json!({ "VSwitchId": id }))
}

fn attributes(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("VSwitchId")?;
    let vswitch = world.vswitch(call.region, id)?.clone();
    Ok(shown(world, &vswitch, call))
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = |name: &str, value: &str| call.parameters.get(name).is_none_or(|wanted| wanted == value);
    let mut found = Vec::new();
    for vswitch in world.vswitches.iter().filter(|vswitch| vswitch.region == call.region) {
        let fits = given("VpcId", &vswitch.vpc)
            && given("VSwitchId", &vswitch.id)
            && given("VSwitchName", &vswitch.name)
            && given("ZoneId", &vswitch.zone);
        if fits && call.parameters.tags_match(&vswitch.tags)? {
            found.push(shown(world, vswitch, call));
        }
    }
    let page = page::by_number(found, call, 50)?;
    let mut answer = page.frame;
    answer.insert("VSwitches".to_string(), json!({ "VSwitch": page.items }));
    Ok(Value::Object(answer))
}

fn shown(world: &World, vswitch: &VSwitch, call: &ApiCall<'_>) -> Value {
    let used = world.instances.iter().filter(|instance| instance.vswitch == vswitch.id).count();
    json!({
        "VSwitchId": vswitch.id,
        "VSwitchName": vswitch.name,
        "VpcId": vswitch.vpc,
        "ZoneId": vswitch.zone,
        "CidrBlock": vswitch.cidr.to_string(),
        "Status": vswitch.status(call.now),
        "AvailableIpAddressCount": vswitch.cidr.usable().count().saturating_sub(used),
        "CreationTime": vswitch.created,
        "IsDefault": false,
        "Description": "",
        "Tags": { "Tag": pairs(&vswitch.tags) },
    })
}

fn delete(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("VSwitchId")?;
    let vswitch = world.vswitch(call.region, id)?.clone();
    if vswitch.foreign {
        return Err(Failure::foreign("deletes vSwitch", id));
    }
    if world.instances.iter().any(|instance| instance.vswitch == id) {
        return Err(Failure::new(400, "DependencyViolation", format!("{id} still has network interfaces")));
    }
    if vswitch.status(call.now) == "Pending" {
        return Err(Failure::state("IncorrectVSwitchStatus", id, "Pending"));
    }
    let mut siblings = world.vswitches.iter().filter(|other| other.vpc == vswitch.vpc && other.id != id);
    let changing = siblings.any(|other| other.status(call.now) == "Pending");
    if changing || call.now < world.vpc(call.region, &vswitch.vpc)?.busy_until {
        return Err(Failure::new(409, "TaskConflict", "another vSwitch of the VPC is changing"));
    }
    let forgotten = call.now + world.options.timing.vswitch_delete;
    world.vpc(call.region, &vswitch.vpc)?.busy_until = forgotten;
    world.vswitches.retain(|vswitch| vswitch.id != id);
    Ok(nothing())
}

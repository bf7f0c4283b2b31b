//! VPCs: create, describe, delete; and the zones of a region.

use serde_json::{Value, json};

use super::page;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::clock::timestamp;
use crate::failure::{Failure, Outcome};
use crate::world::{Cidr, Vpc, World};

const TAG: [&str; 2] = ["Tag.N.Key", "Tag.N.Value"];

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateVpc",
        product: Product::Vpc,
        required: &["RegionId"],
        optional: &["CidrBlock", "VpcName", "Description", "ClientToken", TAG[0], TAG[1], "DryRun", "ResourceGroupId"],
        perform: create,
    },
    Action {
        name: "DescribeVpcAttribute",
        product: Product::Vpc,
        required: &["VpcId"],
        optional: &[],
        perform: attribute,
    },
    Action {
        name: "DescribeVpcs",
        product: Product::Vpc,
        required: &["RegionId"],
        optional: &["VpcId", "VpcName", TAG[0], TAG[1], "PageNumber", "PageSize", "IsDefault"],
        perform: list,
    },
    Action {
        name: "DeleteVpc",
        product: Product::Vpc,
        required: &["VpcId"],
        optional: &["ClientToken", "ForceDelete"],
        perform: delete,
    },
];

fn create(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    if world.vpcs.iter().filter(|vpc| vpc.region == call.region).count() >= world.options.quotas.vpcs {
        return Err(Failure::new(400, "QuotaExceeded.Vpc", "there are too many VPCs in this region"));
    }
    let cidr = call.parameters.get("CidrBlock").unwrap_or("172.16.0.0/12");
    let cidr: Cidr = cidr.parse().map_err(|()| Failure::new(400, "InvalidVpcCidrBlock.Malformed", "no network"))?;
    if !(8..=28).contains(&cidr.prefix()) {
        return Err(Failure::new(400, "InvalidVpcCidrBlock.Malformed", "the mask must be within 8 and 28"));
    }
    let id = world.fresh_id("vpc");
    world.vpcs.push(Vpc {
        id: id.clone(),
        region: call.region.to_string(),
        name: call.parameters.get("VpcName").unwrap_or_default().to_string(),
        cidr,
        tags: call.parameters.tags()?,
        created: timestamp(call.wall),
        ready_at: call.now + world.options.timing.vpc,
        busy_until: call.now,
        foreign: false,
    });
    Ok(json!({ "VpcId": id, "VRouterId": world.fresh_id("vrt"), "RouteTableId": world.fresh_id("vtb") }))
}

fn attribute(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("VpcId")?;
    let vpc = world.vpc(call.region, id)?.clone();
    Ok(shown(world, &vpc, call))
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let wanted: Vec<&str> = call.parameters.get("VpcId").map(|ids| ids.split(',').collect()).unwrap_or_default();
    let mut found = Vec::new();
    for vpc in world.vpcs.iter().filter(|vpc| vpc.region == call.region) {
        let named = call.parameters.get("VpcName").is_none_or(|name| name == vpc.name);
        if (wanted.is_empty() || wanted.contains(&vpc.id.as_str()))
            && named
            && !call.parameters.flag("IsDefault")?
            && call.parameters.tags_match(&vpc.tags)?
        {
            found.push(shown(world, vpc, call));
        }
    }
    let page = page::by_number(found, call, 50)?;
    let mut answer = page.frame;
    answer.insert("Vpcs".to_string(), json!({ "Vpc": page.items }));
    Ok(Value::Object(answer))
}

fn shown(world: &World, vpc: &Vpc, call: &ApiCall<'_>) -> Value {
    let inside = world.vswitches.iter().filter(|vswitch| vswitch.vpc == vpc.id);
    let ids: Vec<&str> = inside.map(|vswitch| vswitch.id.as_str()).collect();
    json!({
        "VpcId": vpc.id,
        "VpcName": vpc.name,
        "RegionId": vpc.region,
        "Status": vpc.status(call.now),
        "CidrBlock": vpc.cidr.to_string(),
        "VSwitchIds": { "VSwitchId": ids },
        "CreationTime": vpc.created,
        "IsDefault": false,
        "Description": "",
        "Tags": { "Tag": pairs(&vpc.tags) },
    })
}

fn delete(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("VpcId")?;
    let vpc = world.vpc(call.region, id)?.clone();
    if vpc.foreign {
        return Err(Failure::foreign("deletes VPC", id));
    }
    let held = |code: &str, what: &str| Err(Failure::new(400, code, format!("{id} still has {what}")));
    if world.instances.iter().any(|instance| instance.vpc == id) {
        return held("DependencyViolation.Instance", "instances");
    }
    if world.vswitches.iter().any(|vswitch| vswitch.vpc == id) || call.now < vpc.busy_until {
        return held("DependencyViolation.VSwitch", "vSwitches");
    }
    if world.groups.iter().any(|group| group.vpc == id) {
        return held("DependencyViolation.SecurityGroup", "security groups");
    }
    if vpc.status(call.now) == "Pending" {
        return Err(Failure::state("IncorrectVpcStatus", id, "Pending"));
    }
    world.vpcs.retain(|vpc| vpc.id != id);
    Ok(nothing())
}

/// Tags as this product writes them.
pub(super) fn pairs(tags: &[(String, String)]) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

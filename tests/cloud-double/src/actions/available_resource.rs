//! Lists the stock, zone by zone.

use serde_json::{Value, json};

use crate::call::{Action, ApiCall, Product};
use crate::failure::{Failure, Outcome};
use crate::stock::{InstanceType, stock_of};
use crate::world::World;

pub(super) const ACTIONS: &[Action] = &[Action {
    name: "DescribeAvailableResource",
    product: Product::Ecs,
    required: &["RegionId", "DestinationResource"],
    optional: &[
        "ZoneId",
        "Cores",
        "Memory",
        "InstanceType",
        "InstanceChargeType",
        "IoOptimized",
        "ResourceType",
        "NetworkCategory",
        "SystemDiskCategory",
        "DataDiskCategory",
        "SpotStrategy",
        "Scope",
    ],
    perform: available,
}];

fn available(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = call.parameters;
    let zone = given.get("ZoneId");
    if zone.is_some_and(|zone| !world.zones(call.region).iter().any(|known| known == zone)) {
        return Err(Failure::not_found("InvalidZoneId.NotFound", zone.unwrap_or_default()));
    }
    let destination = given.required("DestinationResource")?;
    if !["InstanceType", "SystemDisk", "DataDisk"].contains(&destination) {
        return Err(Failure::invalid("DestinationResource", "InstanceType, SystemDisk and DataDisk are known here"));
    }
    if destination != "InstanceType" && given.get("InstanceType").is_none() {
        return Err(Failure::missing("InstanceType"));
    }
    let (cores, memory) = (given.number("Cores", 1, 1024)?, given.number("Memory", 0.1, 9e4)?);
    let categories = [given.get("SystemDiskCategory"), given.get("DataDiskCategory")];
    let fits = |kind: &&InstanceType| {
        cores.is_none_or(|cores| kind.cpus == cores)
            && memory.is_none_or(|memory: f64| (kind.memory - memory).abs() < 0.01)
            && given.get("InstanceType").is_none_or(|wanted| wanted == kind.id)
            && categories.iter().flatten().all(|wanted| kind.disk_categories.iter().any(|known| known == wanted))
    };
    let types: Vec<&InstanceType> = world.options.instance_types.iter().filter(fits).collect();
    let mut zones = Vec::new();
    for id in world.zones(call.region) {
        if zone.is_some_and(|wanted| wanted != id) && !world.options.stock_of_all_zones {
            continue;
        }
        let supported = supported(world, &types, &id, destination);
        if !supported.is_empty() {
            zones.push(shown(call.region, &id, destination, &supported));
        }
    }
    Ok(json!({ "AvailableZones": { "AvailableZone": zones } }))
}

/// `Value`, `Status` and `StatusCategory` of what a zone has.
fn supported(world: &World, types: &[&InstanceType], zone: &str, destination: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for kind in types {
        let Some((status, category)) = stock_of(&world.options.stock, zone, &kind.id).shown() else { continue };
        let entry = |value: &String| json!({ "Value": value, "Status": status, "StatusCategory": category });
        if destination == "InstanceType" {
            found.push(entry(&kind.id));
        } else {
            let sized = |value| {
                let mut entry = entry(value);
                (entry["Min"], entry["Max"], entry["Unit"]) = (json!(20), json!(32_768), json!("GiB"));
                entry
            };
            found.extend(kind.disk_categories.iter().map(sized));
        }
    }
    found
}

fn shown(region: &str, zone: &str, destination: &str, supported: &[Value]) -> Value {
    // A zone has something as long as one of its things can be had.
    let best = supported.iter().find(|entry| entry["Status"] == "Available").unwrap_or(&supported[0]);
    json!({
        "RegionId": region,
        "ZoneId": zone,
        "Status": best["Status"],
        "StatusCategory": best["StatusCategory"],
        "AvailableResources": { "AvailableResource": [
            { "Type": destination, "SupportedResources": { "SupportedResource": supported } },
        ] },
    })
}

//! What is on offer: regions, zones, instance types, images.

use serde_json::{Value, json};

use super::page;
use crate::call::{Action, ApiCall, Product};
use crate::failure::{Failure, Outcome};
use crate::stock::{Image, InstanceType};
use crate::world::World;

pub(super) const ACTIONS: &[Action] = &[
    Action { name: "DescribeRegions", product: Product::Ecs, required: &[], optional: &REGIONS, perform: regions },
    Action { name: "DescribeRegions", product: Product::Vpc, required: &[], optional: &REGIONS, perform: regions },
    Action { name: "DescribeZones", product: Product::Ecs, required: &["RegionId"], optional: &ZONES, perform: zones },
    Action { name: "DescribeZones", product: Product::Vpc, required: &["RegionId"], optional: &ZONES, perform: zones },
    Action {
        name: "DescribeInstanceTypes",
        product: Product::Ecs,
        required: &[],
        optional: &[
            "MinimumCpuCoreCount",
            "MaximumCpuCoreCount",
            "MinimumMemorySize",
            "MaximumMemorySize",
            "CpuArchitecture",
            "InstanceTypes.N",
            "MaxResults",
            "NextToken",
        ],
        perform: instance_types,
    },
    Action {
        name: "DescribeImages",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &[
            "ImageId",
            "ImageName",
            "ImageFamily",
            "ImageOwnerAlias",
            "Architecture",
            "OSType",
            "Status",
            "Usage",
            "InstanceType",
            "ShowExpired",
            "ActionType",
            "Tag.N.Key",
            "Tag.N.Value",
            "PageNumber",
            "PageSize",
        ],
        perform: images,
    },
    Action {
        name: "DescribeImageFromFamily",
        product: Product::Ecs,
        required: &["RegionId", "ImageFamily"],
        optional: &[],
        perform: image_from_family,
    },
];

const REGIONS: [&str; 4] = ["AcceptLanguage", "InstanceChargeType", "ResourceType", "ProductType"];
const ZONES: [&str; 5] = ["AcceptLanguage", "ZoneType", "InstanceChargeType", "SpotStrategy", "Verbose"];

fn regions(world: &mut World, _: &ApiCall<'_>) -> Outcome {
    let shown = |id: &String| json!({ "RegionId": id, "LocalName": id, "RegionEndpoint": format!("ecs.{id}.aliyuncs.com"), "Status": "available" });
    let regions: Vec<Value> = world.options.regions.iter().map(shown).collect();
    Ok(json!({ "Regions": { "Region": regions } }))
}

fn zones(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let zones = world.zones(call.region);
    let zones: Vec<Value> =
        zones.iter().map(|id| json!({ "ZoneId": id, "LocalName": id, "ZoneType": "AvailabilityZone" })).collect();
    Ok(json!({ "Zones": { "Zone": zones } }))
}

fn instance_types(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = call.parameters;
    let ids = given.list("InstanceTypes", 10)?;
    let cpus = (given.number("MinimumCpuCoreCount", 1, 1024)?, given.number("MaximumCpuCoreCount", 1, 1024)?);
    let memory = (given.number("MinimumMemorySize", 0.1, 9e4)?, given.number("MaximumMemorySize", 0.1, 9e4)?);
    let fits = |kind: &&InstanceType| {
        (ids.is_empty() || ids.contains(&kind.id.as_str()))
            && cpus.0.is_none_or(|low| kind.cpus >= low)
            && cpus.1.is_none_or(|high| kind.cpus <= high)
            && memory.0.is_none_or(|low| kind.memory >= low)
            && memory.1.is_none_or(|high| kind.memory <= high)
            && given.get("CpuArchitecture").is_none_or(|wanted| wanted == kind.architecture)
    };
    let shown = |kind: &InstanceType| {
        json!({
            "InstanceTypeId": kind.id,
            "InstanceTypeFamily": kind.id.rsplit_once('.').map_or("", |(family, _)| family),
            "CpuCoreCount": kind.cpus,
            "MemorySize": kind.memory,
            "CpuArchitecture": kind.architecture,
        })
    };
    let found: Vec<Value> = world.options.instance_types.iter().filter(fits).map(shown).collect();
    let page = page::by_token(found, call)?;
    Ok(json!({ "NextToken": page.frame.get("NextToken"), "InstanceTypes": { "InstanceType": page.items } }))
}

fn images(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = |name: &str, value: &str| call.parameters.get(name).is_none_or(|wanted| wanted == value);
    let ids: Vec<&str> = call.parameters.get("ImageId").map(|ids| ids.split(',').collect()).unwrap_or_default();
    // Names may be cut short by `*`.
    let name = call.parameters.get("ImageName").unwrap_or("*");
    let named = |image: &Image| match name.strip_suffix('*') {
        Some(start) => image.id.starts_with(start),
        None => image.id == name,
    };
    let fits = |image: &&Image| {
        (ids.is_empty() || ids.contains(&image.id.as_str()))
            && named(image)
            && given("ImageFamily", &image.family)
            && given("ImageOwnerAlias", "system")
            && given("Architecture", &image.architecture)
            && given("OSType", "linux")
            && given("Status", "Available")
            && call.parameters.get("Tag.1.Key").is_none()
    };
    let found: Vec<Value> = world.options.images.iter().filter(fits).map(shown).collect();
    let page = page::by_number(found, call, 100)?;
    let mut answer = page.frame;
    answer.insert("RegionId".to_string(), json!(call.region));
    answer.insert("Images".to_string(), json!({ "Image": page.items }));
    Ok(Value::Object(answer))
}

fn image_from_family(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let family = call.parameters.required("ImageFamily")?;
    let newest = world.options.images.iter().filter(|image| image.family == family).max_by_key(|image| &image.created);
    let newest = newest.ok_or_else(|| Failure::not_found("InvalidImageFamily.NotFound", family))?;
    Ok(json!({ "Image": shown(newest) }))
}

fn shown(image: &Image) -> Value {
    json!({
        "ImageId": image.id,
        "ImageName": image.id,
        "ImageFamily": image.family,
        "OSName": image.os_name,
        "OSNameEn": image.os_name,
        "OSType": "linux",
        "Platform": image.platform,
        "Architecture": image.architecture,
        "ImageOwnerAlias": "system",
        "Size": image.size,
        "Status": "Available",
        "CreationTime": image.created,
    })
}

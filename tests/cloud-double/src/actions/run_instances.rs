//! Checks an order of instances and executes it.

use std::collections::BTreeMap;

use serde_json::json;

use super::instance_new::{Order, make};
use crate::call::{Action, ApiCall, Product};
use crate::failure::{Failure, Outcome};
use crate::stock::{Image, InstanceType, Stock, stock_of};
use crate::world::{VSwitch, World};

pub(super) const ACTIONS: &[Action] = &[Action {
    name: "RunInstances",
    product: Product::Ecs,
    required: &["RegionId"],
    optional: &[
        "ImageId",
        "ImageFamily",
        "InstanceType",
        "SecurityGroupId",
        "SecurityGroupIds.N",
        "VSwitchId",
        "ZoneId",
        "Amount",
        "MinAmount",
        "InstanceName",
        "HostName",
        "HostNames.N",
        "UniqueSuffix",
        "Description",
        "Password",
        "KeyPairName",
        "UserData",
        "PrivateIpAddress",
        "InternetMaxBandwidthOut",
        "InternetMaxBandwidthIn",
        "InternetChargeType",
        "InstanceChargeType",
        "IoOptimized",
        "SpotStrategy",
        "AutoReleaseTime",
        "DeletionProtection",
        "RamRoleName",
        "SecurityEnhancementStrategy",
        "ResourceGroupId",
        "ClientToken",
        "DryRun",
        "SystemDisk.Size",
        "SystemDisk.Category",
        "SystemDisk.PerformanceLevel",
        "SystemDisk.DiskName",
        "DataDisk.N.Size",
        "DataDisk.N.Category",
        "DataDisk.N.PerformanceLevel",
        "DataDisk.N.DeleteWithInstance",
        "DataDisk.N.DiskName",
        "Tag.N.Key",
        "Tag.N.Value",
    ],
    perform: run,
}];

fn run(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let given = call.parameters;
    if matches!(given.get("InstanceChargeType"), Some(kind) if kind != "PostPaid") {
        return Err(Failure::invalid("InstanceChargeType", "only PostPaid is known here"));
    }
    let amount = given.number("Amount", 1, 100)?.unwrap_or(1);
    let least = given.number("MinAmount", 1, 100)?;
    if least.is_some_and(|least| least > amount) {
        return Err(Failure::invalid("MinAmount", "it is larger than Amount"));
    }
    let (vswitch, groups) = network(world, call)?;
    let instance_type = wanted_type(world, given.required("InstanceType")?)?;
    let image = image(world, call, &instance_type)?;
    disks(call, &instance_type, &image)?;
    access(world, call)?;
    let left = on_stock(world, &vswitch.zone, &instance_type)?;
    quota(world, call, &instance_type, amount)?;
    let possible = amount.min(left).min(call.twist.partial.unwrap_or(u32::MAX));
    let amount = match least {
        _ if possible == amount => amount,
        Some(least) if possible >= least => possible,
        _ => return Err(no_stock()),
    };
    let ids = make(world, call, &Order { amount, vswitch, groups, instance_type, image })?;
    Ok(json!({ "InstanceIdSets": { "InstanceIdSet": ids }, "OrderId": world.fresh_id("order"), "TradePrice": 0.42 }))
}

/// The vSwitch and the groups, when they are there, ready, and in the same VPC.
fn network(world: &mut World, call: &ApiCall<'_>) -> Outcome<(VSwitch, Vec<String>)> {
    let vswitch = world.vswitch(call.region, call.parameters.required("VSwitchId")?)?.clone();
    let mut ids = call.parameters.list("SecurityGroupIds", 5)?;
    match (call.parameters.get("SecurityGroupId"), ids.is_empty()) {
        (Some(id), true) => ids.push(id),
        (Some(_), false) => return Err(Failure::invalid("SecurityGroupIds", "SecurityGroupId is given, too")),
        (None, true) => return Err(Failure::missing("SecurityGroupId")),
        (None, false) => {}
    }
    if call.parameters.get("ZoneId").is_some_and(|zone| zone != vswitch.zone) {
        return Err(Failure::invalid("ZoneId", format!("the vSwitch is in {}", vswitch.zone)));
    }
    let vpc = world.vpc(call.region, &vswitch.vpc)?;
    if vpc.status(call.now) == "Pending" {
        return Err(Failure::state("IncorrectVpcStatus", &vswitch.vpc, "Pending"));
    }
    if vswitch.status(call.now) == "Pending" {
        return Err(Failure::state("IncorrectVSwitchStatus", &vswitch.id, "Pending"));
    }
    for id in &ids {
        if world.group(call.region, id)?.vpc != vswitch.vpc {
            let message = format!("{id} and {} are not in the same VPC", vswitch.id);
            return Err(Failure::new(403, "OperationDenied.InconsistentNetwork", message));
        }
    }
    let ids = ids.into_iter().map(str::to_string).collect();
    Ok((vswitch, ids))
}

pub(super) fn wanted_type(world: &World, id: &str) -> Outcome<InstanceType> {
    let found = world.options.instance_types.iter().find(|known| known.id == id);
    found.cloned().ok_or_else(|| Failure::new(400, "InvalidInstanceType.ValueNotSupported", format!("no type {id}")))
}

fn image(world: &World, call: &ApiCall<'_>, instance_type: &InstanceType) -> Outcome<Image> {
    let images = &world.options.images;
    let found = match (call.parameters.get("ImageId"), call.parameters.get("ImageFamily")) {
        (Some(id), _) => images.iter().find(|image| image.id == id),
        (None, Some(family)) => images.iter().filter(|i| i.family == family).max_by_key(|image| &image.created),
        (None, None) => return Err(Failure::missing("ImageId")),
    };
    let image = found.ok_or_else(|| Failure::not_found("InvalidImageId.NotFound", "the image"))?;
    if (image.architecture == "arm64") != (instance_type.architecture == "ARM") {
        let message = format!("{} does not run on {}", image.id, instance_type.id);
        return Err(Failure::new(403, "ImageNotSupportInstanceType", message));
    }
    Ok(image.clone())
}

/// Categories that the family takes, and sizes that are possible.
fn disks(call: &ApiCall<'_>, instance_type: &InstanceType, image: &Image) -> Outcome<()> {
    let given = call.parameters;
    let system = BTreeMap::from([
        ("Category", given.get("SystemDisk.Category").unwrap_or("cloud_efficiency")),
        ("Size", given.get("SystemDisk.Size").unwrap_or("40")),
    ]);
    let mut all = vec![(system, image.size)];
    all.extend(given.objects("DataDisk", 16)?.into_iter().map(|disk| (disk, 20)));
    // Without a word about it, the family decides.
    let named = |index: usize| index > 0 || given.get("SystemDisk.Category").is_some();
    for (index, (disk, smallest)) in all.iter().enumerate() {
        let category = disk.get("Category").copied().unwrap_or("cloud_efficiency");
        if !["cloud", "cloud_efficiency", "cloud_ssd", "cloud_essd", "cloud_auto"].contains(&category) {
            return Err(Failure::new(400, "InvalidDiskCategory.ValueNotSupported", format!("no category {category}")));
        }
        if named(index) && !instance_type.disk_categories.iter().any(|known| known == category) {
            let message = format!("{} does not take disks of category {category}", instance_type.id);
            return Err(Failure::new(403, "InvalidInstanceType.NotSupportDiskCategory", message));
        }
        let size = disk.get("Size").and_then(|size| size.parse::<u32>().ok());
        if !size.is_some_and(|size| size >= *smallest && size <= 32_768) {
            let message = format!("a size of {} GiB is not possible", disk.get("Size").unwrap_or(&"no"));
            return Err(Failure::new(400, "InvalidDiskSize.ValueNotSupported", message));
        }
    }
    Ok(())
}

/// How one gets in.
fn access(world: &World, call: &ApiCall<'_>) -> Outcome<()> {
    if let Some(name) = call.parameters.get("KeyPairName")
        && !world.key_pairs.iter().any(|pair| pair.name == name && pair.region == call.region)
    {
        return Err(Failure::not_found("InvalidKeyPairName.NotFound", name));
    }
    if let Some(password) = call.parameters.get("Password") {
        let kinds: [fn(&char) -> bool; 4] =
            [char::is_ascii_uppercase, char::is_ascii_lowercase, char::is_ascii_digit, |c| {
                "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/".contains(*c)
            }];
        let has = kinds.iter().filter(|kind| password.chars().any(|c| kind(&c))).count();
        let only_known = password.chars().all(|c| kinds.iter().any(|kind| kind(&c)));
        if !(8..=30).contains(&password.len()) || has < 3 || !only_known {
            let message = "a password has 8 to 30 characters of at least three kinds";
            return Err(Failure::new(400, "InvalidPassword.Malformed", message));
        }
    }
    Ok(())
}

/// How many can be bought.
pub(super) fn on_stock(world: &World, zone: &str, instance_type: &InstanceType) -> Outcome<u32> {
    let stock = stock_of(&world.options.stock, zone, &instance_type.id);
    if stock == Stock::NotOnSale {
        let message = format!("{} is not sold in {zone}", instance_type.id);
        return Err(Failure::new(403, "Zone.NotOnSale", message));
    }
    let sold = world.instances.iter().filter(|i| i.zone == zone && i.instance_type == instance_type.id).count();
    match stock.left(sold) {
        0 => Err(no_stock()),
        left => Ok(left),
    }
}

fn no_stock() -> Failure {
    Failure::new(403, "OperationDenied.NoStock", "the requested resource is sold out in the specified zone")
}

fn quota(world: &World, call: &ApiCall<'_>, instance_type: &InstanceType, amount: u32) -> Outcome<()> {
    let here = world.instances.iter().filter(|instance| instance.region == call.region);
    let (mut count, mut cpus) = (0, instance_type.cpus.saturating_mul(amount));
    for instance in here {
        count += 1;
        cpus += if instance.instance_type == instance_type.id { instance.cpus } else { 0 };
    }
    if cpus > world.options.quotas.cpus_of_type {
        let message = format!("no more processors of type {} are allowed", instance_type.id);
        return Err(Failure::new(403, "QuotaExceed.ElasticQuota", message));
    }
    if count + usize::try_from(amount).unwrap_or(usize::MAX) > world.options.quotas.instances {
        return Err(Failure::new(403, "QuotaExceeded.Instance", "no more instances are allowed"));
    }
    Ok(())
}

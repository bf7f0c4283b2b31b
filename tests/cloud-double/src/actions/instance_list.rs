//! Lists instances as they look from outside.

use serde_json::{Value, json};

use super::page;
use super::tag::pairs;
use crate::call::{Action, ApiCall, Product};
use crate::failure::{Failure, Outcome};
use crate::world::{Instance, World};

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "DescribeInstances",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &[
            "InstanceIds",
            "VpcId",
            "VSwitchId",
            "SecurityGroupId",
            "ZoneId",
            "Status",
            "InstanceName",
            "ImageId",
            "KeyPairName",
            "InstanceType",
            "InstanceChargeType",
            "InstanceNetworkType",
            "PrivateIpAddresses",
            "Tag.N.Key",
            "Tag.N.Value",
            "MaxResults",
            "NextToken",
            "PageNumber",
            "PageSize",
        ],
        perform: list,
    },
    Action {
        name: "DescribeInstanceStatus",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &["InstanceId.N", "ZoneId", "PageNumber", "PageSize"],
        perform: status,
    },
];

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let ids = ids(call, "InstanceIds")?;
    let private = ids_of(call, "PrivateIpAddresses")?;
    let given = |name: &str, value: &str| call.parameters.get(name).is_none_or(|wanted| wanted == value);
    let mut found = Vec::new();
    let visible = |instance: &&Instance| {
        instance.region == call.region && call.now >= instance.born + world.options.consistency.missing
    };
    for instance in world.instances.iter().filter(visible) {
        let group = call.parameters.get("SecurityGroupId");
        let fits = ids.as_ref().is_none_or(|ids| ids.contains(&instance.id))
            && private.as_ref().is_none_or(|ips| ips.contains(&instance.private_ip.to_string()))
            && given("VpcId", &instance.vpc)
            && given("VSwitchId", &instance.vswitch)
            && given("ZoneId", &instance.zone)
            && given("Status", instance.phase.status())
            && given("InstanceName", &instance.name)
            && given("ImageId", &instance.image)
            && given("InstanceType", &instance.instance_type)
            && given("InstanceChargeType", "PostPaid")
            && given("InstanceNetworkType", "vpc")
            && given("KeyPairName", instance.key_pair.as_deref().unwrap_or_default())
            && group.is_none_or(|group| instance.groups.iter().any(|known| known == group));
        if fits && call.parameters.tags_match(&instance.tags)? {
            found.push(shown(world, instance, call));
        }
    }
    let page = page::either(found, call)?;
    let mut answer = page.frame;
    answer.insert("Instances".to_string(), json!({ "Instance": page.items }));
    Ok(Value::Object(answer))
}

/// A JSON list of at most a hundred ids in one parameter.
fn ids(call: &ApiCall<'_>, name: &str) -> Outcome<Option<Vec<String>>> {
    let ids = ids_of(call, name)?;
    if ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > 100) {
        return Err(Failure::invalid(name, "it must have 1 to 100 ids"));
    }
    Ok(ids)
}

fn ids_of(call: &ApiCall<'_>, name: &str) -> Outcome<Option<Vec<String>>> {
    let Some(text) = call.parameters.get(name) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|_| Failure::invalid(name, "it is no JSON list of text"))
}

fn shown(world: &World, instance: &Instance, call: &ApiCall<'_>) -> Value {
    let lag = world.options.consistency;
    let within = |time| call.now < instance.born + time;
    let address = match instance.private_ip {
        _ if within(lag.without_address) => String::new(),
        _ if within(lag.repeated_address) => instance.sibling_ip.to_string(),
        address => address.to_string(),
    };
    let interfaces = if within(lag.without_interfaces) {
        json!([])
    } else {
        json!([{ "PrimaryIpAddress": address, "NetworkInterfaceId": format!("eni-{}", &instance.id[2..]), "Type": "Primary" }])
    };
    let eip = world.eips.iter().find(|eip| eip.instance() == Some(&instance.id));
    let eip_address = eip.map(|eip| instance.hook_public.unwrap_or(eip.address).to_string());
    let public: Vec<String> = instance.public_ip.iter().map(ToString::to_string).collect();
    let inner = if address.is_empty() { json!([]) } else { json!([address]) };
    json!({
        "InstanceId": instance.id,
        "InstanceName": instance.name,
        "HostName": instance.host_name,
        "Status": instance.phase.status(),
        "RegionId": instance.region,
        "ZoneId": instance.zone,
        "InstanceType": instance.instance_type,
        "InstanceTypeFamily": instance.instance_type.rsplit_once('.').map_or("", |(family, _)| family),
        "Cpu": instance.cpus,
        "Memory": mebibytes(instance.memory),
        "ImageId": instance.image,
        "KeyPairName": instance.key_pair.clone().unwrap_or_default(),
        "InstanceChargeType": "PostPaid",
        "InstanceNetworkType": "vpc",
        "DeletionProtection": instance.protected,
        "CreationTime": instance.created,
        "NetworkInterfaces": { "NetworkInterface": interfaces },
        "VpcAttributes": {
            "VpcId": instance.vpc,
            "VSwitchId": instance.vswitch,
            "NatIpAddress": "",
            "PrivateIpAddress": { "IpAddress": inner },
        },
        "EipAddress": {
            "IpAddress": eip_address.unwrap_or_default(),
            "AllocationId": eip.map(|eip| eip.id.clone()).unwrap_or_default(),
        },
        "PublicIpAddress": { "IpAddress": public },
        "SecurityGroupIds": { "SecurityGroupId": instance.groups },
        "Tags": { "Tag": pairs(&instance.tags) },
    })
}

/// The cloud writes whole numbers here, where it sells fractions of a GiB.
fn mebibytes(gibibytes: f64) -> u64 {
    std::time::Duration::from_secs_f64(gibibytes * 1024.0).as_secs()
}

fn status(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let ids = call.parameters.list("InstanceId", 100)?;
    let zone = call.parameters.get("ZoneId");
    let lag = world.options.consistency.missing;
    let listed = world.instances.iter().filter(|instance| {
        instance.region == call.region
            && call.now >= instance.born + lag
            && (ids.is_empty() || ids.contains(&instance.id.as_str()))
            && zone.is_none_or(|zone| zone == instance.zone)
    });
    let found: Vec<Value> =
        listed.map(|instance| json!({ "InstanceId": instance.id, "Status": instance.phase.status() })).collect();
    let page = page::by_number(found, call, 50)?;
    let mut answer = page.frame;
    answer.insert("InstanceStatuses".to_string(), json!({ "InstanceStatus": page.items }));
    Ok(Value::Object(answer))
}

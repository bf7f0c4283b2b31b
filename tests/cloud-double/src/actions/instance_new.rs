//! Creates the instances of an order: names, addresses, disks.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::call::ApiCall;
use crate::clock::{parse_timestamp, timestamp};
use crate::failure::{Failure, Outcome};
use crate::stock::{Image, InstanceType};
use crate::world::{Disk, Instance, Phase, Task, VSwitch, World};

const USER_DATA_LIMIT: usize = 16 * 1024;

/// What was found to be possible.
pub(super) struct Order {
    pub(super) amount: u32,
    pub(super) vswitch: VSwitch,
    pub(super) groups: Vec<String>,
    pub(super) instance_type: InstanceType,
    pub(super) image: Image,
}

/// Makes the instances and returns their ids.
pub(super) fn make(world: &mut World, call: &ApiCall<'_>, order: &Order) -> Outcome<Vec<String>> {
    let given = call.parameters;
    let addresses = addresses(world, call, order)?;
    let names = names(call, "InstanceName", order.amount)?;
    let hosts = host_names(call, order.amount)?;
    let (user_data, auto_release) = (user_data(call)?, auto_release(call)?);
    let public = given.number("InternetMaxBandwidthOut", 0, 100)?.unwrap_or(0) > 0;
    let timing = world.options.timing;
    let mut ids = Vec::new();
    for (index, private_ip) in addresses.iter().copied().enumerate() {
        let id = world.fresh_id("i");
        let phase =
            Phase::Pending { until: call.now + timing.running.mul_f64(0.3), running_at: call.now + timing.running };
        let vanish_at = call.twist.vanish.filter(|_| index == 0).map(|after| call.now + after);
        let or_id = |name: &str| if name.is_empty() { id.clone() } else { name.to_string() };
        let instance = Instance {
            region: call.region.to_string(),
            zone: order.vswitch.zone.clone(),
            name: or_id(&names[index]),
            host_name: or_id(&hosts[index]),
            instance_type: order.instance_type.id.clone(),
            cpus: order.instance_type.cpus,
            memory: order.instance_type.memory,
            image: order.image.id.clone(),
            vpc: order.vswitch.vpc.clone(),
            vswitch: order.vswitch.id.clone(),
            groups: order.groups.clone(),
            private_ip,
            sibling_ip: addresses[0],
            public_ip: public.then(|| world.fresh_eip()),
            hook_public: None,
            key_pair: given.get("KeyPairName").map(str::to_string),
            password: given.get("Password").map(str::to_string),
            user_data: user_data.clone(),
            tags: given.tags()?,
            created: timestamp(call.wall),
            born: call.now,
            phase,
            vanish_at,
            auto_release,
            protected: given.flag("DeletionProtection")?,
            awaits_host: world.hooked,
            disks: disks(call, &id)?,
            id: id.clone(),
        };
        if world.hooked {
            world.tasks.push(Task::Start(id.clone()));
        }
        world.instances.push(instance);
        world.instances_made += 1;
        ids.push(id);
    }
    Ok(ids)
}

/// The lowest free addresses of the vSwitch, or those from the given one on.
fn addresses(world: &World, call: &ApiCall<'_>, order: &Order) -> Outcome<Vec<Ipv4Addr>> {
    let used: Vec<Ipv4Addr> =
        world.instances.iter().filter(|i| i.vswitch == order.vswitch.id).map(|i| i.private_ip).collect();
    let amount = usize::try_from(order.amount).unwrap_or(usize::MAX);
    let cidr = order.vswitch.cidr;
    let Some(first) = call.parameters.get("PrivateIpAddress") else {
        let free: Vec<Ipv4Addr> = cidr.usable().filter(|address| !used.contains(address)).take(amount).collect();
        if free.len() < amount {
            let message = format!("{} has not enough free addresses", order.vswitch.id);
            return Err(Failure::new(403, "InvalidVSwitchId.IpNotEnough", message));
        }
        return Ok(free);
    };
    let first: Ipv4Addr = first.parse().map_err(|_| Failure::new(400, "InvalidIPAddress.Malformed", first))?;
    let chosen: Vec<Ipv4Addr> = (0..order.amount).map(|index| Ipv4Addr::from(u32::from(first) + index)).collect();
    match chosen.iter().find(|address| used.contains(address) || !cidr.is_usable(**address)) {
        Some(taken) => Err(Failure::new(403, "InvalidIPAddress.AlreadyUsed", format!("{taken} cannot be had"))),
        None => Ok(chosen),
    }
}

fn host_names(call: &ApiCall<'_>, amount: u32) -> Outcome<Vec<String>> {
    let listed = call.parameters.list("HostNames", 100)?;
    if listed.is_empty() {
        return names(call, "HostName", amount);
    }
    if call.parameters.get("HostName").is_some() || listed.len() < usize::try_from(amount).unwrap_or(usize::MAX) {
        return Err(Failure::invalid("HostNames", "it must be as long as Amount and without HostName"));
    }
    Ok(listed.into_iter().map(str::to_string).collect())
}

/// `prefix[begin,bits]suffix` counted up, or a name with an optional suffix `001`, `002`, ….
fn names(call: &ApiCall<'_>, parameter: &str, amount: u32) -> Outcome<Vec<String>> {
    let name = call.parameters.get(parameter).unwrap_or_default();
    if name.is_empty() {
        return Ok(vec![String::new(); usize::try_from(amount).unwrap_or_default()]);
    }
    let names: Vec<String> = match counted(name) {
        Some((prefix, begin, bits, suffix)) => {
            (0..amount).map(|index| format!("{prefix}{:0bits$}{suffix}", begin + index)).collect()
        }
        None if call.parameters.flag("UniqueSuffix")? && amount > 1 => {
            (1..=amount).map(|index| format!("{name}{index:03}")).collect()
        }
        None => vec![name.to_string(); usize::try_from(amount).unwrap_or_default()],
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let host = |name: &String| {
        (2..=64).contains(&name.len())
            && name.chars().all(allowed)
            && !name.starts_with(['-', '.'])
            && !name.ends_with(['-', '.'])
    };
    if parameter == "HostName" && !names.iter().all(host) {
        return Err(Failure::new(400, "InvalidHostName.Malformed", format!("{name} is no name of a host")));
    }
    if names.iter().any(|name| name.chars().count() > 128 || name.chars().count() < 2) {
        return Err(Failure::new(400, "InvalidInstanceName.Malformed", "a name has 2 to 128 characters"));
    }
    Ok(names)
}

fn counted(name: &str) -> Option<(&str, u32, usize, &str)> {
    let (prefix, rest) = name.split_once('[')?;
    let (inside, suffix) = rest.split_once(']')?;
    let (begin, bits) = inside.split_once(',')?;
    let number = |text: &str, default: u32| if text.is_empty() { Some(default) } else { text.trim().parse().ok() };
    let (begin, bits) = (number(begin, 0)?, number(bits, 6)?);
    (begin <= 999_999 && (1..=6).contains(&bits)).then_some((prefix, begin, usize::try_from(bits).ok()?, suffix))
}

fn user_data(call: &ApiCall<'_>) -> Outcome<Option<Vec<u8>>> {
    let Some(text) = call.parameters.get("UserData") else { return Ok(None) };
    let raw = STANDARD.decode(text);
    let raw = raw.map_err(|_| Failure::new(400, "InvalidUserData.Base64FormatInvalid", "it is no base64"))?;
    if raw.len() > USER_DATA_LIMIT {
        return Err(Failure::new(400, "InvalidUserData.SizeExceeded", "it is larger than 16 KiB"));
    }
    Ok(Some(raw))
}

/// When the machine goes by itself: half an hour ahead at least.
pub(super) fn auto_release(call: &ApiCall<'_>) -> Outcome<Option<Duration>> {
    let Some(text) = call.parameters.get("AutoReleaseTime") else { return Ok(None) };
    let refused = |message: &str| Failure::new(400, "InvalidAutoReleaseTime.Malformed", message);
    let at = parse_timestamp(text).ok_or_else(|| refused("it must be like 2006-01-02T15:04:05Z"))?;
    let ahead = at.duration_since(call.wall).map_err(|_| refused("it is in the past"))?;
    if ahead < Duration::from_secs(30 * 60) {
        return Err(refused("it must be at least 30 minutes ahead"));
    }
    Ok(Some(call.now + ahead))
}

fn disks(call: &ApiCall<'_>, instance: &str) -> Outcome<Vec<Disk>> {
    let given = call.parameters;
    let mut disks = vec![Disk {
        instance: instance.to_string(),
        size: given.number("SystemDisk.Size", 1, 32_768)?.unwrap_or(40),
        category: given.get("SystemDisk.Category").unwrap_or("cloud_efficiency").to_string(),
        system: true,
        delete_with_instance: true,
    }];
    for disk in given.objects("DataDisk", 16)? {
        disks.push(Disk {
            instance: instance.to_string(),
            size: disk.get("Size").and_then(|size| size.parse().ok()).unwrap_or(20),
            category: disk.get("Category").copied().unwrap_or("cloud_efficiency").to_string(),
            system: false,
            delete_with_instance: !disk.get("DeleteWithInstance").is_some_and(|v| v.eq_ignore_ascii_case("false")),
        });
    }
    Ok(disks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count_are_read() {
        assert_eq!(counted("m-[0,3]"), Some(("m-", 0, 3, "")));
        assert_eq!(counted("m-[,]x"), Some(("m-", 0, 6, "x")));
        assert_eq!(counted("m-[1,7]"), None);
        assert_eq!(counted("plain"), None);
    }
}

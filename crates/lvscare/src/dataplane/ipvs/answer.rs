//! Reads what IPVS answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::numbers::{HASHED, LOCAL, MASQUERADE, SERVER, SERVICE, TCP, server, service};
use crate::netlink::{Family, find, u16_be};
use crate::{Forward, Scheduler, Server, Traffic};

/// Bytes of the header of a part of the kernel that speaks generic netlink.
const HEADER: usize = 4;

/// A server as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerEntry {
    /// Its address.
    pub(super) address: SocketAddr,
    /// Its weight and way of forwarding; [`Forward::Other`] too when it has thresholds.
    pub(super) server: Server,
    /// What it counted.
    pub(super) traffic: Traffic,
}

/// The attributes of a message; none when it is broken.
pub(super) fn attributes(body: &[u8]) -> &[u8] {
    body.get(HEADER..).unwrap_or_default()
}

/// Address and scheduler of a virtual TCP service; `None` for firewall marks, other protocols and what is broken. The
/// scheduler is [`Scheduler::Other`] too when flags are set or a persistence engine is at work.
pub(super) fn service_entry(body: &[u8]) -> Option<(SocketAddr, Scheduler)> {
    let entry = find(attributes(body), SERVICE)?;
    if find(entry, service::FIREWALL_MARK).is_some() || short(find(entry, service::PROTOCOL)?)? != TCP {
        return None;
    }
    let family = short(find(entry, service::FAMILY)?)?;
    let port = u16_be(find(entry, service::PORT)?)?;
    let ip = address(family, find(entry, service::ADDRESS)?)?;
    let name = find(entry, service::SCHEDULER).map(|name| name.strip_suffix(&[0]).unwrap_or(name));
    let known = name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
    let flags = find(entry, service::FLAGS).map_or(Some(0), |flags| number(flags.get(..4)?))?;
    let plain = flags & !HASHED == 0 && find(entry, service::PERSISTENCE_ENGINE).is_none();
    let scheduler = known.filter(|_| plain).unwrap_or(Scheduler::Other);
    Some((SocketAddr::new(ip, port), scheduler))
}

/// A server; `None` when it is of a family that IPVS does not know, or broken.
pub(super) fn server_entry(body: &[u8]) -> Option<ServerEntry> {
    let entry = find(attributes(body), SERVER)?;
    let raw = find(entry, server::ADDRESS)?;
    let family = match find(entry, server::FAMILY) {
        Some(family) => short(family)?,
        // Kernels before 3.18 do not say the family; what fills more than four bytes is IPv6.
        None if raw.get(4..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) => Family::V6.number().into(),
        None => Family::V4.number().into(),
    };
    let value = |kind| find(entry, kind).map_or(Some(0), number);
    let thresholds = value(server::UPPER_THRESHOLD)? | value(server::LOWER_THRESHOLD)?;
    let translated = matches!(value(server::FORWARD)?, MASQUERADE | LOCAL);
    let forward = if translated && thresholds == 0 { Forward::Masquerade } else { Forward::Other };
    let weight = u16::try_from(value(server::WEIGHT)?).unwrap_or(u16::MAX);
    let counters = find(entry, server::STATS64).or_else(|| find(entry, server::STATS)).unwrap_or_default();
    // In the order of `IPVS_STATS_ATTR_*`.
    let count = |kind| find(counters, kind).and_then(wide).unwrap_or_default();
    Some(ServerEntry {
        address: SocketAddr::new(address(family, raw)?, u16_be(find(entry, server::PORT)?)?),
        server: Server { weight, forward },
        traffic: Traffic {
            active: value(server::ACTIVE)?,
            inactive: value(server::INACTIVE)?,
            connections: count(1),
            packets_in: count(2),
            packets_out: count(3),
            bytes_in: count(4),
            bytes_out: count(5),
        },
    })
}

/// The address of this family in an attribute's value.
fn address(family: u16, bytes: &[u8]) -> Option<IpAddr> {
    if family == u16::from(Family::V4.number()) {
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?).into());
    }
    let octets = <[u8; 16]>::try_from(bytes.get(..16)?).ok()?;
    (family == u16::from(Family::V6.number())).then(|| Ipv6Addr::from(octets).into())
}

/// A number in the machine's byte order.
pub(super) fn short(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A counter of 64 bits, or of 32 where the kernel has no more.
fn wide(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => number(bytes).map(u64::from),
        _ => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
    }
}

//! Writes and reads the netlink messages of IPVS.
//!
//! Numbers are those of `linux/ip_vs.h` and of the policy tables in the kernel's `ip_vs_ctl.c`: addresses are 16 bytes for
//! both families, ports and IPv4 masks are big-endian, everything else has the machine's own order.

use std::net::{IpAddr, SocketAddr};

use crate::netlink::{Attribute, family, nla};
use crate::{FOREIGN, Scheduler, Service, Traffic};

/// Commands (`IPVS_CMD_*`).
pub(super) mod command {
    pub(in super::super) const NEW_SERVICE: u8 = 1;
    pub(in super::super) const SET_SERVICE: u8 = 2;
    pub(in super::super) const DELETE_SERVICE: u8 = 3;
    pub(in super::super) const GET_SERVICE: u8 = 4;
    pub(in super::super) const NEW_SERVER: u8 = 5;
    pub(in super::super) const SET_SERVER: u8 = 6;
    pub(in super::super) const DELETE_SERVER: u8 = 7;
    pub(in super::super) const GET_SERVER: u8 = 8;
}

/// What a message is about (`IPVS_CMD_ATTR_*`).
const SERVICE: u16 = 1;
const SERVER: u16 = 2;

/// Attributes of a virtual service (`IPVS_SVC_ATTR_*`).
mod service {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const ADDRESS: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const SCHEDULER: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
    pub(super) const TIMEOUT: u16 = 8;
    pub(super) const NETMASK: u16 = 9;
    pub(super) const PERSISTENCE_ENGINE: u16 = 11;
}

/// Attributes of a server (`IPVS_DEST_ATTR_*`).
mod server {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const FORWARD: u16 = 3;
    pub(super) const WEIGHT: u16 = 4;
    pub(super) const UPPER_THRESHOLD: u16 = 5;
    pub(super) const LOWER_THRESHOLD: u16 = 6;
    pub(super) const ACTIVE: u16 = 7;
    pub(super) const INACTIVE: u16 = 8;
    pub(super) const STATS: u16 = 10;
    pub(super) const FAMILY: u16 = 11;
    pub(super) const STATS64: u16 = 12;
}

/// `IPPROTO_TCP`.
const TCP: u16 = 6;
/// Forwarding by address translation (`IP_VS_CONN_F_MASQ`).
const MASQUERADE: u32 = 0;
/// The kernel's own way to a server that is an address of this very host (`IP_VS_CONN_F_LOCALNODE`).
const LOCAL: u32 = 1;
/// The kernel sets this flag on every service it holds (`IP_VS_SVC_F_HASHED`).
const HASHED: u32 = 2;

/// What identifies the virtual service at `address`.
pub(super) fn service_at(address: SocketAddr) -> Attribute {
    nla::nested(SERVICE, &identity(address))
}

/// A whole virtual service.
pub(super) fn service(wanted: &Service) -> Attribute {
    let mut attributes = identity(wanted.address).to_vec();
    attributes.extend([
        nla::text(service::SCHEDULER, wanted.scheduler.into()),
        // All flags off, and all of them count: neither persistence nor one-packet scheduling, no switches.
        nla::bytes(service::FLAGS, [[0; 4], u32::MAX.to_ne_bytes()].concat()),
        number(service::TIMEOUT, 0),
        // For IPv4 a mask, for IPv6 the length of a prefix: each client by itself.
        number(service::NETMASK, if wanted.address.is_ipv6() { 128 } else { u32::MAX }),
    ]);
    nla::nested(SERVICE, &attributes)
}

/// A whole server.
pub(super) fn server(address: SocketAddr, weight: u32) -> Attribute {
    let attributes = [
        nla::bytes(server::ADDRESS, sixteen(address.ip())),
        nla::bytes(server::PORT, address.port().to_be_bytes()),
        number(server::FORWARD, MASQUERADE),
        number(server::WEIGHT, weight),
        number(server::UPPER_THRESHOLD, 0),
        number(server::LOWER_THRESHOLD, 0),
        short(server::FAMILY, family(address.ip()).into()),
    ];
    nla::nested(SERVER, &attributes)
}

fn identity(address: SocketAddr) -> [Attribute; 4] {
    [
        short(service::FAMILY, family(address.ip()).into()),
        short(service::PROTOCOL, TCP),
        nla::bytes(service::ADDRESS, sixteen(address.ip())),
        nla::bytes(service::PORT, address.port().to_be_bytes()),
    ]
}

/// An address in 16 bytes, zeros after an IPv4 address.
fn sixteen(address: IpAddr) -> Vec<u8> {
    let mut bytes = nla::octets(address);
    bytes.resize(16, 0);
    bytes
}

fn short(kind: u16, value: u16) -> Attribute {
    nla::bytes(kind, value.to_ne_bytes())
}

fn number(kind: u16, value: u32) -> Attribute {
    nla::bytes(kind, value.to_ne_bytes())
}

/// A server as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerEntry {
    /// Its address.
    pub(super) address: SocketAddr,
    /// Its weight; [`FOREIGN`] when it has thresholds or another way of forwarding.
    pub(super) weight: u32,
    /// What it counted.
    pub(super) traffic: Traffic,
}

/// The scheduler of a virtual service; [`Scheduler::Other`] too when flags are set or a persistence engine is at work.
pub(super) fn read_scheduler(attributes: &[u8]) -> Option<Scheduler> {
    let entry = nla::find(attributes, &[SERVICE])?;
    let name = nla::find(entry, &[service::SCHEDULER]).map(|name| name.strip_suffix(&[0]).unwrap_or(name));
    let known = name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
    let flags = nla::find(entry, &[service::FLAGS]).map_or(Some(0), |flags| read_u32(flags.get(..4)?))?;
    let plain = flags & !HASHED == 0 && nla::find(entry, &[service::PERSISTENCE_ENGINE]).is_none();
    Some(known.filter(|_| plain).unwrap_or(Scheduler::Other))
}

/// A server; `None` when it is of a family that IPVS does not know, or broken.
pub(super) fn read_server(attributes: &[u8]) -> Option<ServerEntry> {
    let entry = nla::find(attributes, &[SERVER])?;
    let value = |kind| nla::find(entry, &[kind]).map_or(Some(0), read_u32);
    let thresholds = value(server::UPPER_THRESHOLD)? | value(server::LOWER_THRESHOLD)?;
    let translated = matches!(value(server::FORWARD)?, MASQUERADE | LOCAL);
    let weight = if translated && thresholds == 0 { value(server::WEIGHT)? } else { FOREIGN };
    let counters = [server::STATS64, server::STATS].into_iter().find_map(|kind| nla::find(entry, &[kind]));
    // In the order of `IPVS_STATS_ATTR_*`.
    let count = |kind| nla::find(counters?, &[kind]).and_then(read_count);
    let port = nla::port_of(nla::find(entry, &[server::PORT])?)?;
    Some(ServerEntry {
        address: SocketAddr::new(read_address(entry)?, port),
        weight,
        traffic: Traffic {
            active: value(server::ACTIVE)?,
            inactive: value(server::INACTIVE)?,
            connections: count(1).unwrap_or_default(),
            packets_in: count(2).unwrap_or_default(),
            packets_out: count(3).unwrap_or_default(),
            bytes_in: count(4).unwrap_or_default(),
            bytes_out: count(5).unwrap_or_default(),
        },
    })
}

/// The address of a server. Kernels before 3.18 do not say the family; what fills more than four bytes is IPv6.
fn read_address(entry: &[u8]) -> Option<IpAddr> {
    let (four, rest) = nla::find(entry, &[server::ADDRESS])?.split_at_checked(4)?;
    let family = nla::find(entry, &[server::FAMILY]).map_or(Some(0), read_u16)?;
    match family {
        2 => nla::address_of(four),
        0 if rest.iter().all(|byte| *byte == 0) => nla::address_of(four),
        0 | 10 => nla::address_of(&[four, rest.get(..12)?].concat()),
        _ => None,
    }
}

/// A number in the machine's byte order.
pub(super) fn read_u16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn read_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A counter of 64 bits, or of 32 where the kernel has no more.
fn read_count(bytes: &[u8]) -> Option<u64> {
    read_u32(bytes).map(u64::from).or_else(|| Some(u64::from_ne_bytes(bytes.try_into().ok()?)))
}

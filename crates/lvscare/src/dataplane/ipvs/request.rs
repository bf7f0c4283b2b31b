//! Writes what IPVS is asked or told.

use std::net::{IpAddr, SocketAddr};

use super::numbers::{MASQUERADE, SERVER, SERVICE, TCP, server, service};
use crate::netlink::{Attribute, Family};
use crate::{Server, Service};

/// The body of a message to a part of the kernel that speaks generic netlink: command, version, attributes.
pub(super) fn body(command: u8, version: u8, attributes: &[Attribute]) -> Vec<u8> {
    let mut body = vec![command, version, 0, 0];
    attributes.iter().for_each(|attribute| attribute.write(&mut body));
    body
}

/// What names a virtual service: family, protocol, address and port.
pub(super) fn about(address: SocketAddr) -> Vec<Attribute> {
    vec![Attribute::nested(SERVICE, identity(address))]
}

/// A whole virtual service.
pub(super) fn whole_service(wanted: &Service) -> Vec<Attribute> {
    let mut attributes = identity(wanted.address);
    attributes.extend([
        Attribute::text(service::SCHEDULER, wanted.scheduler.as_str()),
        // All flags off, and all of them count: neither persistence nor one-packet scheduling, no switches.
        Attribute::bytes(service::FLAGS, [[0; 4], u32::MAX.to_ne_bytes()].concat()),
        number(service::TIMEOUT, 0),
        // For IPv4 a mask, for IPv6 the length of a prefix: each client by itself.
        number(service::NETMASK, if wanted.address.is_ipv6() { 128 } else { u32::MAX }),
    ]);
    vec![Attribute::nested(SERVICE, attributes)]
}

/// A whole server of the virtual service at `address`.
pub(super) fn whole_server(address: SocketAddr, server_address: SocketAddr, wanted: Server) -> Vec<Attribute> {
    let mut attributes = endpoint(server_address);
    attributes.extend([
        number(server::FORWARD, MASQUERADE),
        number(server::WEIGHT, wanted.weight.into()),
        number(server::UPPER_THRESHOLD, 0),
        number(server::LOWER_THRESHOLD, 0),
        short(server::FAMILY, family(server_address)),
    ]);
    vec![Attribute::nested(SERVICE, identity(address)), Attribute::nested(SERVER, attributes)]
}

/// What names a server of the virtual service at `address`.
pub(super) fn about_server(address: SocketAddr, server_address: SocketAddr) -> Vec<Attribute> {
    let mut attributes = endpoint(server_address);
    attributes.push(short(server::FAMILY, family(server_address)));
    vec![Attribute::nested(SERVICE, identity(address)), Attribute::nested(SERVER, attributes)]
}

fn identity(address: SocketAddr) -> Vec<Attribute> {
    vec![
        short(service::FAMILY, family(address)),
        short(service::PROTOCOL, TCP),
        Attribute::bytes(service::ADDRESS, sixteen(address.ip())),
        Attribute::bytes(service::PORT, address.port().to_be_bytes()),
    ]
}

fn endpoint(address: SocketAddr) -> Vec<Attribute> {
    vec![
        Attribute::bytes(server::ADDRESS, sixteen(address.ip())),
        Attribute::bytes(server::PORT, address.port().to_be_bytes()),
    ]
}

fn family(address: SocketAddr) -> u16 {
    Family::of(address.ip()).number().into()
}

/// An address in 16 bytes, zeros after an IPv4 address.
fn sixteen(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(four) => bytes[..4].copy_from_slice(&four.octets()),
        IpAddr::V6(six) => bytes = six.octets(),
    }
    bytes
}

fn short(kind: u16, value: u16) -> Attribute {
    Attribute::bytes(kind, value.to_ne_bytes())
}

fn number(kind: u16, value: u32) -> Attribute {
    Attribute::bytes(kind, value.to_ne_bytes())
}

//! Writes expressions of the kernel's virtual machine for packets.
//!
//! An expression is a name and its parameters; expressions pass values in registers: 1 to 4 of 16 bytes, the same
//! memory as 8 to 23 of 4 bytes (`include/uapi/linux/netfilter/nf_tables.h`).

use std::net::{IpAddr, SocketAddr};

use crate::netlink::{Attribute, Family};

/// An entry of a list.
pub(super) const ELEMENT: u16 = 1;
/// A value of data.
pub(super) const VALUE: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;

const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// The second four bytes of the first register.
const AFTER_V4: u32 = 9;

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const TCP: u8 = 6;
/// The hash of one client must not change with each change of the rule.
const SEED: u32 = 0x6c76_7363;

/// The packet is of TCP and for `service`.
pub(super) fn for_service(service: SocketAddr) -> Vec<Attribute> {
    let length = address_bytes(service.ip()).len();
    let destination = if service.is_ipv4() { 16 } else { 24 };
    vec![
        payload(NETWORK, destination, length, FIRST),
        equals(address_bytes(service.ip())),
        // meta load l4proto
        expression("meta", vec![Attribute::u32(2, 16), Attribute::u32(1, FIRST)]),
        equals(vec![TCP]),
        payload(TRANSPORT, 2, 2, FIRST),
        equals(service.port().to_be_bytes().to_vec()),
    ]
}

/// Counts from 0 up to `places`, again and again.
pub(super) fn counter(places: u32) -> Attribute {
    let incremental = Attribute::u32(3, 0);
    expression("numgen", vec![Attribute::u32(1, FIRST), Attribute::u32(2, places), incremental, Attribute::u32(4, 0)])
}

/// A number below `places` that follows from an address of the packet: the client's, or the one that it calls.
pub(super) fn hash(family: Family, of_client: bool, places: u32) -> [Attribute; 2] {
    let (offset, length) = match (family, of_client) {
        (Family::V4, true) => (12, 4),
        (Family::V4, false) => (16, 4),
        (Family::V6, true) => (8, 16),
        (Family::V6, false) => (24, 16),
    };
    let hash = expression(
        "hash",
        vec![
            Attribute::u32(1, SECOND),
            Attribute::u32(2, FIRST),
            Attribute::u32(3, length),
            Attribute::u32(4, places),
            Attribute::u32(5, SEED),
            Attribute::u32(7, 0),
        ],
    );
    [payload(NETWORK, offset, usize::try_from(length).unwrap_or_default(), SECOND), hash]
}

/// Puts the server at that place of the map `set` into the register.
pub(super) fn look_up(set: &str, id: Option<u32>) -> Attribute {
    let mut parameters = vec![Attribute::u32(2, FIRST), Attribute::u32(3, FIRST), Attribute::text(1, set)];
    parameters.extend(id.map(|id| Attribute::u32(4, id)));
    expression("lookup", parameters)
}

/// Rewrites the destination to the server that was looked up.
pub(super) fn rewrite_as_found(family: Family) -> Attribute {
    rewrite(family, if family == Family::V4 { AFTER_V4 } else { SECOND })
}

/// Rewrites the destination to this server, as maps hold it.
pub(super) fn rewrite_to(family: Family, server: &[u8]) -> Vec<Attribute> {
    let (address, port) = server.split_at(server.len().saturating_sub(4));
    let port = port.get(..2).unwrap_or_default();
    let load = |register, value: &[u8]| {
        let value = Attribute::nested(2, vec![Attribute::bytes(VALUE, value)]);
        expression("immediate", vec![Attribute::u32(1, register), value])
    };
    vec![load(FIRST, address), load(SECOND, port), rewrite(family, SECOND)]
}

/// Rewrites the destination to the address in the first register and the port in another.
fn rewrite(family: Family, port: u32) -> Attribute {
    let destination = Attribute::u32(1, 1);
    let family = Attribute::u32(2, u32::from(family.number()));
    expression("nat", vec![destination, family, Attribute::u32(3, FIRST), Attribute::u32(5, port)])
}

/// Refuses the connection as a host where nobody listens does.
pub(super) fn refuse() -> Attribute {
    expression("reject", vec![Attribute::u32(1, 1)])
}

/// Goes on in `chain`.
pub(super) fn jump(chain: &str) -> Attribute {
    let code = (-3i32).cast_unsigned();
    let verdict = Attribute::nested(2, vec![Attribute::u32(1, code), Attribute::text(2, chain)]);
    expression("immediate", vec![Attribute::u32(1, VERDICT), Attribute::nested(2, vec![verdict])])
}

/// The bytes of an address.
pub(super) fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn payload(base: u32, offset: u32, length: usize, register: u32) -> Attribute {
    let length = u32::try_from(length).unwrap_or_default();
    let from = [Attribute::u32(2, base), Attribute::u32(3, offset), Attribute::u32(4, length)];
    expression("payload", [vec![Attribute::u32(1, register)], from.to_vec()].concat())
}

fn equals(value: Vec<u8>) -> Attribute {
    let value = Attribute::nested(3, vec![Attribute::bytes(VALUE, value)]);
    expression("cmp", vec![Attribute::u32(1, FIRST), Attribute::u32(2, 0), value])
}

fn expression(name: &str, parameters: Vec<Attribute>) -> Attribute {
    Attribute::nested(ELEMENT, vec![Attribute::text(NAME, name), Attribute::nested(DATA, parameters)])
}

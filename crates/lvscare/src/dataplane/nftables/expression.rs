//! Writes expressions of the kernel's virtual machine for packets.
//!
//! An expression is a name and its parameters; expressions pass values in registers: 1 to 4 of 16 bytes, the same
//! memory as 8 to 23 of 4 bytes (`include/uapi/linux/netfilter/nf_tables.h`).

use std::net::SocketAddr;

use crate::netlink::{Attribute, family, nla};

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

/// Matches packets of TCP for `service`.
pub(super) fn for_service(service: SocketAddr) -> Vec<Attribute> {
    let destination = if service.is_ipv4() { (16, 4) } else { (24, 16) };
    vec![
        load_payload(NETWORK, destination, FIRST),
        equals(nla::octets(service.ip())),
        // meta load l4proto
        expression("meta", &[nla::u32(2, 16), nla::u32(1, FIRST)]),
        equals(vec![TCP]),
        load_payload(TRANSPORT, (2, 2), FIRST),
        equals(service.port().to_be_bytes().to_vec()),
    ]
}

/// Counts from 0 up to `places`, again and again.
pub(super) fn counter(places: u32) -> Attribute {
    let incremental = nla::u32(3, 0);
    expression("numgen", &[nla::u32(1, FIRST), nla::u32(2, places), incremental, nla::u32(4, 0)])
}

/// A number below `places` that follows from an address of the packet: the client's, or the one that it calls.
pub(super) fn hash(service: SocketAddr, of_client: bool, places: u32) -> [Attribute; 2] {
    let (offset, length) = match (service.is_ipv4(), of_client) {
        (true, true) => (12, 4),
        (true, false) => (16, 4),
        (false, true) => (8, 16),
        (false, false) => (24, 16),
    };
    let [from, to] = [nla::u32(1, SECOND), nla::u32(2, FIRST)];
    let [length_of, modulus] = [nla::u32(3, length), nla::u32(4, places)];
    let hash = expression("hash", &[from, to, length_of, modulus, nla::u32(5, SEED), nla::u32(7, 0)]);
    [load_payload(NETWORK, (offset, length), SECOND), hash]
}

/// Rewrites the destination to the server that the map has for the number found before.
pub(super) fn rewrite_by_map(service: SocketAddr, map: &str) -> [Attribute; 2] {
    let look_up = [nla::u32(2, FIRST), nla::u32(3, FIRST), nla::text(1, map)];
    [expression("lookup", &look_up), rewrite(service, if service.is_ipv4() { AFTER_V4 } else { SECOND })]
}

/// Rewrites the destination to this server.
pub(super) fn rewrite_to(server: SocketAddr) -> [Attribute; 3] {
    let load = |register, value: Vec<u8>| {
        let value = nla::nested(2, &[nla::bytes(VALUE, value)]);
        expression("immediate", &[nla::u32(1, register), value])
    };
    let port = server.port().to_be_bytes().to_vec();
    [load(FIRST, nla::octets(server.ip())), load(SECOND, port), rewrite(server, SECOND)]
}

/// Rewrites the destination to the address in the first register and the port in another.
fn rewrite(of_family: SocketAddr, port: u32) -> Attribute {
    let destination = nla::u32(1, 1);
    let family = nla::u32(2, family(of_family.ip()).into());
    expression("nat", &[destination, family, nla::u32(3, FIRST), nla::u32(5, port)])
}

/// Refuses the connection as a host where nobody listens does.
pub(super) fn refuse() -> Attribute {
    expression("reject", &[nla::u32(1, 1)])
}

/// Goes on in `chain`.
pub(super) fn jump(chain: &str) -> Attribute {
    let code = (-3i32).cast_unsigned();
    let verdict = nla::nested(2, &[nla::u32(1, code), nla::text(2, chain)]);
    expression("immediate", &[nla::u32(1, VERDICT), nla::nested(2, &[verdict])])
}

/// Loads bytes of the packet: which header, where and how many of it.
fn load_payload(header: u32, (offset, length): (u32, u32), register: u32) -> Attribute {
    expression("payload", &[nla::u32(1, register), nla::u32(2, header), nla::u32(3, offset), nla::u32(4, length)])
}

fn equals(value: Vec<u8>) -> Attribute {
    let value = nla::nested(3, &[nla::bytes(VALUE, value)]);
    expression("cmp", &[nla::u32(1, FIRST), nla::u32(2, 0), value])
}

fn expression(name: &str, parameters: &[Attribute]) -> Attribute {
    nla::nested(ELEMENT, &[nla::text(NAME, name), nla::nested(DATA, parameters)])
}

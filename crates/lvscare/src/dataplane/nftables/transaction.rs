//! Makes the messages that change a table, all or nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::expression::{ELEMENT, VALUE};
use super::ruleset::{BALANCE, Ruleset, WEIGHTS, jump_rule, table_of};
use crate::netlink::{Attribute, CREATE, EXCLUSIVE, Family, Message, Subsystem, batch, netfilter_body};

/// The map of the rule has no name; the kernel gives it one.
const PLACES: &str = "__map%d";
const PLACES_ID: u32 = 1;
const WEIGHTS_ID: u32 = 2;

const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;
/// A rule goes behind those that are there.
const APPEND: u16 = 0x800;

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;

/// Puts this table in the place of the one that may be there.
pub(super) fn replace(ruleset: &Ruleset) -> Vec<Message> {
    batch(Subsystem::Nftables, whole(ruleset))
}

/// Puts these tables in each other's place, and at the end makes the last one once more, which cannot be: the kernel
/// checks all and keeps nothing.
pub(super) fn rehearse(rulesets: &[Ruleset]) -> Vec<Message> {
    let mut all: Vec<_> = rulesets.iter().flat_map(whole).collect();
    all.extend(
        rulesets.last().map(|ruleset| {
            message(ruleset.family, NEW_TABLE, CREATE | EXCLUSIVE, &[Attribute::text(1, &ruleset.table)])
        }),
    );
    batch(Subsystem::Nftables, all)
}

/// Takes the table of `service` away.
pub(super) fn delete(service: SocketAddr) -> Vec<Message> {
    let (family, table) = table_of(service);
    batch(Subsystem::Nftables, vec![message(family, DELETE_TABLE, 0, &[Attribute::text(1, &table)])])
}

fn whole(ruleset: &Ruleset) -> Vec<Message> {
    let make = |kind, attributes: &[Attribute]| message(ruleset.family, kind, CREATE, attributes);
    let table = [Attribute::text(1, &ruleset.table)];
    let mut all = vec![
        // A table can be deleted without a failure only when it is there.
        make(NEW_TABLE, &table),
        message(ruleset.family, DELETE_TABLE, 0, &table),
        make(NEW_TABLE, &table),
        make(NEW_CHAIN, &ruleset.chain(BALANCE, Vec::new())),
    ];
    all.extend(ruleset.hooks().map(|hook| make(NEW_CHAIN, &ruleset.hook(hook))));
    all.push(make(NEW_SET, &weights_map(ruleset)));
    if !ruleset.weights.is_empty() {
        all.push(make(NEW_ELEMENTS, &elements(ruleset, WEIGHTS, None, &ruleset.weights)));
    }
    if !ruleset.places.is_empty() {
        all.push(make(NEW_SET, &places_map(ruleset)));
        all.push(make(NEW_ELEMENTS, &elements(ruleset, PLACES, Some(PLACES_ID), &ruleset.places)));
    }
    all.extend(ruleset.balance(PLACES, Some(PLACES_ID)).into_iter().map(|content| rule(ruleset, BALANCE, content)));
    all.extend(ruleset.hooks().map(|hook| rule(ruleset, hook.name, jump_rule())));
    all
}

fn rule(ruleset: &Ruleset, chain: &str, content: Vec<Attribute>) -> Message {
    let place = vec![Attribute::text(1, &ruleset.table), Attribute::text(2, chain)];
    message(ruleset.family, NEW_RULE, CREATE | APPEND, &[place, content].concat())
}

/// A map from server (address . port) to mark.
fn weights_map(ruleset: &Ruleset) -> Vec<Attribute> {
    let (kind, length) = server_type(ruleset.family);
    let key = [Attribute::u32(4, kind), Attribute::u32(5, length)];
    let data = [Attribute::u32(6, 19), Attribute::u32(7, 4)];
    map(ruleset, (WEIGHTS, WEIGHTS_ID), 0x8, [key, data], [BIG_ENDIAN, HOST_ENDIAN])
}

/// A constant map without a name, from number to server.
fn places_map(ruleset: &Ruleset) -> Vec<Attribute> {
    let (kind, length) = server_type(ruleset.family);
    let key = [Attribute::u32(4, 4), Attribute::u32(5, 4)];
    let data = [Attribute::u32(6, kind), Attribute::u32(7, length)];
    map(ruleset, (PLACES, PLACES_ID), 0xb, [key, data], [HOST_ENDIAN, BIG_ENDIAN])
}

fn map(
    ruleset: &Ruleset,
    name: (&str, u32),
    flags: u32,
    types: [[Attribute; 2]; 2],
    orders: [u32; 2],
) -> Vec<Attribute> {
    let mut all = vec![Attribute::text(1, &ruleset.table), Attribute::text(2, name.0), Attribute::u32(3, flags)];
    all.extend(types.into_iter().flatten());
    all.push(Attribute::u32(10, name.1));
    // For programs that list: the byte order of keys and data.
    let order = |kind: u8, order: u32| [&[kind, 4][..], &order.to_ne_bytes()].concat();
    all.push(Attribute::bytes(13, [order(0, orders[0]), order(1, orders[1])].concat()));
    all
}

fn elements(ruleset: &Ruleset, set: &str, id: Option<u32>, elements: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Attribute> {
    let value = |kind, bytes: &Vec<u8>| Attribute::nested(kind, vec![Attribute::bytes(VALUE, bytes.clone())]);
    let element = |(key, data)| Attribute::nested(ELEMENT, vec![value(1, key), value(2, data)]);
    let elements = elements.iter().map(element).collect();
    let mut all = vec![Attribute::text(1, &ruleset.table), Attribute::text(2, set), Attribute::nested(3, elements)];
    all.extend(id.map(|id| Attribute::u32(4, id)));
    all
}

/// The number by which listing programs know "address . port", and its length.
fn server_type(family: Family) -> (u32, u32) {
    match family {
        Family::V4 => (7 << 6 | 13, 8),
        Family::V6 => (8 << 6 | 13, 20),
    }
}

fn message(family: Family, message: u16, flags: u16, attributes: &[Attribute]) -> Message {
    Message { kind: Subsystem::Nftables.kind(message), flags, body: netfilter_body(family, attributes) }
}

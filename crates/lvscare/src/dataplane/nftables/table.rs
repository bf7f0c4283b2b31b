//! Writes the table of a virtual service, and reads from it what was written.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::expression::{self, ELEMENT, VALUE};
use super::places::places;
use crate::netlink::{APPEND, Attribute, CREATE, EXCLUSIVE, Packet, Request, Subsystem, family, nla};
use crate::{Rules, Scheduler, Service};

/// The map that remembers what was wanted.
pub(super) const WEIGHTS: &str = "weights";
/// The chain with the rule that balances.
const BALANCE: &str = "balance";
/// The map of the balancing rule: an anonymous one, shown as part of the rule. Its name is the one that the kernel gives
/// to the first anonymous map of a table.
const PLACES: &str = "__map0";
/// So many chains and rules a table has at most.
const MAX_OBJECTS: usize = 7;
/// So many servers a table has at most: a list of elements must fit into 64 KiB.
const MAX_SERVERS: usize = 256;

/// Chains that the kernel calls: connections of this host, and those of containers on it.
const HOOKS: [(&str, u32); 2] = [("output", 3), ("prerouting", 0)];
/// All chains, in the order in which they are made.
pub(super) const CHAINS: [&str; 3] = [BALANCE, HOOKS[0].0, HOOKS[1].0];

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const DELETE_RULES: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;

const ANONYMOUS_CONSTANT: u32 = 0x3;
const MAP: u32 = 0x8;
const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;

/// The comment of the balancing rule begins so.
const COMMENT: &str = "scheduler ";
/// A packet that meets the first rule at the very moment when the rules are replaced finds its map empty.
const MEANWHILE: &str = "while the rules are replaced";

/// The name of the table for a virtual address.
pub(super) fn name(service: SocketAddr) -> String {
    format!("lvscare-{}-{}", service.ip().to_string().replace(':', "-"), service.port())
}

/// Puts the table for `rules` in the place of the one that may be there.
pub(super) fn replace(rules: &Rules) -> Vec<Request<Packet>> {
    Subsystem::Nftables.transaction(whole(rules))
}

/// Puts what balances for `rules` in the place of that for `old` in one and the same table, chains and all. A packet never
/// meets two tables then: the kernel calls a new chain before the old one, so that a packet which meets the new one just
/// before a transaction takes effect and the old one just after it would be balanced by neither. `None` when the chains
/// have to be others; refused when others changed something since `generation`, when `old` was seen.
pub(super) fn update(old: &Rules, generation: u32, rules: &Rules) -> Option<Vec<Request<Packet>>> {
    let service = rules.service.address;
    if old.service.scheduler == Scheduler::Other || places(old).is_empty() || places(rules).is_empty() {
        return None;
    }
    let delete = |kind, name| request(service, kind, 0, [nla::text(2, name)]);
    let mut all = vec![delete(DELETE_RULES, BALANCE), delete(DELETE_SET, WEIGHTS)];
    all.extend(content(rules));
    Some(Subsystem::Nftables.transaction_at(generation, all))
}

/// Lets the kernel check the tables for all of `rules`, and at the end makes the last table once more, which cannot be:
/// it keeps nothing.
pub(super) fn rehearse(rules: &[Rules]) -> Vec<Request<Packet>> {
    let mut all: Vec<_> = rules.iter().flat_map(whole).collect();
    all.extend(rules.last().map(|rules| request(rules.service.address, NEW_TABLE, CREATE | EXCLUSIVE, [])));
    Subsystem::Nftables.transaction(all)
}

/// Takes the table of `service` away.
pub(super) fn delete(service: SocketAddr) -> Vec<Request<Packet>> {
    Subsystem::Nftables.transaction(vec![request(service, DELETE_TABLE, 0, [])])
}

/// Deletes the table and makes it anew. It can be deleted without a failure only when it is there, so it is made before.
fn whole(rules: &Rules) -> Vec<Request<Packet>> {
    let service = rules.service.address;
    let places = places(rules);
    let make = |kind, attributes: Vec<Attribute>| request(service, kind, CREATE, attributes);
    let mut all = vec![make(NEW_TABLE, vec![]), request(service, DELETE_TABLE, 0, []), make(NEW_TABLE, vec![])];
    all.push(make(NEW_CHAIN, vec![nla::text(3, BALANCE)]));
    for (name, number) in hooks(&places) {
        // Chains for address translation cannot refuse.
        let (kind, priority) = if places.is_empty() { ("filter", 0i32) } else { ("nat", -100) };
        let hook = nla::nested(4, &[nla::u32(1, *number), nla::u32(2, priority.cast_unsigned())]);
        let accept = nla::u32(5, 1);
        all.push(make(NEW_CHAIN, vec![nla::text(3, name), hook, accept, nla::text(7, kind)]));
    }
    all.extend(content(rules));
    all.extend(hooks(&places).map(|(name, _)| rule(service, name, &[expression::jump(BALANCE)], None)));
    all
}

/// The map of weights, and what is in the chain that balances.
fn content(rules: &Rules) -> Vec<Request<Packet>> {
    let service = rules.service.address;
    let places = places(rules);
    let make = |kind, attributes: Vec<Attribute>| request(service, kind, CREATE, attributes);
    let mut all = vec![make(NEW_SET, weights_map(service))];
    if !rules.servers.is_empty() {
        let weight =
            |(server, weight): (&SocketAddr, &u32)| element(server_bytes(*server), weight.to_ne_bytes().to_vec());
        let elements: Vec<_> = rules.servers.iter().map(weight).collect();
        all.push(make(NEW_ELEMENTS, vec![nla::text(2, WEIGHTS), nla::nested(3, &elements)]));
    }
    let comment = format!("{COMMENT}{}", rules.service.scheduler);
    let act = |expressions: &[Attribute]| [expression::for_service(service), expressions.to_vec()].concat();
    if let Some(first) = places.first() {
        all.push(make(NEW_SET, places_map(service)));
        let place = |(place, server): (u32, &SocketAddr)| element(place.to_ne_bytes().to_vec(), server_bytes(*server));
        let elements: Vec<_> = (0..).zip(&places).map(place).collect();
        all.push(make(NEW_ELEMENTS, vec![nla::text(2, PLACES), nla::nested(3, &elements)]));
        all.push(rule(service, BALANCE, &act(&choose(rules, places.len())), Some(&comment)));
        all.push(rule(service, BALANCE, &act(&expression::rewrite_to(*first)), Some(MEANWHILE)));
    } else {
        all.push(rule(service, BALANCE, &act(&[expression::refuse()]), Some(&comment)));
    }
    all
}

/// A rule at the end of a chain.
fn rule(service: SocketAddr, chain: &str, expressions: &[Attribute], comment: Option<&str>) -> Request<Packet> {
    let mut attributes = vec![nla::text(2, chain), nla::nested(4, expressions)];
    attributes.extend(comment.map(|text| nla::bytes(7, comment_bytes(text))));
    request(service, NEW_RULE, CREATE | APPEND, attributes)
}

/// The chains that the kernel calls. Where there is no server connections of this host are refused; those of containers
/// end on this host anyway, and older kernels cannot refuse before routing.
fn hooks(places: &[SocketAddr]) -> impl Iterator<Item = &'static (&'static str, u32)> + use<> {
    HOOKS.iter().take(if places.is_empty() { 1 } else { HOOKS.len() })
}

/// Chooses a place and rewrites the destination to the server there.
fn choose(rules: &Rules, places: usize) -> Vec<Attribute> {
    let service = rules.service.address;
    let places = u32::try_from(places).unwrap_or_default();
    let mut expressions = match rules.service.scheduler {
        Scheduler::Sh => expression::hash(service, true, places).to_vec(),
        Scheduler::Dh => expression::hash(service, false, places).to_vec(),
        _ => vec![expression::counter(places)],
    };
    expressions.extend(expression::rewrite_by_map(service, PLACES));
    expressions
}

/// A map from server (address . port) to mark. The kernel keeps a map of known size in one order, so that a list of it
/// that takes several messages is complete.
fn weights_map(service: SocketAddr) -> Vec<Attribute> {
    let size = nla::u32(1, u32::try_from(MAX_SERVERS).unwrap_or_default());
    let mut attributes = map(WEIGHTS, 0, [server_type(service), (19, 4)], [BIG_ENDIAN, HOST_ENDIAN]);
    attributes.push(nla::nested(9, &[size]));
    attributes
}

/// A map from number to server, which cannot be changed while a rule uses it.
fn places_map(service: SocketAddr) -> Vec<Attribute> {
    map(PLACES, ANONYMOUS_CONSTANT, [(4, 4), server_type(service)], [HOST_ENDIAN, BIG_ENDIAN])
}

/// A map between two types, each with its number and length.
fn map(name: &str, flags: u32, [key, data]: [(u32, u32); 2], orders: [u32; 2]) -> Vec<Attribute> {
    // For programs that list: the byte order of keys and data.
    let order = |kind: u8, order: u32| [&[kind, 4][..], &order.to_ne_bytes()].concat();
    vec![
        nla::text(2, name),
        nla::u32(3, MAP | flags),
        nla::u32(4, key.0),
        nla::u32(5, key.1),
        nla::u32(6, data.0),
        nla::u32(7, data.1),
        // The kernel wants a number, which nothing refers to.
        nla::u32(10, 1),
        nla::bytes(13, [order(0, orders[0]), order(1, orders[1])].concat()),
    ]
}

/// The number by which listing programs know "address . port", and its length.
fn server_type(service: SocketAddr) -> (u32, u32) {
    if service.is_ipv4() { (7 << 6 | 13, 8) } else { (8 << 6 | 13, 20) }
}

fn element(key: Vec<u8>, data: Vec<u8>) -> Attribute {
    let value = |kind, value| nla::nested(kind, &[nla::bytes(VALUE, value)]);
    nla::nested(ELEMENT, &[value(1, key), value(2, data)])
}

fn request(
    service: SocketAddr,
    message: u16,
    flags: u16,
    attributes: impl IntoIterator<Item = Attribute>,
) -> Request<Packet> {
    let table = nla::text(1, &name(service));
    let attributes: Vec<_> = [table].into_iter().chain(attributes).collect();
    Subsystem::Nftables.request(message, flags, family(service.ip()), &attributes)
}

/// A server as key or data: the address and the port, each padded to a multiple of four bytes.
fn server_bytes(server: SocketAddr) -> Vec<u8> {
    [&nla::octets(server.ip())[..], &server.port().to_be_bytes(), &[0, 0]].concat()
}

/// A comment as the kernel holds it: type 0, length, text closed by a zero byte.
fn comment_bytes(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len() + 1).unwrap_or_default()][..], text.as_bytes(), &[0]].concat()
}

/// What the kernel lists of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    servers: BTreeMap<SocketAddr, u32>,
    /// Chains and then rules, each in the order in which they were made.
    objects: Vec<Packet>,
    /// Something cannot be understood.
    broken: bool,
}

impl Listing {
    /// Takes in elements of the map of weights.
    pub(super) fn weights(&mut self, packet: &Packet) {
        for (_, element) in nla::attributes(nla::find(packet.attributes(), &[3]).unwrap_or_default()) {
            match weight(element) {
                Some((server, weight)) if self.servers.len() < MAX_SERVERS => _ = self.servers.insert(server, weight),
                _ => self.broken = true,
            }
        }
    }

    /// Takes in a chain or a rule; kernels that do not know the filter tell rules of other tables, too.
    pub(super) fn object(&mut self, table: &str, packet: Packet) {
        let name = nla::find(packet.attributes(), &[1]).and_then(|name| name.strip_suffix(&[0]));
        if name == Some(table.as_bytes()) && self.objects.len() <= MAX_OBJECTS {
            self.objects.push(packet);
        }
    }

    /// The rules that the table says. When chains and rules are not those that would be written for them the scheduler is
    /// [`Scheduler::Other`], so that the table is written anew.
    pub(super) fn rules(self, service: SocketAddr) -> Rules {
        let scheduler = self.objects.iter().find_map(|object| scheduler(nla::find(object.attributes(), &[7])?));
        let scheduler = scheduler.unwrap_or(Scheduler::Other);
        let mut rules = Rules { service: Service { address: service, scheduler }, servers: self.servers };
        let written: Vec<_> = whole(&rules).into_iter().map(|request| request.message).filter(is_object).collect();
        let says = |(told, written): (&Packet, &Packet)| nla::says(told.attributes(), written.attributes());
        if self.broken || self.objects.len() != written.len() || !self.objects.iter().zip(&written).all(says) {
            rules.service.scheduler = Scheduler::Other;
        }
        rules
    }
}

fn is_object(packet: &Packet) -> bool {
    [NEW_CHAIN, NEW_RULE].contains(&(packet.kind & 0xff))
}

/// The server and weight in an element of the map.
fn weight(element: &[u8]) -> Option<(SocketAddr, u32)> {
    let (key, data) = (nla::find(element, &[1, VALUE])?, nla::find(element, &[2, VALUE])?);
    let (address, port) = key.split_at_checked(key.len().checked_sub(4)?)?;
    let address: IpAddr = nla::address_of(address)?;
    let weight = u32::from_ne_bytes(data.try_into().ok()?);
    Some((SocketAddr::new(address, nla::port_of(port.get(..2)?)?), weight))
}

/// The scheduler in a comment.
fn scheduler(comment: &[u8]) -> Option<Scheduler> {
    let text = std::str::from_utf8(comment.get(2..)?).ok()?;
    text.strip_prefix(COMMENT)?.strip_suffix('\0')?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::reconcile;

    /// What the kernel tells about the table that these rules make.
    fn told(rules: &Rules) -> Vec<Packet> {
        replace(rules).into_iter().map(|request| request.message).collect()
    }

    fn read(service: SocketAddr, packets: &[Packet]) -> Rules {
        let mut listing = Listing::default();
        for packet in packets {
            if is_object(packet) {
                listing.object(&name(service), packet.clone());
            } else if nla::find(packet.attributes(), &[2]) == Some(b"weights\0") {
                listing.weights(packet);
            }
        }
        listing.rules(service)
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        let server = (any::<[u8; 4]>(), any::<u16>(), prop_oneof![Just(0), Just(1), any::<u32>()]);
        let scheduler = prop::sample::select(vec![Scheduler::Rr, Scheduler::Wrr, Scheduler::Sh, Scheduler::Dh]);
        let all = (any::<bool>(), any::<[u8; 4]>(), any::<u16>(), scheduler, prop::collection::vec(server, 0..6));
        all.prop_map(|(six, address, port, scheduler, servers)| {
            let at = |address: [u8; 4], port| match six {
                false => SocketAddr::from((address, port)),
                true => SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, u16::from(address[0]), u16::from(address[3])], port)),
            };
            let service = Service { address: at(address, port), scheduler };
            let servers = servers.into_iter().map(|(address, port, weight)| (at(address, port), weight));
            Rules { service, servers: servers.collect() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(rules in any_rules()) {
            prop_assert_eq!(read(rules.service.address, &told(&rules)), rules);
        }

        #[test]
        fn what_is_changed_in_place_is_read(old in any_rules(), rules in any_rules()) {
            let rules = Rules { service: old.service.clone(), ..rules };
            let objects = |rules: &Rules| told(rules).into_iter().filter(is_object).collect::<Vec<_>>();
            let Some(update) = update(&old, 1, &rules) else {
                prop_assert!(objects(&old).len() != objects(&rules).len() || places(&rules).is_empty());
                return Ok(());
            };
            let written: Vec<_> = update.into_iter().map(|request| request.message).filter(is_object).collect();
            let mut left = objects(&old);
            // The chains stay, and so do the rules of those that the kernel calls; the rules in between are replaced.
            left.splice(CHAINS.len()..left.len() - HOOKS.len(), written);
            prop_assert_eq!(left, objects(&rules));
        }

        #[test]
        fn an_object_less_or_more_or_another_is_seen(rules in any_rules(), pick in any::<prop::sample::Index>()) {
            let packets = told(&rules);
            let seen = |packets: &[Packet]| !reconcile(&rules, Some(&read(rules.service.address, packets))).is_empty();
            let places: Vec<_> = (0..packets.len()).filter(|place| is_object(&packets[*place])).collect();
            let place = places[pick.index(places.len())];
            let mut changed = packets.clone();
            let taken = changed.remove(place);
            prop_assert!(seen(&changed), "one less");
            changed.push(Packet { body: packets[place - 1].body.clone(), ..taken });
            prop_assert!(seen(&changed), "another");
            changed = packets;
            changed.push(changed[place].clone());
            prop_assert!(seen(&changed), "one more");
        }

        #[test]
        fn rules_of_another_table_are_not_read(rules in any_rules()) {
            let mut service = rules.service.address;
            service.set_port(service.port().wrapping_add(1));
            prop_assert_eq!(read(service, &told(&rules)).service.scheduler, Scheduler::Other);
        }

        #[test]
        fn any_damage_is_read_without_panic(
            rules in any_rules(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut packets = told(&rules);
            for (message, byte, value) in damage {
                let place = message.index(packets.len());
                let body = &mut packets[place].body;
                let byte = byte.index(body.len());
                body[byte] = value;
            }
            let place = cut.index(packets.len());
            let length = cut.index(packets[place].body.len() + 1);
            packets[place].body.truncate(length);
            let _ = read(rules.service.address, &packets);
        }
    }
}

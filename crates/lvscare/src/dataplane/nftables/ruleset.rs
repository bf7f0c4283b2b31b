//! Which table says what is wanted?

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::expression::{self, ELEMENT, VALUE, address_bytes};
use super::slots::slots;
use crate::netlink::{Attribute, CREATE, EXCLUSIVE, Family, Message, Subsystem, batch, netfilter_body};
use crate::{Error, Result, Rules, Scheduler, Server};

/// The map that remembers what was wanted.
pub(super) const WEIGHTS: &str = "weights";
/// The chain with the rule that balances.
pub(super) const BALANCE: &str = "balance";
/// So many servers a table has at most: a list of elements must fit into 64 KiB.
const MOST_SERVERS: usize = 512;
/// The map of the rule has no name; the kernel gives it one.
const PLACES: &str = "__map%d";
const PLACES_ID: u32 = 1;

/// A chain that the kernel calls.
#[derive(Debug)]
pub(super) struct Hook {
    /// The name of the chain.
    pub(super) name: &'static str,
    /// The kernel's number of the hook.
    pub(super) number: u32,
}

/// Connections of this host, and those of containers on it.
pub(super) const HOOKS: [Hook; 2] = [Hook { name: "output", number: 3 }, Hook { name: "prerouting", number: 0 }];
/// Where destinations are rewritten.
const REWRITE: i32 = -100;
/// Where packets are filtered.
const FILTER: i32 = 0;

/// The table of one virtual service.
#[derive(Debug, Clone)]
pub(super) struct Ruleset {
    /// The address family.
    pub(super) family: Family,
    /// The name of the table.
    pub(super) table: String,
    /// Server and weight, as the kernel holds them.
    pub(super) weights: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Place and server, as the kernel holds them.
    pub(super) places: BTreeMap<Vec<u8>, Vec<u8>>,
    rules: Rules,
}

/// The address family and the name of the table for a virtual address.
pub(super) fn table_of(service: SocketAddr) -> (Family, String) {
    let address = service.ip().to_string().replace(':', "-");
    (Family::of(service.ip()), format!("lvscare-{address}-{}", service.port()))
}

/// Whether nftables can choose servers in this way.
///
/// # Errors
/// When it cannot.
pub(super) fn knows(scheduler: Scheduler) -> Result<()> {
    match scheduler {
        Scheduler::Rr | Scheduler::Wrr | Scheduler::Sh | Scheduler::Dh => Ok(()),
        _ => Err(Error::Unsupported {
            what: "least-connection scheduling without IPVS",
            advice: "choose the scheduler rr, wrr, sh or dh, or load the module ip_vs",
        }),
    }
}

impl Ruleset {
    /// The table that says what `rules` say.
    ///
    /// # Errors
    /// When nftables cannot say it.
    pub(super) fn of(rules: &Rules) -> Result<Self> {
        let service = rules.service.address;
        let invalid = |reason: String| Error::Invalid { service, reason };
        knows(rules.service.scheduler)?;
        if rules.servers.len() > MOST_SERVERS {
            return Err(invalid(format!("{} servers are more than the {MOST_SERVERS} possible", rules.servers.len())));
        }
        if let Some(other) = rules.servers.keys().find(|server| server.is_ipv4() != service.is_ipv4()) {
            return Err(invalid(format!("the server {other} is not of the same address family")));
        }
        let (family, table) = table_of(service);
        let weight = |(server, state): (&SocketAddr, &Server)| {
            (server_bytes(*server), u32::from(state.weight).to_ne_bytes().to_vec())
        };
        let place = |(place, server): (u32, SocketAddr)| (place.to_ne_bytes().to_vec(), server_bytes(server));
        Ok(Self {
            family,
            table,
            weights: rules.servers.iter().map(weight).collect(),
            places: (0..).zip(slots(rules)).map(place).collect(),
            rules: rules.clone(),
        })
    }

    /// The messages that put this table in the place of the one that may be there, all or nothing.
    pub(super) fn replace(&self) -> Vec<Message> {
        batch(Subsystem::Nftables, self.messages())
    }

    /// The same, and at the end the table once more, which cannot be: the kernel checks all and keeps nothing.
    pub(super) fn rehearse(&self) -> Vec<Message> {
        let mut messages = self.messages();
        messages.push(self.message(NEW_TABLE, CREATE | EXCLUSIVE, vec![Attribute::text(1, &self.table)]));
        batch(Subsystem::Nftables, messages)
    }

    fn messages(&self) -> Vec<Message> {
        let table = || vec![Attribute::text(1, &self.table)];
        let mut all = vec![
            // A table can be deleted without a failure only when it is there.
            self.message(NEW_TABLE, CREATE, table()),
            self.message(DELETE_TABLE, 0, table()),
            self.message(NEW_TABLE, CREATE, table()),
            self.message(NEW_CHAIN, CREATE, self.chain(BALANCE, Vec::new())),
        ];
        all.extend(self.hooks().map(|hook| self.message(NEW_CHAIN, CREATE, self.hook(hook))));
        all.push(self.message(NEW_SET, CREATE, self.weights_map()));
        if !self.weights.is_empty() {
            all.push(self.message(NEW_ELEMENTS, CREATE, self.elements(WEIGHTS, 0, &self.weights)));
        }
        if !self.places.is_empty() {
            all.push(self.message(NEW_SET, CREATE, self.places_map()));
            all.push(self.message(NEW_ELEMENTS, CREATE, self.elements(PLACES, PLACES_ID, &self.places)));
        }
        let balance = self.balance(PLACES, Some(PLACES_ID));
        all.push(self.message(NEW_RULE, CREATE | APPEND, self.rule(BALANCE, balance)));
        for hook in self.hooks() {
            all.push(self.message(NEW_RULE, CREATE | APPEND, self.rule(hook.name, jump_rule())));
        }
        all
    }

    /// The chains that the kernel calls. Where there is no server connections of this host are refused; those of
    /// containers end on this host anyway, and older kernels cannot refuse before routing.
    pub(super) fn hooks(&self) -> impl Iterator<Item = &'static Hook> + use<> {
        HOOKS.iter().take(if self.places.is_empty() { 1 } else { HOOKS.len() })
    }

    /// What the kernel tells of the chain of a hook. Chains for address translation cannot refuse.
    pub(super) fn hook(&self, hook: &Hook) -> Vec<Attribute> {
        let (kind, priority) = if self.places.is_empty() { ("filter", FILTER) } else { ("nat", REWRITE) };
        let at = vec![Attribute::u32(1, hook.number), Attribute::u32(2, priority.cast_unsigned())];
        let accept = Attribute::u32(5, 1);
        self.chain(hook.name, vec![Attribute::nested(4, at), accept, Attribute::text(7, kind)])
    }

    fn chain(&self, name: &str, more: Vec<Attribute>) -> Vec<Attribute> {
        [vec![Attribute::text(1, &self.table), Attribute::text(3, name)], more].concat()
    }

    /// What the kernel tells of the rule that balances: its expressions and its comment. `set` names the map of places.
    pub(super) fn balance(&self, set: &str, id: Option<u32>) -> Vec<Attribute> {
        let service = self.rules.service.address;
        let mut expressions = expression::for_service(service);
        let places = u32::try_from(self.places.len()).unwrap_or_default();
        if places == 0 {
            expressions.push(expression::refuse());
        } else {
            match self.rules.service.scheduler {
                Scheduler::Sh => expressions.extend(expression::hash(self.family, true, places)),
                Scheduler::Dh => expressions.extend(expression::hash(self.family, false, places)),
                _ => expressions.push(expression::counter(places)),
            }
            expressions.extend([expression::look_up(set, id), expression::rewrite(self.family)]);
        }
        let comment = comment(self.rules.service.scheduler);
        vec![Attribute::nested(4, expressions), Attribute::bytes(7, comment)]
    }

    fn rule(&self, chain: &str, content: Vec<Attribute>) -> Vec<Attribute> {
        [vec![Attribute::text(1, &self.table), Attribute::text(2, chain)], content].concat()
    }

    fn weights_map(&self) -> Vec<Attribute> {
        // A map; from server (address . port) to mark.
        let key = [Attribute::u32(4, self.server_type()), Attribute::u32(5, self.server_length())];
        let data = [Attribute::u32(6, 19), Attribute::u32(7, 4)];
        self.map(WEIGHTS, 0, 0x8, key, data, [BIG_ENDIAN, HOST_ENDIAN])
    }

    fn places_map(&self) -> Vec<Attribute> {
        // A constant map without a name; from number to server.
        let key = [Attribute::u32(4, 4), Attribute::u32(5, 4)];
        let data = [Attribute::u32(6, self.server_type()), Attribute::u32(7, self.server_length())];
        self.map(PLACES, PLACES_ID, 0xb, key, data, [HOST_ENDIAN, BIG_ENDIAN])
    }

    fn map(
        &self,
        name: &str,
        id: u32,
        flags: u32,
        key: [Attribute; 2],
        data: [Attribute; 2],
        orders: [u32; 2],
    ) -> Vec<Attribute> {
        let mut all = vec![Attribute::text(1, &self.table), Attribute::text(2, name), Attribute::u32(3, flags)];
        all.extend(key.into_iter().chain(data));
        all.push(Attribute::u32(10, id));
        // For programs that list: the byte order of keys and data.
        let order = |kind: u8, order: u32| [&[kind, 4][..], &order.to_ne_bytes()].concat();
        all.push(Attribute::bytes(13, [order(0, orders[0]), order(1, orders[1])].concat()));
        all
    }

    fn elements(&self, set: &str, id: u32, elements: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Attribute> {
        let value = |kind, bytes: &Vec<u8>| Attribute::nested(kind, vec![Attribute::bytes(VALUE, bytes.clone())]);
        let element = |(key, data)| Attribute::nested(ELEMENT, vec![value(1, key), value(2, data)]);
        let elements = elements.iter().map(element).collect();
        let mut all = vec![Attribute::text(1, &self.table), Attribute::text(2, set), Attribute::nested(3, elements)];
        if id > 0 {
            all.push(Attribute::u32(4, id));
        }
        all
    }

    /// The number by which listing programs know "address . port".
    fn server_type(&self) -> u32 {
        let address = if self.family == Family::V4 { 7 } else { 8 };
        address << 6 | 13
    }

    fn server_length(&self) -> u32 {
        if self.family == Family::V4 { 8 } else { 20 }
    }

    fn message(&self, message: u16, flags: u16, attributes: Vec<Attribute>) -> Message {
        let kind = Subsystem::Nftables.kind(message);
        Message { kind, flags, body: netfilter_body(self.family, &attributes) }
    }
}

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

/// The messages that take the table of `service` away.
pub(super) fn delete(service: SocketAddr) -> Vec<Message> {
    let (family, table) = table_of(service);
    let body = netfilter_body(family, &[Attribute::text(1, &table)]);
    batch(Subsystem::Nftables, vec![Message { kind: Subsystem::Nftables.kind(DELETE_TABLE), flags: 0, body }])
}

/// What the kernel tells of the only rule of a hook's chain.
pub(super) fn jump_rule() -> Vec<Attribute> {
    vec![Attribute::nested(4, vec![expression::jump(BALANCE)])]
}

/// A server as key or data: the address and the port, each padded to a multiple of four bytes.
fn server_bytes(server: SocketAddr) -> Vec<u8> {
    let mut bytes = address_bytes(server.ip());
    bytes.extend(server.port().to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The server in a key or data.
pub(super) fn server_of(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let address = match address.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(port.get(..2)?.try_into().ok()?)))
}

const COMMENT: &str = "scheduler ";

/// The scheduler as a comment on the rule: type 0, length, text closed by a zero byte.
fn comment(scheduler: Scheduler) -> Vec<u8> {
    let text = format!("{COMMENT}{scheduler}\0");
    [&[0, u8::try_from(text.len()).unwrap_or_default()][..], text.as_bytes()].concat()
}

/// The scheduler in a comment.
pub(super) fn scheduler_of(comment: &[u8]) -> Option<Scheduler> {
    let text = std::str::from_utf8(comment.get(2..)?).ok()?;
    text.strip_prefix(COMMENT)?.strip_suffix('\0')?.parse().ok()
}

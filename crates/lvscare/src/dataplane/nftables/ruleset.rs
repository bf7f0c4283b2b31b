//! Says which table stands for what is wanted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::expression::{self, address_bytes};
use super::slots::slots;
use crate::netlink::{Attribute, Family};
use crate::{Error, Result, Rules, Scheduler, Server};

/// The map that remembers what was wanted.
pub(super) const WEIGHTS: &str = "weights";
/// The chain with the rule that balances.
pub(super) const BALANCE: &str = "balance";
/// So many servers a table has at most: a list of elements must fit into 64 KiB.
const MAX_SERVERS: usize = 512;

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
        if rules.servers.len() > MAX_SERVERS {
            return Err(invalid(format!("{} servers are more than the {MAX_SERVERS} possible", rules.servers.len())));
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

    /// What the kernel tells of a chain.
    pub(super) fn chain(&self, name: &str, more: Vec<Attribute>) -> Vec<Attribute> {
        [vec![Attribute::text(1, &self.table), Attribute::text(3, name)], more].concat()
    }

    /// What the kernel tells of the rules of the chain that balances. `set` names the map of places.
    pub(super) fn balance(&self, set: &str, id: Option<u32>) -> Vec<Vec<Attribute>> {
        let scheduler = self.rules.service.scheduler;
        let Some(first) = self.places.values().next() else {
            return vec![self.rule(vec![expression::refuse()], &format!("{COMMENT}{scheduler}"))];
        };
        let places = u32::try_from(self.places.len()).unwrap_or_default();
        let mut choose = match scheduler {
            Scheduler::Sh => expression::hash(self.family, true, places).to_vec(),
            Scheduler::Dh => expression::hash(self.family, false, places).to_vec(),
            _ => vec![expression::counter(places)],
        };
        choose.extend([expression::look_up(set, id), expression::rewrite_as_found(self.family)]);
        let fixed = expression::rewrite_to(self.family, first);
        vec![self.rule(choose, &format!("{COMMENT}{scheduler}")), self.rule(fixed, MEANWHILE)]
    }

    fn rule(&self, act: Vec<Attribute>, comment: &str) -> Vec<Attribute> {
        let expressions = [expression::for_service(self.rules.service.address), act].concat();
        vec![Attribute::nested(4, expressions), Attribute::bytes(7, comment_bytes(comment))]
    }
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
/// A packet that meets the first rule at the very moment when the rules are replaced finds its map empty.
const MEANWHILE: &str = "while the rules are replaced";

/// A comment as the kernel holds it: type 0, length, text closed by a zero byte.
fn comment_bytes(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len() + 1).unwrap_or_default()][..], text.as_bytes(), &[0]].concat()
}

/// The scheduler in a comment.
pub(super) fn scheduler_of(comment: &[u8]) -> Option<Scheduler> {
    let text = std::str::from_utf8(comment.get(2..)?).ok()?;
    text.strip_prefix(COMMENT)?.strip_suffix('\0')?.parse().ok()
}

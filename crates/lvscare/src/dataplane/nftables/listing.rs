//! Reads what the table that the kernel holds says, and whether all of it is as it should be.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::expression::{ELEMENT, VALUE};
use super::ruleset::{BALANCE, Ruleset, WEIGHTS, jump_rule, scheduler_of, server_of};
use crate::netlink::{Attribute, attributes, find, nested, netfilter_attributes};
use crate::{Forward, Rules, Scheduler, Server, Service};

/// More than this is not ours.
const MAX_ENTRIES: usize = 4096;

/// All that the kernel tells about one table, without anything that belongs to others.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// Name and description of each chain.
    chains: Vec<(Vec<u8>, Vec<u8>)>,
    /// Chain and description of each rule.
    rules: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys and data of each map.
    maps: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Something was odd or too much.
    odd: bool,
}

impl Listing {
    /// Takes in a chain.
    pub(super) fn chain(&mut self, table: &str, body: &[u8]) {
        let body = netfilter_attributes(body);
        if find(body, 1).is_some_and(|name| is_text(name, table)) {
            self.note(|listing| {
                listing.chains.push((find(body, 3)?.to_vec(), body.to_vec()));
                Some(listing.chains.len())
            });
        }
    }

    /// Takes in a rule; kernels that do not know the filter tell those of other tables, too.
    pub(super) fn rule(&mut self, table: &str, body: &[u8]) {
        let body = netfilter_attributes(body);
        if find(body, 1).is_some_and(|name| is_text(name, table)) {
            self.note(|listing| {
                listing.rules.push((find(body, 2)?.to_vec(), body.to_vec()));
                Some(listing.rules.len())
            });
        }
    }

    /// Takes in elements of a map.
    pub(super) fn elements(&mut self, body: &[u8]) {
        let body = netfilter_attributes(body);
        self.note(|listing| {
            let map = listing.maps.entry(find(body, 2)?.to_vec()).or_default();
            for (kind, element) in attributes(find(body, 3)?) {
                let value = |kind| Some(nested(element, &[kind, VALUE])?.to_vec());
                map.insert(value(1).filter(|_| kind == ELEMENT)?, value(2)?);
            }
            Some(map.len())
        });
    }

    /// The name of the map that the balancing rule uses, with its closing zero byte.
    pub(super) fn places(&self) -> Option<&[u8]> {
        let (_, rule) = self.rules.iter().find(|(chain, _)| is_text(chain, BALANCE))?;
        let expressions = attributes(find(rule, 4)?);
        let lookup = expressions.map(|(_, expression)| expression).find(|one| find(one, 1) == Some(b"lookup\0"))?;
        nested(lookup, &[2, 1])
    }

    /// The rules that the table says. Where anything is not as it would be written the scheduler is
    /// [`Scheduler::Other`], so that the table is written anew. `None` when not even the servers can be read.
    pub(super) fn rules(&self, service: SocketAddr) -> Option<Rules> {
        let none = BTreeMap::new();
        let weights = self.maps.get(&text(WEIGHTS)).unwrap_or(&none);
        let server = |(key, data): (&Vec<u8>, &Vec<u8>)| {
            let weight = u16::try_from(u32::from_ne_bytes(data.as_slice().try_into().ok()?)).ok()?;
            Some((server_of(key)?, Server { weight, forward: Forward::Masquerade }))
        };
        let servers = weights.iter().map(server).collect::<Option<_>>()?;
        let scheduler = self.scheduler().unwrap_or(Scheduler::Other);
        let mut rules = Rules { service: Service { address: service, scheduler }, servers };
        if !Ruleset::of(&rules).is_ok_and(|ruleset| self.is(&ruleset)) {
            rules.service.scheduler = Scheduler::Other;
        }
        Some(rules)
    }

    fn scheduler(&self) -> Option<Scheduler> {
        let (_, rule) = self.rules.iter().find(|(chain, _)| is_text(chain, BALANCE))?;
        scheduler_of(find(rule, 7)?)
    }

    /// Whether this is the table that `ruleset` would write.
    fn is(&self, ruleset: &Ruleset) -> bool {
        let places = self.places().unwrap_or_default();
        let name = String::from_utf8_lossy(places);
        let balance = ruleset.balance(name.trim_end_matches('\0'), None);
        let none = BTreeMap::new();
        !self.odd
            && self.rules.len() == balance.len() + ruleset.hooks().count()
            && self.chains.len() == 1 + ruleset.hooks().count()
            && self.rules_say(BALANCE, &balance)
            && ruleset.hooks().all(|hook| self.rules_say(hook.name, &[jump_rule()]))
            && ruleset.hooks().all(|hook| self.chain_says(hook.name, &ruleset.hook(hook)))
            && self.maps.get(places).unwrap_or(&none) == &ruleset.places
    }

    fn rules_say(&self, chain: &str, wanted: &[Vec<Attribute>]) -> bool {
        let rules: Vec<_> = self.rules.iter().filter(|(name, _)| is_text(name, chain)).collect();
        rules.len() == wanted.len()
            && rules.iter().zip(wanted).all(|((_, body), wanted)| Attribute::all_held_by(wanted, body))
    }

    fn chain_says(&self, chain: &str, wanted: &[Attribute]) -> bool {
        let mut chains = self.chains.iter().filter(|(name, _)| is_text(name, chain));
        chains.next().is_some_and(|(_, body)| Attribute::all_held_by(wanted, body))
    }

    /// Takes something in and remembers when that is odd or too much.
    fn note(&mut self, take: impl FnOnce(&mut Self) -> Option<usize>) {
        if self.odd {
            return;
        }
        self.odd = take(self).is_none_or(|length| length > MAX_ENTRIES);
    }
}

/// A name as the kernel writes it.
pub(super) fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn is_text(bytes: &[u8], text: &str) -> bool {
    bytes.strip_suffix(&[0]) == Some(text.as_bytes())
}

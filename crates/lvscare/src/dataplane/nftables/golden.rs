//! Tables of `nft`'s making are ours, and every table of ours reads as what was meant.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::listing::Listing;
use super::ruleset::{Ruleset, table_of};
use super::transaction;
use crate::netlink::Message;
use crate::{Rules, Scheduler, Server, Service, reconcile};

const CHAIN: u16 = 0xa03;
const RULE: u16 = 0xa06;
const ELEMENTS: u16 = 0xa0c;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn rules(service: &str, scheduler: Scheduler, servers: &[(&str, u16)]) -> Rules {
    let servers = servers.iter().map(|(server, weight)| (at(server), Server::of(*weight))).collect();
    Rules { service: Service { address: at(service), scheduler }, servers }
}

/// The bodies of messages, by kind, that make the table which says `rules`.
fn ours(rules: &Rules) -> Vec<(u16, Vec<u8>)> {
    let messages = transaction::replace(&Ruleset::of(rules).unwrap());
    messages.into_iter().map(|Message { kind, body, .. }| (kind, body)).collect()
}

/// What the kernel would tell about a table made by these messages.
fn told(service: SocketAddr, messages: &[(u16, Vec<u8>)]) -> Listing {
    let (_, table) = table_of(service);
    let mut listing = Listing::default();
    for (kind, body) in messages {
        match *kind {
            CHAIN => listing.chain(&table, body),
            RULE => listing.rule(&table, body),
            ELEMENTS => listing.elements(body),
            _ => {}
        }
    }
    listing
}

/// Chains and rules as `nft` sent them.
fn recorded(case: &str) -> Vec<(u16, Vec<u8>)> {
    let lines = include_str!("golden.txt").lines().filter_map(|line| line.strip_prefix(case)?.strip_prefix(' '));
    let message = |line: &str| {
        let (kind, digits) = line.split_once(' ').unwrap();
        let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        let body = digits.as_bytes().chunks(2).map(byte).collect();
        (if kind == "chain" { CHAIN } else { RULE }, body)
    };
    lines.map(message).collect()
}

#[test]
fn a_table_of_nfts_making_is_one_of_ours() {
    let four = "10.103.97.2:6443";
    let six = "[fd00::2]:6443";
    let cases = [
        ("rr-4", rules(four, Scheduler::Rr, &[("10.0.0.1:6443", 1), ("10.0.0.2:6444", 1)])),
        ("sh-6", rules(six, Scheduler::Sh, &[("[fd00::1]:6443", 1)])),
        ("dh-4", rules(four, Scheduler::Dh, &[("10.0.0.1:6443", 1)])),
        ("none-6", rules(six, Scheduler::Rr, &[("[fd00::1]:6443", 0)])),
    ];
    for (case, wanted) in cases {
        let mut messages = recorded(case);
        assert!(messages.len() >= 4, "{case} was recorded");
        messages.extend(ours(&wanted).into_iter().filter(|(kind, _)| *kind == ELEMENTS));
        let service = wanted.service.address;
        assert_eq!(told(service, &messages).rules(service), Some(wanted.clone()), "{case}");
        // Nothing of it may be missing, and nothing may be there twice.
        for place in 0..messages.len() {
            let mut fewer = messages.clone();
            let (kind, body) = fewer.remove(place);
            let mut more = messages.clone();
            more.push((kind, body));
            let fewer = told(service, &fewer).rules(service);
            assert_ne!(fewer.as_ref(), Some(&wanted), "{case} without message {place}");
            assert!(!reconcile(&wanted, fewer.as_ref()).is_empty());
            if kind != ELEMENTS {
                assert_ne!(told(service, &more).rules(service), Some(wanted.clone()), "{case} with {place} twice");
            }
        }
    }
}

#[test]
fn a_table_of_another_service_is_not_read() {
    let wanted = rules("10.103.97.2:6443", Scheduler::Rr, &[("10.0.0.1:6443", 1)]);
    let messages: Vec<_> = ours(&wanted).into_iter().filter(|(kind, _)| *kind != ELEMENTS).collect();
    assert_eq!(told(at("10.103.97.2:6444"), &messages), Listing::default());
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let server = (any::<[u8; 4]>(), any::<u16>(), prop_oneof![Just(0), Just(1), any::<u16>()]);
    let scheduler = prop::sample::select(vec![Scheduler::Rr, Scheduler::Wrr, Scheduler::Sh, Scheduler::Dh]);
    let all = (any::<bool>(), any::<[u8; 4]>(), any::<u16>(), scheduler, prop::collection::vec(server, 0..6));
    all.prop_map(|(six, address, port, scheduler, servers)| {
        let at = |address: [u8; 4], port| match six {
            false => SocketAddr::from((address, port)),
            true => SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, u16::from(address[0]), u16::from(address[3])], port)),
        };
        let service = Service { address: at(address, port), scheduler };
        let servers = servers.into_iter().map(|(address, port, weight)| (at(address, port), Server::of(weight)));
        Rules { service, servers: servers.collect() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(rules in any_rules()) {
        let service = rules.service.address;
        prop_assert_eq!(told(service, &ours(&rules)).rules(service), Some(rules));
    }

    #[test]
    fn any_damage_is_read_without_panic(
        rules in any_rules(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let service = rules.service.address;
        let mut messages = ours(&rules);
        for (message, byte, value) in damage {
            let (_, body) = message.get(&messages).clone();
            let place = message.index(messages.len());
            if !body.is_empty() {
                messages[place].1[byte.index(body.len())] = value;
            }
        }
        let place = cut.index(messages.len());
        let length = cut.index(messages[place].1.len() + 1);
        messages[place].1.truncate(length);
        let _ = told(service, &messages).rules(service);
    }
}

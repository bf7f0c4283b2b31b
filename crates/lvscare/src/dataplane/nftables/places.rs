//! Fills the places of a rule with servers: a connection gets the place whose number a counter or a hash says.

use std::net::SocketAddr;

use crate::{Rules, Scheduler};

/// So many places a rule has, and one more for each server whose weight is tiny beside the others.
const MAX_PLACES: u64 = 1024;
/// So many places clients are spread over.
const HASHED: u64 = 256;

/// The server at each place of the rule; empty when no server has weight.
pub(super) fn places(rules: &Rules) -> Vec<SocketAddr> {
    let weighted = rules.servers.iter().filter(|(_, server)| server.weight > 0);
    let weights: Vec<_> = weighted.map(|(address, server)| (*address, server.weight)).collect();
    match rules.service.scheduler {
        Scheduler::Wrr => by_weight(&weights),
        Scheduler::Sh | Scheduler::Dh => by_score(&weights),
        _ => weights.into_iter().map(|(server, _)| server).collect(),
    }
}

/// Heavier servers more often, each at even distances.
fn by_weight(weights: &[(SocketAddr, u16)]) -> Vec<SocketAddr> {
    let total: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut places = Vec::new();
    for (server, weight) in weights {
        let weight = u64::from(*weight);
        let share = if total > MAX_PLACES { (weight * MAX_PLACES / total).max(1) } else { weight };
        // The middle of each of `share` equal parts of the whole, which is 2^32.
        places.extend((0..share).map(|part| (((2 * part + 1) << 31) / share, *server)));
    }
    places.sort_unstable();
    places.into_iter().map(|(_, server)| server).collect()
}

/// Each place goes to the server with the highest score there, so that a server that comes or goes changes only the
/// places that it takes or leaves.
fn by_score(weights: &[(SocketAddr, u16)]) -> Vec<SocketAddr> {
    let best = |place| weights.iter().max_by(|a, b| score(a, place).total_cmp(&score(b, place)));
    (0..HASHED).map_while(best).map(|(server, _)| *server).collect()
}

/// The score of a server at a place: its chance to be the highest is its share of all weights.
fn score((server, weight): &(SocketAddr, u16), place: u64) -> f64 {
    let bytes = server.to_string().into_bytes();
    let hash = bytes.iter().fold(mixed(place), |hash, byte| mixed(hash ^ u64::from(*byte)));
    #[expect(clippy::cast_precision_loss, reason = "a score needs no more than 52 bits")]
    let fraction = ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -f64::from(*weight) / fraction.ln()
}

/// A number that looks like chance (the finisher of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{Server, Service};

    fn rules(scheduler: Scheduler, weights: &[u16]) -> Rules {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler };
        let server = |(index, weight): (usize, &u16)| (address(index), Server::of(*weight));
        Rules { service, servers: weights.iter().enumerate().map(server).collect() }
    }

    fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, u8::try_from(index + 1).unwrap()], 6443))
    }

    fn counts(places: &[SocketAddr]) -> BTreeMap<SocketAddr, usize> {
        places.iter().fold(BTreeMap::new(), |mut counts, server| {
            *counts.entry(*server).or_default() += 1;
            counts
        })
    }

    #[test]
    fn one_after_the_other_whatever_the_weight() {
        assert_eq!(places(&rules(Scheduler::Rr, &[5, 0, 1])), [address(0), address(2)]);
        assert_eq!(places(&rules(Scheduler::Rr, &[0, 0])), []);
    }

    #[test]
    fn heavier_ones_more_often_and_mixed() {
        let [a, b, c] = [0, 1, 2].map(address);
        assert_eq!(places(&rules(Scheduler::Wrr, &[5, 1, 1])), [a, a, a, b, c, a, a]);
        assert_eq!(places(&rules(Scheduler::Wrr, &[2, 0, 2])), [a, c, a, c]);
    }

    #[test]
    fn a_client_stays_with_its_server_when_another_leaves() {
        let before = places(&rules(Scheduler::Sh, &[1, 1, 1, 1]));
        let after = places(&rules(Scheduler::Sh, &[1, 0, 1, 1]));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == address(1)), "only those of the server that left");
        let share = moved.count();
        assert!((32..96).contains(&share), "about a quarter of 256, not {share}");
    }

    #[test]
    fn clients_are_spread_by_weight() {
        let counts = counts(&places(&rules(Scheduler::Sh, &[1, 3])));
        assert!((150..230).contains(&counts[&address(1)]), "about three quarters of 256: {counts:?}");
    }

    proptest! {
        #[test]
        fn every_server_with_weight_and_no_other_has_a_place(
            weights in proptest::collection::vec(0u16.., 0..20),
            scheduler in proptest::sample::select(vec![Scheduler::Rr, Scheduler::Wrr]),
        ) {
            let filled = places(&rules(scheduler, &weights));
            prop_assert!(filled.len() <= 1024 + weights.len());
            let counts = counts(&filled);
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(counts.contains_key(&address(index)), *weight > 0);
            }
        }
    }
}

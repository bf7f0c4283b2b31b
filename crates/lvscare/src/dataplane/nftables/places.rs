//! Fills the places of a rule with servers: a connection gets the place whose number a counter or a hash says.

use std::net::SocketAddr;

use crate::{Rules, Scheduler};

/// So many places a rule has, and one more for each server whose weight is tiny beside the others.
const MAX_PLACES: u64 = 1024;

/// The server at each place of the rule; empty when no server has weight.
pub(super) fn places(rules: &Rules) -> Vec<SocketAddr> {
    let weights = rules.servers.iter().map(|(server, weight)| (*server, *weight));
    let weights: Vec<_> = weights.filter(|(_, weight)| *weight > 0).collect();
    match rules.service.scheduler {
        Scheduler::Wrr | Scheduler::Sh | Scheduler::Dh => by_weight(&weights),
        _ => weights.into_iter().map(|(server, _)| server).collect(),
    }
}

/// Heavier servers more often, each at even distances.
fn by_weight(weights: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Service;

    fn rules(scheduler: Scheduler, weights: &[u32]) -> Rules {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler };
        let server = |(index, weight): (usize, &u32)| (address(index), *weight);
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

    proptest! {
        #[test]
        fn every_server_with_weight_and_no_other_has_a_place(
            weights in proptest::collection::vec(0u32..65536, 0..20),
            scheduler in proptest::sample::select(vec![Scheduler::Rr, Scheduler::Wrr, Scheduler::Sh]),
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

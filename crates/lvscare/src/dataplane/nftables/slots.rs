//! Fills the places of a rule with servers.

use std::net::SocketAddr;

use crate::{Rules, Scheduler};

/// So many places a rule has at most.
const LIMIT: u64 = 1024;
/// So many places clients are spread over.
const HASHED: u64 = 256;

/// The places of a rule, filled with servers: a connection gets the place whose number a counter or a hash says.
/// Empty when no server has weight.
pub(super) fn slots(rules: &Rules) -> Vec<SocketAddr> {
    let weights = rules.servers.iter().filter(|(_, server)| server.weight > 0);
    match rules.service.scheduler {
        Scheduler::Wrr => by_turns(&weights.map(|(server, state)| (*server, state.weight)).collect::<Vec<_>>()),
        Scheduler::Sh | Scheduler::Dh => {
            by_score(&weights.map(|(server, state)| (*server, state.weight)).collect::<Vec<_>>())
        }
        _ => weights.map(|(server, _)| *server).collect(),
    }
}

/// Heavier servers more often, and as evenly mixed as can be: at each place every server gains its weight, the
/// richest one takes the place and pays the sum of the weights.
fn by_turns(weights: &[(SocketAddr, u16)]) -> Vec<SocketAddr> {
    let shares = shares(weights);
    let total: i64 = shares.iter().sum();
    let mut wealth = vec![0i64; shares.len()];
    let turn = |_| {
        wealth.iter_mut().zip(&shares).for_each(|(wealth, share)| *wealth += share);
        let (richest, _) = wealth.iter().enumerate().max_by_key(|(index, wealth)| (**wealth, usize::MAX - index))?;
        wealth[richest] -= total;
        Some(weights[richest].0)
    };
    (0..total).map_while(turn).collect()
}

/// The weights as small numbers of the same proportion; of about the same where they would be too many places.
fn shares(weights: &[(SocketAddr, u16)]) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, u64::from(*weight))).max(1);
    let total = weights.iter().map(|(_, weight)| u64::from(*weight) / divisor).sum::<u64>().max(1);
    let share = |weight: u16| {
        let share = u64::from(weight) / divisor;
        let share = if total > LIMIT { (share * LIMIT / total).max(1) } else { share };
        i64::try_from(share).unwrap_or(1)
    };
    weights.iter().map(|(_, weight)| share(*weight)).collect()
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Each place goes to the server with the highest score there, so that a server that comes or goes changes only the
/// places that it takes or leaves.
fn by_score(weights: &[(SocketAddr, u16)]) -> Vec<SocketAddr> {
    let best = |place: u64| {
        weights
            .iter()
            .max_by(|a, b| score(a.0, a.1, place).total_cmp(&score(b.0, b.1, place)))
            .map(|(server, _)| *server)
    };
    (0..HASHED).map_while(best).collect()
}

/// The score of a server at a place: its chance to be the highest is its share of all weights.
fn score(server: SocketAddr, weight: u16, place: u64) -> f64 {
    let bytes = server.to_string().into_bytes();
    let hash = bytes.iter().fold(mixed(place), |hash, byte| mixed(hash ^ u64::from(*byte)));
    #[expect(clippy::cast_precision_loss, reason = "a score needs no more than 52 bits")]
    let fraction = ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -f64::from(weight) / fraction.ln()
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

    fn counts(slots: &[SocketAddr]) -> BTreeMap<SocketAddr, usize> {
        slots.iter().fold(BTreeMap::new(), |mut counts, server| {
            *counts.entry(*server).or_default() += 1;
            counts
        })
    }

    #[test]
    fn one_after_the_other_whatever_the_weight() {
        assert_eq!(slots(&rules(Scheduler::Rr, &[5, 0, 1])), [address(0), address(2)]);
        assert_eq!(slots(&rules(Scheduler::Rr, &[0, 0])), []);
    }

    #[test]
    fn heavier_ones_more_often_and_mixed() {
        let [a, b, c] = [0, 1, 2].map(address);
        assert_eq!(slots(&rules(Scheduler::Wrr, &[500, 100, 100])), [a, a, b, a, c, a, a]);
        assert_eq!(slots(&rules(Scheduler::Wrr, &[7, 0, 7])), [a, c]);
    }

    #[test]
    fn a_client_stays_with_its_server_when_another_leaves() {
        let before = slots(&rules(Scheduler::Sh, &[1, 1, 1, 1]));
        let after = slots(&rules(Scheduler::Sh, &[1, 0, 1, 1]));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == address(1)), "only those of the server that left");
        let share = moved.count();
        assert!((32..96).contains(&share), "about a quarter of 256, not {share}");
    }

    #[test]
    fn clients_are_spread_by_weight() {
        let counts = counts(&slots(&rules(Scheduler::Sh, &[1, 3])));
        assert!((150..230).contains(&counts[&address(1)]), "about three quarters of 256: {counts:?}");
    }

    proptest! {
        #[test]
        fn every_server_with_weight_and_no_other_has_a_place(
            weights in proptest::collection::vec(0u16.., 0..20),
            scheduler in proptest::sample::select(vec![Scheduler::Rr, Scheduler::Wrr]),
        ) {
            let slots = slots(&rules(scheduler, &weights));
            prop_assert!(slots.len() <= 1024 + weights.len());
            let counts = counts(&slots);
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(counts.contains_key(&address(index)), *weight > 0);
            }
        }
    }
}

//! Computes the changes that lead from the rules that are to the rules that are wanted.

use crate::{Change, Rules};

/// The fewest changes that make `observed` equal `desired`, in an order that never leaves a wanted, healthy server
/// out: first the service, then servers that come or change, last servers that leave.
///
/// `observed` is what the kernel has for this very virtual address, `None` when it has no such service. Empty when
/// nothing differs.
pub fn reconcile(desired: &Rules, observed: Option<&Rules>) -> Vec<Change> {
    let mut changes = Vec::new();
    if observed.is_none_or(|rules| rules.service != desired.service) {
        changes.push(Change::SetService(desired.service.clone()));
    }
    for (address, weight) in &desired.servers {
        if observed.and_then(|rules| rules.servers.get(address)) != Some(weight) {
            changes.push(Change::SetServer(*address, *weight));
        }
    }
    let left = observed.into_iter().flat_map(|rules| rules.servers.keys());
    changes.extend(left.filter(|address| !desired.servers.contains_key(address)).copied().map(Change::RemoveServer));
    changes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::{Dataplane, FOREIGN, FakeDataplane, Scheduler, Service};

    const NEIGHBOUR: ([u8; 4], u16) = ([10, 9, 0, 2], 6443);

    fn service(scheduler: Scheduler) -> Service {
        Service { address: SocketAddr::from(([10, 9, 0, 1], 6443)), scheduler }
    }

    /// Few servers and weights, so that sets overlap in every way.
    fn servers(weight: impl Strategy<Value = u32>) -> impl Strategy<Value = BTreeMap<SocketAddr, u32>> {
        let address = (1..7u8, 0..2u16).prop_map(|(host, port)| SocketAddr::from(([10, 9, 1, host], 6443 + port)));
        proptest::collection::btree_map(address, weight, 0..9)
    }

    fn wanted() -> impl Strategy<Value = Rules> {
        let scheduler = proptest::sample::select(Scheduler::ALL.to_vec());
        let servers = servers(0..4u32);
        (scheduler, servers).prop_map(|(scheduler, servers)| Rules { service: service(scheduler), servers })
    }

    /// What others may have left.
    fn observed() -> impl Strategy<Value = Option<Rules>> {
        let mut schedulers = Scheduler::ALL.to_vec();
        schedulers.push(Scheduler::Other);
        let servers = servers(prop_oneof![3 => 0..4u32, 1 => Just(FOREIGN)]);
        let rules = (proptest::sample::select(schedulers), servers);
        proptest::option::weighted(
            0.9,
            rules.prop_map(|(scheduler, servers)| Rules { service: service(scheduler), servers }),
        )
    }

    /// A table in which `observed` and a neighbour stand.
    fn table(observed: Option<&Rules>) -> (FakeDataplane, Rules) {
        let neighbour = Service { address: NEIGHBOUR.into(), scheduler: Scheduler::Wrr };
        let address = SocketAddr::from(([10, 9, 1, 1], 6443));
        let neighbour = Rules { service: neighbour, servers: [(address, 7)].into() };
        let table = FakeDataplane::new();
        table.interfere(|all| {
            all.insert(neighbour.service.address, neighbour.clone());
            all.extend(observed.map(|rules| (rules.service.address, rules.clone())));
        });
        (table, neighbour)
    }

    fn apply(table: &FakeDataplane, wanted: &Rules, changes: &[Change]) -> crate::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(table.apply(wanted, changes))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_state_becomes_any_other_in_one_step(desired in wanted(), observed in observed()) {
            let (table, neighbour) = table(observed.as_ref());
            apply(&table, &desired, &reconcile(&desired, observed.as_ref())).unwrap();
            let after = table.rules(desired.service.address);
            prop_assert_eq!(after.as_ref(), Some(&desired));
            prop_assert_eq!(reconcile(&desired, after.as_ref()), []);
            prop_assert_eq!(table.rules(NEIGHBOUR.into()), Some(neighbour));
        }

        #[test]
        fn a_server_that_stays_is_never_out(desired in wanted(), observed in observed()) {
            let (table, _) = table(observed.as_ref());
            let held = observed.iter().flat_map(|rules| rules.servers.keys());
            let stays: Vec<_> = held.filter(|server| desired.servers.contains_key(server)).copied().collect();
            let service = desired.service.address;
            let mut smallest = usize::MAX;
            for change in reconcile(&desired, observed.as_ref()) {
                apply(&table, &desired, std::slice::from_ref(&change)).unwrap();
                let rules = table.rules(service).unwrap();
                prop_assert!(stays.iter().all(|server| rules.servers.contains_key(server)), "after {:?}", change);
                smallest = smallest.min(rules.servers.len());
            }
            let before = observed.map_or(0, |rules| rules.servers.len());
            prop_assert!(smallest >= before.min(desired.servers.len()), "never fewer servers than before or after");
        }

        #[test]
        fn the_changes_are_the_fewest(desired in wanted(), observed in observed()) {
            let changes = reconcile(&desired, observed.as_ref());
            let held = observed.as_ref().map(|rules| rules.servers.clone()).unwrap_or_default();
            let servers: std::collections::BTreeSet<_> = held.keys().chain(desired.servers.keys()).collect();
            let different = servers.iter().filter(|server| held.get(server) != desired.servers.get(server)).count();
            let service = usize::from(observed.map(|rules| rules.service) != Some(desired.service));
            prop_assert_eq!(changes.len(), different + service);
        }
    }
}

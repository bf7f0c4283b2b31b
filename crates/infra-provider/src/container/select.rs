//! Selects the hosts to keep and those to create.

use std::net::{IpAddr, Ipv4Addr};

use clusterfile::Cluster;

use super::machine::{Machine, MachineRole};
use super::subnet::Subnet;

/// How many hosts of each duty are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) masters: u32,
    pub(super) nodes: u32,
}

impl Counts {
    /// What the Clusterfile asks for: machine counts, or else as many hosts of a role as it lists.
    pub(super) fn wanted(cluster: &Cluster) -> Self {
        let listed = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let machines = &cluster.machines;
        Self {
            masters: machines.masters.as_ref().map_or_else(|| listed(cluster.masters().count()), |spec| spec.count),
            nodes: machines.nodes.as_ref().map_or_else(|| listed(cluster.nodes().count()), |spec| spec.count),
        }
    }
}

/// A choice among the hosts that exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection<T> {
    /// To be used, in the order of duty and index.
    pub(super) kept: Vec<(Machine, T)>,
    /// To be made: duty and index, both without an owner so far.
    pub(super) missing: Vec<(MachineRole, u32)>,
    /// Not asked for.
    pub(super) unclaimed: Vec<(Machine, T)>,
}

/// Chooses among `found`: first the hosts that `known` lists earliest, then by index.
pub(super) fn select<T>(counts: Counts, found: Vec<(Machine, T)>, known: &[&Cluster]) -> Selection<T> {
    let mut selection = Selection { kept: Vec::new(), missing: Vec::new(), unclaimed: Vec::new() };
    let (masters, nodes): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(machine, _)| machine.duty == MachineRole::Master);
    for (duty, count, mut found) in
        [(MachineRole::Master, counts.masters, masters), (MachineRole::Node, counts.nodes, nodes)]
    {
        let rank =
            |machine: &Machine| known.iter().position(|cluster| cluster.host(IpAddr::V4(machine.address)).is_some());
        found.sort_by_key(|(machine, _)| (rank(machine).unwrap_or(usize::MAX), machine.index));
        let used: Vec<u32> = found.iter().map(|(machine, _)| machine.index).collect();
        let surplus = found.split_off(found.len().min(count as usize));
        let lacking = (count as usize).saturating_sub(found.len());
        found.sort_by_key(|(machine, _)| machine.index);
        selection.kept.extend(found);
        selection.unclaimed.extend(surplus);
        selection.missing.extend((0..).filter(|index| !used.contains(index)).take(lacking).map(|index| (duty, index)));
    }
    selection
}

/// Gives each of `missing` the first address of `subnet` that is not in `used`; `None` when there are too few.
pub(super) fn assign(missing: &[(MachineRole, u32)], subnet: &Subnet, used: &[Ipv4Addr]) -> Option<Vec<Machine>> {
    let mut free = subnet.hosts().filter(|address| !used.contains(address));
    missing.iter().map(|&(duty, index)| Some(Machine { duty, index, address: free.next()? })).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use clusterfile::{MachineSpec, Role};

    fn machine(duty: MachineRole, index: u32, last: u8) -> (Machine, ()) {
        (Machine { duty, index, address: Ipv4Addr::new(10, 213, 0, last) }, ())
    }

    fn indices(list: &[(Machine, ())]) -> Vec<(MachineRole, u32)> {
        list.iter().map(|(machine, ())| (machine.duty, machine.index)).collect()
    }

    const TWO_AND_TWO: Counts = Counts { masters: 2, nodes: 2 };

    #[test]
    fn counts_come_from_machines_before_hosts() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.add_hosts(&Role::Master, ["10.0.0.2".parse().unwrap()]);
        assert_eq!(Counts::wanted(&cluster), Counts { masters: 1, nodes: 0 });
        cluster.machines.masters = Some(MachineSpec::of(3));
        cluster.machines.nodes = Some(MachineSpec::of(2));
        assert_eq!(Counts::wanted(&cluster), Counts { masters: 3, nodes: 2 });
    }

    #[test]
    fn everything_is_missing_at_first() {
        let selection = select::<()>(TWO_AND_TWO, Vec::new(), &[]);
        assert_eq!(
            selection.missing,
            [(MachineRole::Master, 0), (MachineRole::Master, 1), (MachineRole::Node, 0), (MachineRole::Node, 1)]
        );
        assert!(selection.kept.is_empty() && selection.unclaimed.is_empty());
    }

    #[test]
    fn an_incomplete_set_is_completed_in_its_gaps() {
        let found = vec![machine(MachineRole::Node, 1, 5), machine(MachineRole::Master, 1, 3)];
        let selection = select(TWO_AND_TWO, found, &[]);
        assert_eq!(indices(&selection.kept), [(MachineRole::Master, 1), (MachineRole::Node, 1)]);
        assert_eq!(selection.missing, [(MachineRole::Master, 0), (MachineRole::Node, 0)]);
    }

    #[test]
    fn fewer_wanted_leaves_the_highest_unclaimed() {
        let found = vec![
            machine(MachineRole::Master, 0, 2),
            machine(MachineRole::Node, 2, 5),
            machine(MachineRole::Node, 0, 3),
            machine(MachineRole::Node, 1, 4),
        ];
        let selection = select(Counts { masters: 1, nodes: 1 }, found, &[]);
        assert_eq!(indices(&selection.kept), [(MachineRole::Master, 0), (MachineRole::Node, 0)]);
        assert_eq!(indices(&selection.unclaimed), [(MachineRole::Node, 1), (MachineRole::Node, 2)]);
        assert!(selection.missing.is_empty());
    }

    #[test]
    fn listed_hosts_win_over_remembered_ones_and_both_over_strangers() {
        let cluster = |last: &[u8]| {
            let mut cluster = Cluster::new("shop", "shop:1.4");
            cluster.add_hosts(&Role::Node, last.iter().map(|last| IpAddr::from([10, 213, 0, *last])));
            cluster
        };
        let found = || {
            vec![machine(MachineRole::Node, 0, 3), machine(MachineRole::Node, 1, 4), machine(MachineRole::Node, 2, 5)]
        };
        let one = Counts { masters: 0, nodes: 1 };
        let (listed, remembered) = (cluster(&[5]), cluster(&[4, 5]));
        assert_eq!(indices(&select(one, found(), &[&listed, &remembered]).kept), [(MachineRole::Node, 2)]);
        assert_eq!(indices(&select(one, found(), &[&remembered]).kept), [(MachineRole::Node, 1)]);
        assert_eq!(indices(&select(one, found(), &[]).kept), [(MachineRole::Node, 0)]);
        let two = Counts { masters: 0, nodes: 2 };
        assert_eq!(indices(&select(two, found(), &[&listed]).kept), [(MachineRole::Node, 0), (MachineRole::Node, 2)]);
    }

    #[test]
    fn addresses_fill_the_gaps_until_the_subnet_is_full() {
        let subnet: Subnet = "10.213.0.0/29".parse().unwrap();
        let used = [Ipv4Addr::new(10, 213, 0, 3)];
        let missing = [(MachineRole::Master, 0), (MachineRole::Node, 0)];
        let assigned = assign(&missing, &subnet, &used).unwrap();
        assert_eq!(assigned.iter().map(|machine| machine.address.octets()[3]).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(assign(&[(MachineRole::Node, 0); 5], &subnet, &used), None);
    }
}

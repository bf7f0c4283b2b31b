//! Names and labels hosts, and reads the labels back.

use std::collections::HashMap;
use std::net::Ipv4Addr;

pub(super) use crate::machine_role::MachineRole;
use crate::{Error, Result};

/// Names the cluster that a container, network or volume belongs to.
pub(super) const CLUSTER_LABEL: &str = "io.sealer.cluster";
/// `master` or `node`.
pub(super) const ROLE_LABEL: &str = "io.sealer.role";
/// The number in the host's name, from 0, counted for each role.
pub(super) const INDEX_LABEL: &str = "io.sealer.index";
/// The host's fixed address.
pub(super) const ADDRESS_LABEL: &str = "io.sealer.address";

/// The longest cluster name that leaves room for `-master-9999` in a host name (63 characters, RFC 1123).
const CLUSTER_NAME_LIMIT: usize = 51;

/// One host of a cluster: what it is for, which one, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) duty: MachineRole,
    pub(super) index: u32,
    pub(super) address: Ipv4Addr,
}

impl Machine {
    /// The container's name and the host's name.
    pub(super) fn name(&self, cluster: &str) -> String {
        format!("{cluster}-{}-{}", self.duty.as_str(), self.index)
    }

    pub(super) fn labels(&self, cluster: &str) -> HashMap<String, String> {
        HashMap::from([
            (CLUSTER_LABEL.to_owned(), cluster.to_owned()),
            (ROLE_LABEL.to_owned(), self.duty.as_str().to_owned()),
            (INDEX_LABEL.to_owned(), self.index.to_string()),
            (ADDRESS_LABEL.to_owned(), self.address.to_string()),
        ])
    }

    /// Reads back what [`Machine::labels`] wrote on `container`.
    pub(super) fn from_labels(container: &str, labels: &HashMap<String, String>) -> Result<Self> {
        let read = |label: &'static str| labels.get(label).map_or("", String::as_str);
        let wrong =
            |label: &'static str| Error::Label { object: container.to_owned(), label, value: read(label).to_owned() };
        let duty = MachineRole::parse(read(ROLE_LABEL)).ok_or_else(|| wrong(ROLE_LABEL))?;
        let index = read(INDEX_LABEL).parse().map_err(|_| wrong(INDEX_LABEL))?;
        let address = read(ADDRESS_LABEL).parse().map_err(|_| wrong(ADDRESS_LABEL))?;
        Ok(Self { duty, index, address })
    }
}

/// Name of the cluster's own network.
pub(super) fn network_name(cluster: &str) -> String {
    format!("sealer-{cluster}")
}

/// Refuses a cluster name that cannot be part of a host name.
pub(super) fn check_cluster_name(cluster: &str) -> Result<()> {
    let fits = cluster.len() <= CLUSTER_NAME_LIMIT
        && cluster.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && cluster.bytes().next().is_some_and(|b| b != b'-')
        && cluster.bytes().next_back().is_some_and(|b| b != b'-');
    if fits { Ok(()) } else { Err(Error::ClusterName { cluster: cluster.to_owned(), limit: CLUSTER_NAME_LIMIT }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn labels_are_read_back() {
        let machine = Machine { duty: MachineRole::Node, index: 7, address: Ipv4Addr::new(10, 0, 0, 9) };
        assert_eq!(machine.name("shop"), "shop-node-7");
        assert_eq!(Machine::from_labels("x", &machine.labels("shop")).unwrap(), machine);
    }

    #[test]
    fn a_wrong_label_is_named() {
        let machine = Machine { duty: MachineRole::Master, index: 0, address: Ipv4Addr::new(10, 0, 0, 2) };
        for (label, value) in [(ROLE_LABEL, "king"), (INDEX_LABEL, "-1"), (ADDRESS_LABEL, "fe80::1")] {
            let mut labels = machine.labels("shop");
            labels.insert(label.to_owned(), value.to_owned());
            let message = Machine::from_labels("shop-master-0", &labels).unwrap_err().to_string();
            assert!(
                message.contains("shop-master-0") && message.contains(label) && message.contains(value),
                "{message}"
            );
        }
    }

    #[test]
    fn cluster_names_are_host_names() {
        for good in ["a", "my-cluster", "c1", &"x".repeat(51)] {
            check_cluster_name(good).unwrap();
        }
        for bad in ["", "-a", "a-", "My", "a_b", "a.b", "a/b", "ä", &"x".repeat(52)] {
            assert!(check_cluster_name(bad).is_err(), "{bad}");
        }
    }
}

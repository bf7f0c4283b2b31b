//! The hosts of a cluster as its own API describes them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use clusterfile::Cluster;
use runtime::Facts;
use serde::Serialize;

/// One host of a cluster and the node that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Node {
    /// The host's address.
    pub address: IpAddr,
    /// The node's name; empty when the cluster does not know the host.
    pub name: String,
    /// `master` or `node`.
    pub role: &'static str,
    /// Whether the cluster calls it Ready.
    pub ready: bool,
    /// Version of its kubelet, for example `v1.20.2`; empty when the cluster does not know the host.
    pub version: String,
    /// How long steps ran on it in this call, in milliseconds.
    pub millis: u64,
}

/// Every host of the cluster, in its order.
pub(crate) fn nodes(cluster: &Cluster, facts: &Facts, times: &StepTimes) -> Vec<Node> {
    let known = facts.api.as_ref().map(|api| &api.nodes);
    let node = |host: &clusterfile::Host| {
        let known = known.and_then(|nodes| nodes.get(&host.address));
        Node {
            address: host.address,
            name: known.map(|node| node.name.clone()).unwrap_or_default(),
            role: if host.is_master() { "master" } else { "node" },
            ready: known.is_some_and(|node| node.ready),
            version: known.map(|node| node.kubelet.clone()).unwrap_or_default(),
            millis: times.of(host.address),
        }
    };
    cluster.hosts.iter().map(node).collect()
}

/// How long steps ran on each host.
#[derive(Debug, Default)]
pub(crate) struct StepTimes(Mutex<BTreeMap<IpAddr, u64>>);

impl StepTimes {
    /// Counts a step that is finished.
    pub(crate) fn note(&self, event: &runtime::Event) {
        if let runtime::Event::Finished { host, millis, .. } = event {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*host).or_default() += millis;
        }
    }

    fn of(&self, host: IpAddr) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&host).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clusterfile::Role;
    use runtime::facts::NodeFacts;

    use super::*;

    #[test]
    fn a_host_that_the_cluster_does_not_know_is_not_ready() {
        let [first, second] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let mut cluster = Cluster::new("a", "i:1");
        cluster.add_hosts(&Role::Master, [first]);
        cluster.add_hosts(&Role::Node, [second]);
        let mut known = NodeFacts::default();
        known.name = "one".to_owned();
        known.ready = true;
        let mut facts = Facts::default();
        facts.api.get_or_insert_default().nodes.insert(first, known);
        let times = StepTimes::default();
        for millis in [5, 7] {
            let (step, title) = ("s".to_owned(), "s".to_owned());
            times.note(&runtime::Event::Finished { host: first, step, title, millis });
        }
        let nodes = nodes(&cluster, &facts, &times);
        assert_eq!((nodes[0].name.as_str(), nodes[0].ready, nodes[0].millis), ("one", true, 12));
        assert_eq!((nodes[1].name.as_str(), nodes[1].ready, nodes[1].role), ("", false, "node"));
    }
}

//! What apply did, and what it would do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use clusterfile::{Cluster, Host};
use runtime::{Facts, Plan};
use serde::Serialize;

use crate::Node;

/// What apply did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Applied {
    /// The cluster as it now is, with the addresses of its hosts.
    #[serde(skip)]
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    /// Whether anything had to be done.
    pub outcome: Outcome,
    /// Steps done by this call.
    pub done: usize,
    /// Steps that an earlier, interrupted call had done.
    pub skipped: usize,
    /// Where the administrator's kubeconfig is; `None` when the runtime gives none.
    pub kubeconfig: Option<PathBuf>,
    /// Every host, as the cluster itself now calls it.
    pub nodes: Vec<Node>,
    /// Hosts that left the cluster.
    pub left: Vec<LeftHost>,
    /// Wanted hosts that could not be asked and were left out, and why.
    pub unreachable: BTreeMap<IpAddr, String>,
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The cluster was made or changed.
    Changed,
    /// It already was as wanted.
    Unchanged,
    /// Hosts that could not be asked were left out; the same call again does the rest.
    Partly,
}

/// A host that left a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftHost {
    /// Its address.
    pub address: IpAddr,
    /// What it was: `master` or `node`.
    pub role: String,
    /// Why nothing on it was cleaned; `None` when it was cleaned, or its machine given back.
    pub unreachable: Option<String>,
    /// Whether its machine was given back to the provider that made it.
    pub given_back: bool,
}

/// What apply or delete would do.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Planned {
    /// What the provider would create first; empty when every host exists.
    pub provider: Vec<String>,
    /// The steps; those on hosts that the provider would create first are not among them.
    pub plan: Plan,
    /// What stands in the way.
    pub findings: Vec<runtime::Finding>,
    /// Why no plan can be made for the hosts that the provider would make.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub refused: Option<runtime::Error>,
    /// Hosts whose machines are given back to their provider in the end.
    pub given_back: Vec<IpAddr>,
    /// Wanted hosts that cannot be asked and are left out, and why.
    pub unreachable: BTreeMap<IpAddr, String>,
}

impl Planned {
    /// A plan with nothing to say besides.
    pub(crate) fn of(plan: Plan) -> Self {
        let (provider, findings, given_back) = Default::default();
        Self { provider, plan, findings, refused: None, given_back, unreachable: BTreeMap::new() }
    }
}

fn as_text<S: serde::Serializer>(refused: &Option<runtime::Error>, serializer: S) -> Result<S::Ok, S::Error> {
    refused.as_ref().map(ToString::to_string).serialize(serializer)
}

/// The wanted hosts that could not be asked.
pub(crate) fn left_out(cluster: &Cluster, facts: &Facts) -> BTreeMap<IpAddr, String> {
    let unreachable = facts.unreachable.iter().filter(|(host, _)| cluster.host(**host).is_some());
    unreachable.map(|(host, reason)| (*host, reason.clone())).collect()
}

/// The hosts that left by a plan; `given_back` are those whose machines went back to their provider.
pub(crate) fn left(plan: &Plan, facts: &Facts, given_back: &[IpAddr]) -> Vec<LeftHost> {
    let left = plan.leaving().map(|host| {
        let given_back = given_back.contains(&host.address);
        let unreachable = facts.unreachable.get(&host.address).filter(|_| !given_back).cloned();
        LeftHost { address: host.address, role: host.role.clone(), unreachable, given_back }
    });
    left.collect()
}

/// The addresses of hosts.
pub(crate) fn addresses(hosts: &[Host]) -> Vec<IpAddr> {
    hosts.iter().map(|host| host.address).collect()
}

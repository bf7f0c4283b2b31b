//! Finds which of the observed facts stand in the way, and what fixes them.

pub(crate) mod host;
mod network;

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::Host;
use serde::Serialize;

use crate::{HostFacts, Request};

/// Something that stands in the way, found before anything was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The host concerned.
    pub host: IpAddr,
    /// What was found, for example "port 10250 is in use by `kubelet` (pid 812)".
    pub problem: String,
    /// What to do about it: a command or a short sentence.
    pub fix: String,
}

impl Finding {
    /// A problem on a host and what to do about it.
    #[must_use]
    pub fn new(host: IpAddr, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { host, problem: problem.into(), fix: fix.into() }
    }
}

/// What a runtime demands of hosts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Demands {
    /// TCP ports that a master needs, beside that of its registry.
    pub master_ports: &'static [u16],
    /// TCP ports that a node needs.
    pub node_ports: &'static [u16],
    /// Commands that are called, unless the image brings them, each with the package that has it.
    pub tools: &'static [(&'static str, &'static str)],
    /// Kernel modules, each with what it is for.
    pub modules: &'static [(&'static str, &'static str)],
    /// Processors that a master needs.
    pub master_cpus: u32,
    /// Memory that a master needs, in bytes.
    pub master_memory: u64,
    /// Whether hosts may have swap on.
    pub swap_allowed: bool,
    /// Whether nodes balance connections to the API servers in their kernels.
    pub nodes_balance: bool,
    /// What knows only version 1 of control groups, for example `kubernetes v1.18.0`; `None` when both serve.
    pub needs_cgroup_v1: Option<String>,
    /// What starts only with version 2 of control groups, for example `kubernetes v1.35.0`; `None` when both serve.
    pub needs_cgroup_v2: Option<String>,
    /// What speaks no later version of CRI than v1alpha2, for example `kubernetes v1.20.2`; `None` when it speaks v1.
    pub needs_cri_v1alpha2: Option<String>,
    /// What takes another Kubernetes off a host, for a person.
    pub reset: &'static str,
}

/// All findings on all hosts that join, most hindering first per host, hosts in the order of the cluster.
///
/// Pure. Hosts that are done are not looked at; a host that carries the marker of this very cluster is partially
/// installed, and what it holds and does is no finding. Nothing hinders a deletion.
#[must_use]
pub fn preflight(request: &Request<'_>, demands: &Demands) -> Vec<Finding> {
    if request.is_delete() {
        return Vec::new();
    }
    let mut all = Vec::new();
    for host in &request.cluster().hosts {
        let Some(observed) = request.facts.hosts.get(&host.address) else {
            continue;
        };
        let ours = request.marker(host.address);
        if request.is_finished(host.address) {
            continue;
        }
        let checked = Checked { request, host, observed, demands, ours: ours.is_some() };
        let mut findings = Findings { host: host.address, list: Vec::new() };
        host::login(&checked, &mut findings);
        host::machine(&checked, &mut findings);
        host::leftovers(&checked, &mut findings);
        unique(&checked, &mut findings);
        host::clock(&checked, &mut findings);
        network::addresses(&checked, &mut findings);
        network::ports(&checked, &mut findings);
        host::kernel(&checked, &mut findings);
        host::engine(&checked, &mut findings);
        host::swap(&checked, &mut findings);
        host::resources(&checked, &mut findings);
        host::tools(&checked, &mut findings);
        all.append(&mut findings.list);
    }
    all
}

/// One host under examination, with all that the examination needs.
struct Checked<'a> {
    request: &'a Request<'a>,
    host: &'a Host,
    observed: &'a HostFacts,
    demands: &'a Demands,
    /// Whether the host carries the marker of this very cluster.
    ours: bool,
}

/// The findings of one host.
struct Findings {
    host: IpAddr,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, problem: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Finding::new(self.host, problem, fix));
    }
}

/// Kubernetes knows hosts by their names, and many of its parts by their machine ids.
fn unique(checked: &Checked<'_>, findings: &mut Findings) {
    let hosts = &checked.request.cluster().hosts;
    let before = hosts.iter().take_while(|host| host.address != checked.host.address);
    let others: BTreeMap<IpAddr, &HostFacts> =
        before.filter_map(|host| Some((host.address, checked.request.facts.hosts.get(&host.address)?))).collect();
    let same = |of: fn(&HostFacts) -> String| {
        let own = of(checked.observed);
        others.iter().find(|(_, other)| of(other) == own).map(|(address, _)| *address)
    };
    let name = &checked.observed.hostname;
    if let Some(reason) = host::bad_hostname(name) {
        findings.add(format!("host name `{name}` {reason}"), "hostnamectl set-hostname NAME");
    } else if let Some(other) = same(|facts| facts.hostname.to_lowercase()) {
        findings.add(format!("host name `{name}` is also that of {other}"), "hostnamectl set-hostname NAME");
    }
    let fix = "rm -f /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; then restart the host";
    if checked.observed.machine_id.is_empty() {
        findings.add("has no /etc/machine-id", "systemd-machine-id-setup");
    } else if let Some(other) = same(|facts| facts.machine_id.clone()) {
        findings.add(format!("machine id is also that of {other} (a copied disk?)"), fix);
    }
}

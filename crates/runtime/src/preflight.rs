//! Which of the observed facts stand in the way, and what mends them?

mod host;
mod network;

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::{Change, ChangeKind, Host};
use serde::Serialize;

use crate::{Facts, HostFacts, MarkerState, Payload, kubeadm};

/// Something that stands in the way, found before anything was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The host concerned.
    pub host: IpAddr,
    /// What was found, for example "port 10250 is in use by `kubelet` (pid 812)".
    pub problem: String,
    /// What to do about it: a command or a short sentence.
    pub fix: String,
}

/// All findings on all hosts that join, most hindering first per host, hosts in the order of the cluster.
///
/// Pure. Hosts that are done are not looked at; a host that carries the marker of this very cluster is half made,
/// and what it holds and does is no finding. Nothing hinders a deletion.
#[must_use]
pub fn preflight(change: &Change, facts: &Facts, payload: &Payload<'_>) -> Vec<Finding> {
    if change.kind == ChangeKind::Delete {
        return Vec::new();
    }
    let cluster = &change.wanted;
    let image = Image::of(payload);
    let mut all = Vec::new();
    for host in &cluster.hosts {
        let Some(observed) = facts.hosts.get(&host.address) else {
            continue;
        };
        let ours = observed.marker.as_ref().filter(|marker| marker.is_of(&cluster.name, payload.secrets));
        if ours.is_some_and(|marker| marker.state == MarkerState::Ready && marker.image == payload.image_digest) {
            continue;
        }
        let checked = Checked { change, host, observed, payload, image: &image, half_made: ours.is_some() };
        let mut findings = Findings { host: host.address, list: Vec::new() };
        host::login(&checked, &mut findings);
        host::machine(&checked, &mut findings);
        host::leftovers(&checked, &mut findings);
        unique(&checked, facts, &mut findings);
        host::clock(&checked, &mut findings);
        network::addresses(&checked, &mut findings);
        network::ports(&checked, &mut findings);
        host::kernel(&checked, &mut findings);
        host::swap(&checked, &mut findings);
        host::resources(&checked, &mut findings);
        host::tools(&checked, &mut findings);
        all.append(&mut findings.list);
    }
    all
}

/// One host under examination, with all that the examination needs.
struct Checked<'a> {
    change: &'a Change,
    host: &'a Host,
    observed: &'a HostFacts,
    payload: &'a Payload<'a>,
    image: &'a Image,
    /// Whether the host carries the marker of this very cluster.
    half_made: bool,
}

/// What the image demands.
struct Image {
    /// Its Kubernetes, when it says so.
    version: Option<kubeadm::Version>,
    /// Whether its kubelets run with swap on.
    swap_allowed: bool,
}

impl Image {
    /// Planning reports what cannot be read.
    fn of(payload: &Payload<'_>) -> Self {
        let asked = kubeadm::asked(payload).unwrap_or_default();
        Self {
            version: kubeadm::version_of(payload, &asked).ok(),
            swap_allowed: asked.kubelet.get("failSwapOn") == Some(&serde_json::Value::Bool(false)),
        }
    }
}

/// The findings of one host.
struct Findings {
    host: IpAddr,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, problem: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Finding { host: self.host, problem: problem.into(), fix: fix.into() });
    }
}

/// Kubernetes knows hosts by their names, and many of its parts by their machine ids.
fn unique(checked: &Checked<'_>, facts: &Facts, findings: &mut Findings) {
    let hosts = &checked.change.wanted.hosts;
    let before = hosts.iter().take_while(|host| host.address != checked.host.address);
    let others: BTreeMap<IpAddr, &HostFacts> =
        before.filter_map(|host| Some((host.address, facts.hosts.get(&host.address)?))).collect();
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

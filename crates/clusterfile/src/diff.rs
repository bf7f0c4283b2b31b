//! Compares the current cluster with the desired one.

use std::{collections::HashMap, net::IpAddr};

use crate::{Cluster, Host};

/// The difference between two states of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The desired cluster.
    pub wanted: Cluster,
    /// Hosts that come, masters first. A host whose roles change leaves and joins.
    pub joins: Vec<Host>,
    /// Hosts that go, as they were, masters last.
    pub leaves: Vec<Host>,
    /// The change of the image, if it changes.
    pub image: Option<ImageChange>,
    /// Everything else that differs, by its name in the file; see [`Setting`].
    pub settings: Vec<Setting>,
    /// What all of it amounts to.
    pub kind: ChangeKind,
}

/// The change of a cluster's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageChange {
    /// The image as it was written before.
    pub from: String,
    /// The image as it is written now.
    pub to: String,
}

/// What a change amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// There is no cluster yet.
    Create,
    /// The cluster stays and something about it changes.
    Alter,
    /// Everything is as wanted.
    Nothing,
    /// No host is wanted any more.
    Delete,
}

/// A part of the Clusterfile, beside hosts and image, that can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// `spec.provider`
    Provider,
    /// `spec.network`
    Network,
    /// `spec.certSANS`
    CertSans,
    /// `spec.env` of the cluster or of a host that stays
    Env,
    /// `spec.cmd`, `spec.cmd_args` or `spec.appNames`
    Launch,
    /// `spec.hostAliases`
    HostAliases,
    /// `spec.dataRoot`
    DataRoot,
    /// `spec.registry`
    Registry,
    /// `spec.containerRuntime`
    ContainerRuntime,
    /// labels of a host that stays
    Labels,
    /// taints of a host that stays
    Taints,
}

/// Compares the current cluster, if there is one, with the desired one.
///
/// Compare after the provider has filled in the hosts of `wanted`. How to log in is not a change of the cluster, nor are annotations and the sizes of machines; they are simply taken over.
#[must_use]
pub fn diff(current: Option<&Cluster>, wanted: &Cluster) -> Change {
    let Some(current) = current.filter(|current| !current.hosts.is_empty()) else {
        return creation(wanted);
    };
    if wanted.hosts.is_empty() && !wanted.machines.is_empty() {
        // No provider has created the hosts yet, so single hosts cannot be compared.
        let known = Cluster { hosts: current.hosts.clone(), ..wanted.clone() };
        let mut change = diff(Some(current), &known);
        if current.machines != wanted.machines {
            change.kind = ChangeKind::Alter;
        }
        return Change { wanted: wanted.clone(), ..change };
    }

    let (before, after) = (by_address(current), by_address(wanted));
    let joins = masters_first(wanted.hosts.iter().filter(|host| !stays(host, &before)));
    let mut leaves = masters_first(current.hosts.iter().filter(|host| !stays(host, &after)));
    leaves.reverse();
    let mut change =
        Change { wanted: wanted.clone(), joins, leaves, image: None, settings: Vec::new(), kind: ChangeKind::Delete };
    if wanted.hosts.is_empty() {
        return change;
    }
    if current.image != wanted.image {
        change.image = Some(ImageChange { from: current.image.clone(), to: wanted.image.clone() });
    }
    change.settings = changed_settings(current, wanted);
    change.settings.extend(changed_host_settings(wanted.hosts.iter().filter(|host| stays(host, &before)), &before));
    change.settings.sort_unstable();
    change.settings.dedup();
    let nothing =
        change.joins.is_empty() && change.leaves.is_empty() && change.image.is_none() && change.settings.is_empty();
    change.kind = if nothing { ChangeKind::Nothing } else { ChangeKind::Alter };
    change
}

fn creation(wanted: &Cluster) -> Change {
    let joins = masters_first(wanted.hosts.iter());
    let nothing = joins.is_empty() && wanted.machines.is_empty();
    let kind = if nothing { ChangeKind::Nothing } else { ChangeKind::Create };
    Change { wanted: wanted.clone(), joins, leaves: Vec::new(), image: None, settings: Vec::new(), kind }
}

fn by_address(cluster: &Cluster) -> HashMap<IpAddr, &Host> {
    cluster.hosts.iter().map(|host| (host.address, host)).collect()
}

/// Whether the other state of the cluster has this host in the same place.
fn stays(host: &Host, other: &HashMap<IpAddr, &Host>) -> bool {
    let place = |host: &Host| (host.is_master(), host.is_node());
    other.get(&host.address).is_some_and(|same| place(same) == place(host))
}

fn masters_first<'a>(hosts: impl Iterator<Item = &'a Host>) -> Vec<Host> {
    let mut hosts: Vec<Host> = hosts.cloned().collect();
    hosts.sort_by_key(|host| !host.is_master());
    hosts
}

fn changed_settings(current: &Cluster, wanted: &Cluster) -> Vec<Setting> {
    let launch = current.commands != wanted.commands
        || current.command_args != wanted.command_args
        || current.app_names != wanted.app_names;
    let changed = [
        (Setting::Provider, current.provider != wanted.provider),
        (Setting::Network, current.network != wanted.network),
        (Setting::CertSans, current.cert_sans != wanted.cert_sans),
        (Setting::Env, current.env != wanted.env),
        (Setting::Launch, launch),
        (Setting::HostAliases, current.host_aliases != wanted.host_aliases),
        (Setting::DataRoot, current.data_root != wanted.data_root),
        (Setting::Registry, current.registry != wanted.registry),
        (Setting::ContainerRuntime, current.container_runtime != wanted.container_runtime),
    ];
    changed.into_iter().filter_map(|(setting, changed)| changed.then_some(setting)).collect()
}

fn changed_host_settings<'a>(staying: impl Iterator<Item = &'a Host>, before: &HashMap<IpAddr, &Host>) -> Vec<Setting> {
    let mut changed = Vec::new();
    for host in staying {
        let Some(old) = before.get(&host.address) else { continue };
        changed.extend((old.env != host.env).then_some(Setting::Env));
        changed.extend((old.labels != host.labels).then_some(Setting::Labels));
        changed.extend((old.taints != host.taints).then_some(Setting::Taints));
    }
    changed
}

//! What has to change so that the cluster that is becomes the cluster that is wanted?

use crate::{Cluster, Host};

/// The difference between two states of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The cluster as it shall be.
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

/// Compares the cluster that is, if there is one, with the cluster that is wanted.
///
/// Compare after the provider has filled in the hosts of `wanted`. How to log in is not a change of the cluster, nor are annotations and the sizes of machines; they are simply taken over.
#[must_use]
pub fn diff(current: Option<&Cluster>, wanted: &Cluster) -> Change {
    let change = |joins, leaves, image, settings, kind| Change {
        wanted: wanted.clone(),
        joins,
        leaves,
        image,
        settings,
        kind,
    };
    let Some(current) = current.filter(|current| !current.hosts.is_empty()) else {
        let joins = masters_first(wanted.hosts.iter());
        let kind = if joins.is_empty() && wanted.machines.is_empty() {
            ChangeKind::Nothing
        } else {
            ChangeKind::Create
        };
        return change(joins, Vec::new(), None, Vec::new(), kind);
    };
    if wanted.hosts.is_empty() && !wanted.machines.is_empty() {
        // No provider has made the hosts yet, so nothing can be said about single ones.
        let known = Cluster {
            hosts: current.hosts.clone(),
            ..wanted.clone()
        };
        let mut change = diff(Some(current), &known);
        if current.machines != wanted.machines {
            change.kind = ChangeKind::Alter;
        }
        return Change {
            wanted: wanted.clone(),
            ..change
        };
    }
    let leaves = current.hosts.iter().filter(|host| !stays(host, wanted));
    let mut leaves = masters_first(leaves);
    leaves.reverse();
    if wanted.hosts.is_empty() {
        return change(Vec::new(), leaves, None, Vec::new(), ChangeKind::Delete);
    }

    let joins = masters_first(wanted.hosts.iter().filter(|host| !stays(host, current)));
    let image = (current.image != wanted.image).then(|| ImageChange {
        from: current.image.clone(),
        to: wanted.image.clone(),
    });
    let settings = changed_settings(current, wanted);
    let nothing = joins.is_empty() && leaves.is_empty() && image.is_none() && settings.is_empty();
    change(
        joins,
        leaves,
        image,
        settings,
        if nothing {
            ChangeKind::Nothing
        } else {
            ChangeKind::Alter
        },
    )
}

/// Whether the other state of the cluster has this host in the same place.
fn stays(host: &Host, other: &Cluster) -> bool {
    other.host(host.address).is_some_and(|same| {
        same.is_master() == host.is_master() && same.is_node() == host.is_node()
    })
}

fn masters_first<'a>(hosts: impl Iterator<Item = &'a Host>) -> Vec<Host> {
    let mut hosts: Vec<Host> = hosts.cloned().collect();
    hosts.sort_by_key(|host| !host.is_master());
    hosts
}

fn changed_settings(current: &Cluster, wanted: &Cluster) -> Vec<Setting> {
    let differs = |of: fn(&Host, &Host) -> bool| {
        wanted.hosts.iter().any(|host| {
            current
                .host(host.address)
                .is_some_and(|before| stays(before, wanted) && of(before, host))
        })
    };
    let launch = |cluster: &Cluster| {
        (
            cluster.commands.clone(),
            cluster.command_args.clone(),
            cluster.app_names.clone(),
        )
    };
    [
        (Setting::Provider, current.provider != wanted.provider),
        (Setting::Network, current.network != wanted.network),
        (Setting::CertSans, current.cert_sans != wanted.cert_sans),
        (
            Setting::Env,
            current.env != wanted.env || differs(|a, b| a.env != b.env),
        ),
        (Setting::Launch, launch(current) != launch(wanted)),
        (
            Setting::HostAliases,
            current.host_aliases != wanted.host_aliases,
        ),
        (Setting::DataRoot, current.data_root != wanted.data_root),
        (Setting::Registry, current.registry != wanted.registry),
        (
            Setting::ContainerRuntime,
            current.container_runtime != wanted.container_runtime,
        ),
        (Setting::Labels, differs(|a, b| a.labels != b.labels)),
        (Setting::Taints, differs(|a, b| a.taints != b.taints)),
    ]
    .into_iter()
    .filter_map(|(setting, changed)| changed.then_some(setting))
    .collect()
}

//! Which clusters and which changes cannot be made (yet)?

use clusterfile::{Change, Cluster};

use crate::{Error, Facts, Marker, MarkerState, Payload};

/// Whether a cluster of this shape can be made.
pub(crate) fn supports(cluster: &Cluster) -> Result<(), Error> {
    let not_built = |what| Err(Error::NotBuilt { what });
    let to_make = cluster.machines.masters.as_ref().map_or(0, |machines| machines.count as usize);
    match cluster.masters().count().max(to_make) {
        0 => {
            let reason = "names no master; give the address of one".to_owned();
            return Err(Error::Unsupported { cluster: cluster.name.clone(), reason });
        }
        1 => {}
        _ => return not_built("a cluster with several masters (one master and any number of nodes can be made)"),
    }
    if cluster.data_root.as_deref().is_some_and(|root| root.trim_end_matches('/') != "/var/lib/sealer/data") {
        return not_built("spec.dataRoot other than /var/lib/sealer/data");
    }
    if cluster.registry.external.is_some() {
        return not_built("a registry outside the cluster (spec.registry.externalRegistry)");
    }
    if cluster.registry.username.is_some() || cluster.registry.password.is_some() {
        return not_built("a login for the registry of the cluster (spec.registry.localRegistry.username)");
    }
    if cluster.network.without_cni {
        return not_built("leaving out the network plugin of an image (spec.network.withoutCNI)");
    }
    if cluster.container_runtime.as_deref().is_some_and(|engine| engine != "containerd") {
        return not_built("a container runtime other than containerd");
    }
    Ok(())
}

/// Whether a change can be made. A cluster that never came to stand may still change in any way.
pub(crate) fn supports_change(change: &Change, facts: &Facts, payload: &Payload<'_>) -> Result<(), Error> {
    let cluster = &change.wanted;
    let image = &payload.image_digest;
    let stands = |marker: &&Marker| marker.is_of(&cluster.name, payload.secrets) && marker.state == MarkerState::Ready;
    let mut masters = cluster.masters().chain(&change.leaves).filter(|host| host.is_master());
    let standing = masters.find_map(|host| {
        let marker = facts.hosts.get(&host.address)?.marker.as_ref().filter(stands)?;
        Some((host.address, marker))
    });
    let master_stands = standing.is_some();
    let begun = |host: &clusterfile::Host| {
        facts.hosts.get(&host.address).is_some_and(|host| host.cluster.as_deref() == Some(&cluster.name))
    };
    let not_built = |what| Err(Error::NotBuilt { what });
    if change.leaves.iter().any(|host| master_stands || begun(host)) {
        return not_built("taking single hosts out of a cluster (`sealer delete` removes the whole cluster)");
    }
    let Some((master, marker)) = standing else {
        return Ok(());
    };
    if change.image.is_some() || marker.image != *image {
        return not_built("changing the image of a cluster that stands");
    }
    if !change.joins.is_empty() && change.kind == clusterfile::ChangeKind::Alter {
        return not_built("adding hosts to a cluster that stands");
    }
    if !change.settings.is_empty() {
        return not_built("changing the settings of a cluster that stands");
    }
    // Making the control plane again would destroy what the cluster knows.
    if facts.api.is_none() {
        return Err(Error::ApiSilent { host: master, cluster: cluster.name.clone() });
    }
    Ok(())
}

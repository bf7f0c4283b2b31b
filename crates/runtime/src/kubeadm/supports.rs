//! What kubeadm clusters cannot be or become yet.

use std::net::IpAddr;

use clusterfile::Cluster;

use crate::host::ContainerEngine;
use crate::{Error, ImageContents, Request};

/// Joining further masters is still to come.
pub(super) const SEVERAL_MASTERS: Error =
    Error::Unsupported { what: "a cluster with several masters (one master and any number of nodes can be made)" };

/// Whether an image carries a Kubernetes at all.
pub(super) fn image(image: &ImageContents) -> Result<(), Error> {
    if image.files.iter().any(|file| file.starts_with("bin/k")) {
        return Ok(());
    }
    Err(Error::ApplicationImage { image: image.name.clone() })
}

/// Whether an image carries all that kubeadm needs.
pub(super) fn complete(image: &ImageContents) -> Result<(), Error> {
    let engine = ContainerEngine::of_image(image)?.install_script();
    for needed in ["bin/kubeadm", "bin/kubelet", "bin/kubectl", "scripts/init-kube.sh", &engine] {
        if !image.has(needed) {
            let missing = format!("{needed} (is it a cluster image?)");
            return Err(Error::Payload { image: image.name.clone(), missing });
        }
    }
    Ok(())
}

/// Whether a cluster of this shape can be made.
pub(super) fn cluster(cluster: &Cluster) -> Result<(), Error> {
    let unsupported = |what| Err(Error::Unsupported { what });
    let to_make = cluster.machines.masters.as_ref().map_or(0, |machines| machines.count as usize);
    match cluster.masters().count().max(to_make) {
        0 => {
            let reason = "names no master; give the address of one".to_owned();
            return Err(Error::InvalidCluster { cluster: cluster.name.clone(), reason });
        }
        1 => {}
        _ => return Err(SEVERAL_MASTERS),
    }
    if cluster.data_root.as_deref().is_some_and(|root| root.trim_end_matches('/') != "/var/lib/sealer/data") {
        return unsupported("spec.dataRoot other than /var/lib/sealer/data");
    }
    if cluster.registry.external.is_some() {
        return unsupported("a registry outside the cluster (spec.registry.externalRegistry)");
    }
    if cluster.registry.username.is_some() || cluster.registry.password.is_some() {
        return unsupported("a login for the registry of the cluster (spec.registry.localRegistry.username)");
    }
    if cluster.network.without_cni {
        return unsupported("leaving out the network plugin of an image (spec.network.withoutCNI)");
    }
    if cluster.container_runtime.as_deref().is_some_and(|name| ContainerEngine::named(name).is_none()) {
        return unsupported("a container runtime other than containerd");
    }
    Ok(())
}

/// Whether what is observed can become what is wanted. A cluster that was never initialized may still change in any way.
pub(super) fn request(request: &Request<'_>) -> Result<(), Error> {
    let unsupported = |what| Err(Error::Unsupported { what });
    let initialized = initialized_master(request);
    let begun = |address: &IpAddr| {
        let host = &request.facts.hosts[address];
        host.cluster.as_deref() == Some(&request.cluster().name)
    };
    let unwanted = request.facts.hosts.keys().filter(|address| request.cluster().host(**address).is_none());
    let mut unwanted = unwanted.peekable();
    if unwanted.peek().is_some() && (initialized.is_some() || unwanted.any(begun)) {
        return unsupported("taking single hosts out of a cluster (`sealer delete` removes the whole cluster)");
    }
    let Some(master) = initialized else {
        return Ok(());
    };
    let marker = request.marker(master);
    if marker.is_some_and(|marker| marker.image != request.payload.image.digest) {
        return unsupported("changing the image of a cluster that is initialized");
    }
    // A host that was reinstalled is still known to the API, a new one to nobody.
    let new = |host: &clusterfile::Host| request.marker(host.address).is_none() && !request.is_registered(host.address);
    if request.not_done().any(new) {
        return unsupported("adding hosts to a cluster that is initialized");
    }
    let returning = request.updates.iter().any(|update| update.begun);
    // Making the control plane again would destroy what the cluster knows.
    if request.facts.api.is_none() && !returning {
        return Err(Error::ApiSilent { host: master, cluster: request.cluster().name.clone() });
    }
    Ok(())
}

/// A master of this cluster, wanted or not, that was finished once.
fn initialized_master(request: &Request<'_>) -> Option<IpAddr> {
    let mut wanted = request.cluster().masters().map(|master| master.address);
    let finished = |address: &IpAddr| request.was_finished(*address);
    let left = || request.leaving().find(|(address, marker)| marker.role == "master" && finished(address));
    wanted.find(finished).or_else(|| left().map(|(address, _)| address))
}

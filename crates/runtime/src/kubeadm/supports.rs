//! What kubeadm clusters cannot be or become yet.

use clusterfile::Cluster;

use crate::host::{ContainerEngine, check_registry, finished_masters};
use crate::{Error, ImageContents, Request};

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
    let invalid = |reason| Err(Error::InvalidCluster { cluster: cluster.name.clone(), reason });
    if cluster.masters().count().max(to_make) == 0 {
        return invalid("names no master; give the address of one".to_owned());
    }
    let family = |is_ipv4| cluster.hosts.iter().find(|host| host.address.is_ipv4() == is_ipv4);
    if let (Some(four), Some(six)) = (family(true), family(false)) {
        return invalid(format!(
            "its hosts have addresses of two families ({} and {}); name all of them by IPv4 or all by IPv6",
            four.address, six.address
        ));
    }
    if cluster.data_root.as_deref().is_some_and(|root| root.trim_end_matches('/') != "/var/lib/sealer/data") {
        return unsupported(
            "spec.dataRoot other than /var/lib/sealer/data (whoever looks at a host looks there; mount the disk at that place)",
        );
    }
    check_registry(cluster)?;
    if let Some(host) = cluster.hosts.iter().find(|host| cluster.uses_addresses_as_names() && host.address.is_ipv6()) {
        return invalid(format!("UseIPasNodeName=true: {} cannot be a node's name, which has no colons", host.address));
    }
    if cluster.container_runtime.as_deref().is_some_and(|name| ContainerEngine::named(name).is_none()) {
        return unsupported(
            "a container runtime other than containerd (spec.containerRuntime.type: leave it out, the image decides)",
        );
    }
    Ok(())
}

/// Whether what is observed can become what is wanted. A cluster that was never initialized may still change in any way.
pub(super) fn request(request: &Request<'_>) -> Result<(), Error> {
    let unsupported = |what| Err(Error::Unsupported { what });
    let Some(master) = finished_masters(request).next() else {
        return Ok(());
    };
    let marker = request.marker(master);
    if marker.is_some_and(|marker| marker.image != request.payload.image.digest) {
        return unsupported("changing the image of a cluster that is initialized");
    }
    let returning = request.updates.iter().any(|update| update.begun);
    // Making the control plane again would destroy what the cluster knows.
    if request.facts.api.is_none() && !returning {
        return Err(Error::ApiSilent { host: master, cluster: request.cluster().name.clone() });
    }
    if let Some((host, _)) = request.of_other_role() {
        let (was, shall) = if host.is_master() { ("node", "master") } else { ("master", "node") };
        let address = host.address;
        let reason = format!(
            "{address} is a {was} and shall be a {shall}; take it out of the cluster first, then add it as a {shall}"
        );
        return Err(Error::InvalidCluster { cluster: request.cluster().name.clone(), reason });
    }
    super::quorum::check(request)
}

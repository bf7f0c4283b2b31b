//! Where does everything lie on a host?

/// Our binary on every host, brought there before a plan is performed.
pub(crate) const BINARY: &str = "/var/lib/sealer/bin/sealer";
/// The root of a host's content store.
pub(crate) const ROOT: &str = "/var/lib/sealer";
/// Where containerd looks for the rules by which it finds images.
pub(crate) const CERTS_D: &str = "/etc/containerd/certs.d";
/// The systemd unit of the registry.
pub(crate) const REGISTRY_UNIT: &str = "/etc/systemd/system/sealer-registry.service";

/// The directory of a cluster on its hosts.
pub(crate) fn data(cluster: &str) -> String {
    format!("{ROOT}/data/{cluster}")
}

/// The unpacked cluster image.
pub(crate) fn rootfs(cluster: &str) -> String {
    format!("{}/rootfs", data(cluster))
}

/// The marker file.
pub(crate) fn marker(cluster: &str) -> String {
    format!("{}/host.json", data(cluster))
}

/// The registry's certificates.
pub(crate) fn certs(cluster: &str) -> String {
    format!("{}/certs", data(cluster))
}

/// What kubeadm is given: configuration and certificate authorities.
pub(crate) fn kubeadm(cluster: &str) -> String {
    format!("{}/kubeadm", data(cluster))
}

//! Where does everything lie on a host?

/// Our binary on every host, brought there before a plan is performed.
pub(crate) const BINARY: &str = "/var/lib/sealer/bin/sealer";
/// Where containerd looks for the rules by which it finds images.
pub(crate) const CERTS_D: &str = "/etc/containerd/certs.d";
/// The systemd unit that keeps the cluster's names in `/etc/hosts`.
pub(crate) const NAMES_UNIT: &str = "/etc/systemd/system/sealer-names.service";
/// The systemd unit that keeps the way from a node to the API servers.
pub(crate) const CARE_UNIT: &str = "/etc/systemd/system/sealer-lvscare.service";
/// The systemd unit of the registry.
pub(crate) const REGISTRY_UNIT: &str = "/etc/systemd/system/sealer-registry.service";

/// The directory of a cluster on its hosts: everything of the cluster, its content store (`content/`) too.
pub(crate) fn data(cluster: &str) -> String {
    format!("/var/lib/sealer/data/{cluster}")
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

/// What the carer of a node is told: the masters behind the virtual address.
pub(crate) fn care(cluster: &str) -> String {
    format!("{}/lvscare.json", data(cluster))
}

/// What kubeadm is given: configuration and certificate authorities.
pub(crate) fn kubeadm(cluster: &str) -> String {
    format!("{}/kubeadm", data(cluster))
}

/// By what a joining host knows the API server: a kubeconfig without credentials.
pub(crate) fn discovery(cluster: &str) -> String {
    format!("{}/discovery.conf", kubeadm(cluster))
}

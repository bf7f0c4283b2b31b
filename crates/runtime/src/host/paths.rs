//! Where everything of a cluster lies on its hosts.

/// Our binary on every host, brought there before a plan is performed.
pub(crate) const BINARY: &str = "/var/lib/sealer/bin/sealer";
/// The systemd unit that keeps the cluster's names in `/etc/hosts`.
pub(crate) const NAMES_UNIT: &str = "/etc/systemd/system/sealer-names.service";
/// The systemd unit that balances connections from a node over the API servers.
pub(crate) const LVSCARE_UNIT: &str = "/etc/systemd/system/sealer-lvscare.service";
/// The systemd unit of the registry.
pub(crate) const REGISTRY_UNIT: &str = "/etc/systemd/system/sealer-registry.service";

/// The directory of a cluster on its hosts: everything of the cluster, its content store (`content/`) too.
#[must_use]
pub fn data(cluster: &str) -> String {
    format!("/var/lib/sealer/data/{cluster}")
}

/// The unpacked cluster image.
#[must_use]
pub fn rootfs(cluster: &str) -> String {
    format!("{}/rootfs", data(cluster))
}

/// The unpacked image of an application, by the name of its directory.
#[must_use]
pub fn application(cluster: &str, directory: &str) -> String {
    format!("{}/applications/{directory}/rootfs", data(cluster))
}

/// The marker file.
#[must_use]
pub fn marker(cluster: &str) -> String {
    format!("{}/host.json", data(cluster))
}

/// The registry's certificates.
pub(crate) fn certs(cluster: &str) -> String {
    format!("{}/certs", data(cluster))
}

/// The configuration of lvscare on a node: the masters behind the virtual address.
pub(crate) fn lvscare(cluster: &str) -> String {
    format!("{}/lvscare.json", data(cluster))
}

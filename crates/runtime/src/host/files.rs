//! The small files that a host gets before its Kubernetes.

use std::net::{IpAddr, SocketAddr};

use clusterfile::{Cluster, Host};

use super::control_plane::{API_SERVER, ControlPlane};
use super::paths;
use super::registry::{EXTERNAL_AUTHORITY, HTPASSWD};
use super::script::exports;
use crate::{File, Secrets};

/// The certificate authority of the cluster's registries and API servers, and that of a registry outside.
pub(super) fn authorities(cluster: &Cluster, secrets: &Secrets) -> Vec<File> {
    let certs = paths::certs(&cluster.name);
    let external = cluster.registry.external.as_ref().and_then(|external| external.ca.as_deref());
    let own = File::public(format!("{certs}/ca.crt"), secrets.authority());
    let external = external.map(|ca| File::public(format!("{certs}/{EXTERNAL_AUTHORITY}"), ca));
    std::iter::once(own).chain(external).collect()
}

/// What keeps the cluster's names in `/etc/hosts`: a script and the unit that runs it at each start of the host.
/// A master asks the API server and the registry of its own, a node the virtual address and the registries of all. `named`
/// is the host's own name where the cluster gave it; empty where it had one.
pub(super) fn names(cluster: &Cluster, host: &Host, named: &str, control_plane: &ControlPlane<'_>) -> Vec<File> {
    let domain = &cluster.registry.domain;
    let mut lines = Vec::new();
    let api_server = if host.is_master() { host.address } else { control_plane.service().ip() };
    lines.push(format!("{api_server} {API_SERVER}"));
    if control_plane.has_registry(host.address) {
        lines.push(format!("{} {domain}", host.address));
    } else {
        lines.extend(control_plane.registries().map(|registry| format!("{} {domain}", registry.ip())));
    }
    for alias in &cluster.host_aliases {
        lines.push(format!("{} {}", alias.address, alias.hostnames.join(" ")));
    }
    let (data, lines) = (paths::data(&cluster.name), lines.join("\n"));
    let values = [
        ("SEALER_CLUSTER", cluster.name.as_str()),
        ("SEALER_DATA", data.as_str()),
        ("SEALER_NAMES", lines.as_str()),
        ("SEALER_HOSTNAME", named),
    ];
    let script = format!("{}{}", exports(values), include_str!("scripts/hosts_file.sh"));
    let unit = format!(
        "[Unit]\n\
         Description=sealer: names of cluster {} in /etc/hosts\n\
         Before=containerd.service kubelet.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh {data}/names.sh\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        cluster.name,
    );
    vec![File::public(format!("{data}/names.sh"), script), File::public(paths::NAMES_UNIT, unit)]
}

/// The registry of a master: its certificate, its users and its unit. It listens where the hosts of the cluster look for
/// it, not on every address; that address may come up later than the unit.
pub(super) fn registry(cluster: &Cluster, master: IpAddr, secrets: &Secrets, htpasswd: Option<&str>) -> Vec<File> {
    let certs = paths::certs(&cluster.name);
    let mut files = Vec::new();
    if !cluster.registry.insecure {
        files.push(File::public(format!("{certs}/registry.crt"), secrets.registry.certificate.clone()));
        files.push(File::secret(format!("{certs}/registry.key"), secrets.registry.key.expose()));
    }
    files.extend(htpasswd.map(|users| File::secret(format!("{certs}/{HTPASSWD}"), users)));
    files.push(registry_unit(cluster, master));
    files
}

/// The systemd unit of the registry of a master.
pub(super) fn registry_unit(cluster: &Cluster, master: IpAddr) -> File {
    let certs = paths::certs(&cluster.name);
    let mut options = String::new();
    if !cluster.registry.insecure {
        options.push_str(&format!(" --cert {certs}/registry.crt --key {certs}/registry.key"));
    }
    if cluster.registry.login().is_some() {
        options.push_str(&format!(" --htpasswd {certs}/{HTPASSWD}"));
    }
    let unit = format!(
        "[Unit]\n\
         Description=sealer: image registry of cluster {name}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         ExecStart={binary} registry serve --root {root} --listen {listen} --name {domain}:{port}{options}\n\
         Restart=always\n\
         RestartSec=2\n\
         LimitNOFILE=1048576\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        name = cluster.name,
        binary = paths::BINARY,
        root = paths::data(&cluster.name),
        listen = SocketAddr::new(master, cluster.registry.port),
        domain = cluster.registry.domain,
        port = cluster.registry.port,
    );
    File::public(paths::REGISTRY_UNIT, unit)
}

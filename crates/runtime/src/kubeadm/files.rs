//! Which small files does a host get, and what is in them?

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clusterfile::{Cluster, Host};

use super::environment::{API_SERVER, exports, virtual_address};
use super::{Secrets, paths, yaml};
use crate::{File, Marker};

/// The marker file.
pub(crate) fn marker(marker: &Marker) -> File {
    let text = serde_json::to_string_pretty(marker).expect("a marker is plain data");
    public(paths::marker(&marker.cluster), format!("{text}\n"))
}

/// The rules by which containerd finds every image under its original name at the master's registry first.
pub(crate) fn registry_rules(cluster: &Cluster, master: IpAddr, secrets: &Secrets) -> Vec<File> {
    let (domain, port) = (&cluster.registry.domain, cluster.registry.port);
    let authority = format!("{}/ca.crt", paths::certs(&cluster.name));
    let host =
        |url: &str| format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = \"{authority}\"\n");
    let own = format!("https://{domain}:{port}");
    let any = format!("https://{}", with_port(master, port));
    vec![
        public(authority.clone(), secrets.authority().to_owned()),
        public(format!("{}/_default/hosts.toml", paths::CERTS_D), format!("# written by sealer\n{}", host(&any))),
        public(
            format!("{}/{domain}:{port}/hosts.toml", paths::CERTS_D),
            format!("# written by sealer\nserver = \"{own}\"\n\n{}", host(&own)),
        ),
    ]
}

/// What keeps the cluster's names in `/etc/hosts`: a script and the unit that runs it at each start of the host.
/// A master asks the API server of its own, everybody else the virtual address of all of them.
pub(crate) fn names(cluster: &Cluster, host: &Host, master: IpAddr) -> Vec<File> {
    let api_server = if host.is_master() { host.address } else { virtual_address(master) };
    let mut lines = vec![format!("{api_server} {API_SERVER}"), format!("{master} {}", cluster.registry.domain)];
    for alias in &cluster.host_aliases {
        lines.push(format!("{} {}", alias.address, alias.hostnames.join(" ")));
    }
    let data = paths::data(&cluster.name);
    let values = [("SEALER_CLUSTER", &cluster.name), ("SEALER_DATA", &data), ("SEALER_NAMES", &lines.join("\n"))];
    let values = values.map(|(key, value)| (key.to_owned(), value.clone())).into();
    let script = format!("{}{}", exports(&values), include_str!("scripts/hosts_file.sh"));
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
    vec![public(format!("{data}/names.sh"), script), public(paths::NAMES_UNIT.to_owned(), unit)]
}

/// The registry of a master: its certificate and its unit.
pub(crate) fn registry(cluster: &Cluster, master: IpAddr, secrets: &Secrets) -> Vec<File> {
    let certs = paths::certs(&cluster.name);
    let any: IpAddr = if master.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let unit = format!(
        "[Unit]\n\
         Description=sealer: image registry of cluster {name}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={binary} registry serve --root {root} --listen {listen} --name {domain}:{port} --cert {certs}/registry.crt --key {certs}/registry.key\n\
         Restart=always\n\
         RestartSec=2\n\
         LimitNOFILE=1048576\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        name = cluster.name,
        binary = paths::BINARY,
        root = paths::data(&cluster.name),
        listen = with_port(any, cluster.registry.port),
        domain = cluster.registry.domain,
        port = cluster.registry.port,
    );
    vec![
        public(format!("{certs}/registry.crt"), secrets.registry.certificate.clone()),
        secret(format!("{certs}/registry.key"), secrets.registry.key.expose()),
        public(paths::REGISTRY_UNIT.to_owned(), unit),
    ]
}

/// What `kubeadm init` takes: certificate authorities and configuration.
pub(crate) fn control_plane(cluster: &Cluster, secrets: &Secrets, init: &str) -> Vec<File> {
    let kubeadm = paths::kubeadm(&cluster.name);
    let pki = format!("{kubeadm}/pki");
    let certified = [("ca", &secrets.kubernetes), ("front-proxy-ca", &secrets.front_proxy), ("etcd/ca", &secrets.etcd)];
    let mut files = Vec::new();
    for (name, certified) in certified {
        files.push(public(format!("{pki}/{name}.crt"), certified.certificate.clone()));
        files.push(secret(format!("{pki}/{name}.key"), certified.key.expose()));
    }
    files.push(secret(format!("{pki}/sa.key"), secrets.service_account_key.expose()));
    files.push(public(format!("{pki}/sa.pub"), secrets.service_account_public.clone()));
    files.push(secret(format!("{kubeadm}/init.yaml"), init));
    files
}

/// What `kubeadm join` takes.
pub(crate) fn join(cluster: &Cluster, secrets: &Secrets, join: &str) -> Vec<File> {
    let discovery = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": format!("https://{API_SERVER}:6443"),
            "certificate-authority-data": STANDARD.encode(secrets.authority()),
        }}],
    });
    vec![
        public(paths::discovery(&cluster.name), yaml::to_text(&discovery)),
        secret(format!("{}/join.yaml", paths::kubeadm(&cluster.name)), join),
    ]
}

/// An address and a port as URLs and listeners write them.
fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn public(path: String, content: String) -> File {
    File { path, mode: 0o644, content: content.into_bytes(), secret: false }
}

fn secret(path: String, content: &str) -> File {
    File { path, mode: 0o600, content: content.as_bytes().to_vec(), secret: true }
}

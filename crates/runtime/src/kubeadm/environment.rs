//! Which environment do the scripts of an image see?

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::{CidrList, Cluster, Host};

use super::config::Documents;
use super::paths;

/// The name by which everything in the cluster finds the API server.
pub(crate) const API_SERVER: &str = "apiserver.cluster.local";
/// The address in front of all API servers, for hosts that are no masters.
pub(crate) const VIRTUAL_ADDRESS: &str = "10.103.97.2";
/// The same for IPv6.
pub(crate) const VIRTUAL_ADDRESS_V6: &str = "1248:4003:10bb:6a01:83b9:6360:c66d:0002";

/// The virtual address of a cluster whose masters have addresses like this one.
pub(crate) fn virtual_address(master: IpAddr) -> IpAddr {
    let text = if master.is_ipv4() { VIRTUAL_ADDRESS } else { VIRTUAL_ADDRESS_V6 };
    text.parse().expect("it is an address")
}

/// The variables of one host: the user's own, and over them those that scripts of base images rely on.
pub(crate) fn of_host(
    cluster: &Cluster,
    host: &Host,
    engine: &Engine,
    documents: &Documents,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    // Names that begin like ours mean something to our scripts.
    for (key, _) in host.env.iter().filter(|(key, _)| is_shell_name(key) && !key.starts_with("SEALER_")) {
        env.insert(key.to_owned(), host.env.values(key).join(";"));
    }
    env.extend(system(cluster, host.address, engine, documents));
    env.extend(ours(cluster, engine));
    env
}

/// The variables of our own scripts.
pub(crate) fn ours(cluster: &Cluster, engine: &Engine) -> BTreeMap<String, String> {
    let set = [
        ("SEALER_CLUSTER", cluster.name.clone()),
        ("SEALER_DATA", paths::data(&cluster.name)),
        ("SEALER_ROOTFS", paths::rootfs(&cluster.name)),
        ("SEALER_ENGINE", engine.name.clone()),
        ("SEALER_ENGINE_STORAGE", engine.storage()),
        ("RegistryURL", format!("{}:{}", cluster.registry.domain, cluster.registry.port)),
    ];
    set.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Whether a variable of a script is one that we set, so that its value is no secret.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("SEALER_") || SYSTEM.contains(&name)
}

/// The names of [`system`].
const SYSTEM: [&str; 18] = [
    "HostIP",
    "HostIPFamily",
    "ContainerRuntime",
    "IPv6DualStack",
    "RegistryDomain",
    "RegistryPort",
    "RegistryURL",
    "LocalRegistryDomain",
    "LocalRegistryPort",
    "LocalRegistryURL",
    "CertSANs",
    "IPvsVIPv4",
    "IPvsVIPv6",
    "SvcCIDR",
    "PodCIDR",
    "KubeSvcIP",
    "DNSSvcIP",
    "UseIPasNodeName",
];

fn system(cluster: &Cluster, address: IpAddr, engine: &Engine, documents: &Documents) -> BTreeMap<String, String> {
    let registry = &cluster.registry;
    let url = format!("{}:{}", registry.domain, registry.port);
    let networking = |key: &str| documents.cluster.get("networking")?.get(key)?.as_str();
    let services = networking("serviceSubnet").unwrap_or_default();
    let first = services.parse::<CidrList>().ok().map(|list| list.primary());
    let nth = |steps| first.and_then(|block| block.nth(steps)).map(|ip| ip.to_string()).unwrap_or_default();
    let sans = documents.cluster.pointer("/apiServer/certSANs").and_then(|sans| sans.as_array());
    let sans: Vec<&str> = sans.into_iter().flatten().filter_map(|san| san.as_str()).collect();
    let set = [
        ("HostIP", address.to_string()),
        ("HostIPFamily", if address.is_ipv4() { "4" } else { "6" }.to_owned()),
        ("ContainerRuntime", engine.name.clone()),
        ("IPv6DualStack", services.contains(',').to_string()),
        ("RegistryDomain", registry.domain.clone()),
        ("RegistryPort", registry.port.to_string()),
        ("RegistryURL", url.clone()),
        ("LocalRegistryDomain", registry.domain.clone()),
        ("LocalRegistryPort", registry.port.to_string()),
        ("LocalRegistryURL", url),
        ("CertSANs", sans.join(",")),
        ("IPvsVIPv4", VIRTUAL_ADDRESS.to_owned()),
        ("IPvsVIPv6", VIRTUAL_ADDRESS_V6.to_owned()),
        ("SvcCIDR", services.to_owned()),
        ("PodCIDR", networking("podSubnet").unwrap_or_default().to_owned()),
        ("KubeSvcIP", nth(1)),
        ("DNSSvcIP", nth(10)),
        ("UseIPasNodeName", "false".to_owned()),
    ];
    set.map(|(key, value)| (key.to_owned(), value)).into()
}

/// The container engine of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Its name, and that of its script: `containerd`.
    pub(crate) name: String,
}

impl Engine {
    /// Where it keeps its images and containers.
    pub(crate) fn storage(&self) -> String {
        format!("/var/lib/{}", self.name)
    }

    /// Where it listens for the kubelet.
    pub(crate) fn socket(&self) -> String {
        format!("/run/{0}/{0}.sock", self.name)
    }
}

/// Lines that set variables for a script that brings none along.
pub(crate) fn exports(env: &BTreeMap<String, String>) -> String {
    env.iter().map(|(key, value)| format!("export {key}={}\n", quoted(value))).collect()
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Templates may use other names too, but no shell can.
fn is_shell_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

//! The environment that the scripts of an image see.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::{CidrList, Cluster, Env, Host};

use super::control_plane::{VIRTUAL_ADDRESS, VIRTUAL_ADDRESS_V6};
use super::{ContainerEngine, paths};
use crate::{Marker, Variable};

/// What a runtime decided about the cluster's networks and names.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterNetwork {
    /// Address ranges of pods, separated by commas.
    pub(crate) pods: String,
    /// Address ranges of services, separated by commas.
    pub(crate) services: String,
    /// Names and addresses in the API servers' certificates.
    pub(crate) certificate_names: Vec<String>,
}

impl ClusterNetwork {
    /// The networks that the cluster was made with, as the marker of a master remembers them.
    pub(crate) fn of_marker(cluster: &Cluster, marker: &Marker) -> Self {
        let known = marker.settings.get("networks").and_then(|networks| networks.split_once(' '));
        let (pods, services) = known.unwrap_or_default();
        let certificate_names = cluster.cert_sans.clone();
        Self { pods: pods.to_owned(), services: services.to_owned(), certificate_names }
    }
}

/// The variables of one host: the image's, over them the user's own, and over these those that scripts of base images rely on.
pub(super) fn of_host(
    cluster: &Cluster,
    host: &Host,
    engine: ContainerEngine,
    network: &ClusterNetwork,
    image_env: &BTreeMap<String, String>,
) -> BTreeMap<String, Variable> {
    let reach = image_env.iter().filter(|(key, _)| is_shell_name(key) && !is_own_variable(key));
    let mut env: BTreeMap<_, _> = reach.map(|(key, value)| (key.clone(), Variable::hidden(value))).collect();
    env.extend(users(&host.env));
    env.extend(system(cluster, host.address, engine, network));
    env.extend(ours(cluster, engine));
    env
}

/// The variables that users set, where a shell can take them.
pub(super) fn users(variables: &Env) -> BTreeMap<String, Variable> {
    // Names that begin like ours mean something to our scripts.
    let reach = variables.iter().filter(|(key, _)| is_shell_name(key) && !key.starts_with("SEALER_"));
    reach.map(|(key, _)| (key.to_owned(), Variable::hidden(variables.values(key).join(";")))).collect()
}

/// The variables of our own scripts.
pub(super) fn ours(cluster: &Cluster, engine: ContainerEngine) -> BTreeMap<String, Variable> {
    let set = [
        ("SEALER_CLUSTER", cluster.name.clone()),
        ("SEALER_DATA", paths::data(&cluster.name)),
        ("SEALER_ROOTFS", paths::rootfs(&cluster.name)),
        ("SEALER_ENGINE", engine.name().to_owned()),
        ("SEALER_ENGINE_STORAGE", engine.storage().to_owned()),
        ("RegistryURL", cluster.registry.used_host()),
    ];
    set.map(|(key, value)| (key.to_owned(), Variable::shown(value))).into()
}

fn system(
    cluster: &Cluster,
    address: IpAddr,
    engine: ContainerEngine,
    network: &ClusterNetwork,
) -> BTreeMap<String, Variable> {
    let registry = &cluster.registry;
    let used = [registry.used_domain().to_owned(), registry.used_port().to_string(), registry.used_host()];
    // Of the registry that there is not, scripts see empty values.
    let nothing = Default::default();
    let (local, external) = if registry.external.is_some() { (nothing, used.clone()) } else { (used.clone(), nothing) };
    let [local_domain, local_port, local_url] = local;
    let [external_domain, external_port, external_url] = external;
    let [domain, port, url] = used;
    let services = &network.services;
    let first = services.parse::<CidrList>().ok().map(|list| list.primary());
    let nth = |steps| first.and_then(|block| block.nth(steps)).map(|ip| ip.to_string()).unwrap_or_default();
    let chosen = |name, usual: &str| cluster.env.get(name).filter(|text| !text.is_empty()).unwrap_or(usual).to_owned();
    let set = [
        ("HostIP", address.to_string()),
        ("HostIPFamily", if address.is_ipv4() { "4" } else { "6" }.to_owned()),
        ("ContainerRuntime", engine.name().to_owned()),
        ("IPv6DualStack", services.contains(',').to_string()),
        ("RegistryDomain", domain),
        ("RegistryPort", port),
        ("RegistryURL", url),
        ("LocalRegistryDomain", local_domain),
        ("LocalRegistryPort", local_port),
        ("LocalRegistryURL", local_url),
        ("ExternalRegistryDomain", external_domain),
        ("ExternalRegistryPort", external_port),
        ("ExternalRegistryURL", external_url),
        ("CertSANs", network.certificate_names.join(",")),
        ("IPvsVIPv4", chosen("IPvsVIPv4", VIRTUAL_ADDRESS)),
        ("IPvsVIPv6", chosen("IPvsVIPv6", VIRTUAL_ADDRESS_V6)),
        ("SvcCIDR", services.clone()),
        ("PodCIDR", network.pods.clone()),
        ("KubeSvcIP", nth(1)),
        ("DNSSvcIP", nth(10)),
        ("UseIPasNodeName", cluster.uses_addresses_as_names().to_string()),
    ];
    set.map(|(key, value)| (key.to_owned(), Variable::shown(value))).into()
}

/// The names that [`system`] sets.
const SYSTEM: [&str; 21] = [
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
    "ExternalRegistryDomain",
    "ExternalRegistryPort",
    "ExternalRegistryURL",
    "CertSANs",
    "IPvsVIPv4",
    "IPvsVIPv6",
    "SvcCIDR",
    "PodCIDR",
    "KubeSvcIP",
    "DNSSvcIP",
    "UseIPasNodeName",
];

/// Whether scripts get a variable of this name from sealer itself, so that a value of the user's has no effect.
#[must_use]
pub fn is_own_variable(name: &str) -> bool {
    name.starts_with("SEALER_") || SYSTEM.contains(&name)
}

/// Templates may use other names too, but no shell can.
pub(super) fn is_shell_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterfile::Role;

    #[test]
    fn what_is_set_is_known_and_wins() {
        let mut cluster = Cluster::new("c", "i:1");
        cluster.set_env("HostIP", "1.2.3.4");
        cluster.set_env("MINE", "x");
        cluster.add_hosts(&Role::Master, [IpAddr::from([10, 0, 0, 1])]);
        let image = BTreeMap::from([("MINE".to_owned(), "of the image".to_owned())]);
        let network = ClusterNetwork::default();
        let env = of_host(&cluster, &cluster.hosts[0], ContainerEngine::Containerd, &network, &image);
        assert_eq!(env["MINE"].expose(), "x");
        assert!(env.keys().filter(|name| *name != "MINE").all(|name| is_own_variable(name)));
        assert!(SYSTEM.iter().all(|name| env.contains_key(*name)) && !is_own_variable("MINE"));
        assert_eq!(env["HostIP"].expose(), "10.0.0.1");
    }
}

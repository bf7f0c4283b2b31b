//! Reads `network`, `registry` and other settings of the cluster.

use std::net::IpAddr;

use super::{
    cluster::read_arguments,
    fields::{Fields, Problems, text},
    rules,
};
use crate::{
    CidrList, Cluster, ErrorKind, ExternalRegistry, HostAlias, Network, RegistrySettings, Secret,
    format::CONTAINER_RUNTIMES,
};

/// Reads `network`.
pub(crate) fn read_network(spec: &mut Fields<'_>, problems: &mut Problems) -> Network {
    let mut network = Network::default();
    let Some(mut fields) = spec.take("network").and_then(|node| Fields::open(node, "network", problems)) else {
        return network;
    };
    network.interface = fields.valid("interface", rules::INTERFACE, problems);
    network.cni_name = fields.valid("cniName", rules::WORD, problems);
    network.without_cni = fields.boolean("withoutCNI", problems).unwrap_or(false);
    if let Some(blocks) = read_blocks(&mut fields, "podCIDR", problems) {
        network.pod_cidr = blocks;
    }
    if let Some(blocks) = read_blocks(&mut fields, "svcCIDR", problems) {
        network.service_cidr = blocks;
    }
    fields.finish(problems);
    network
}

fn read_blocks(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<CidrList> {
    let node = fields.take(name)?;
    let blocks = text(node, problems).filter(|text| !text.is_empty())?;
    problems.keep(node.span, blocks.parse())
}

/// Reads what only the second generation has.
pub(crate) fn read_second(spec: &mut Fields<'_>, cluster: &mut Cluster, problems: &mut Problems) {
    cluster.commands = spec.texts("cmd", problems).into_iter().map(|(_, command)| command).collect();
    cluster.command_args = read_arguments(spec, "cmd_args", problems);
    cluster.app_names = spec.valid_texts("appNames", rules::WORD, problems);
    cluster.data_root = spec.valid("dataRoot", rules::DATA_ROOT, problems);
    cluster.registry = read_registry(spec, problems);
    for node in spec.list("hostAliases", problems) {
        let Some(mut fields) = Fields::open(node, "the host alias", problems) else {
            continue;
        };
        let address = fields.require("ip").and_then(|node| read_address(node, problems));
        let hostnames = fields.valid_texts("hostnames", rules::DNS_NAME, problems);
        if fields.take("hostnames").is_none() {
            fields.missing("hostnames");
        }
        fields.finish(problems);
        if let Some(address) = address {
            cluster.host_aliases.push(HostAlias { address, hostnames });
        }
    }
}

/// Reads `containerRuntime`, which the original's reference shows in both generations.
pub(crate) fn read_container_runtime(spec: &mut Fields<'_>, cluster: &mut Cluster, problems: &mut Problems) {
    if let Some(mut fields) =
        spec.take("containerRuntime").and_then(|node| Fields::open(node, "containerRuntime", problems))
    {
        cluster.container_runtime = read_runtime(&mut fields, problems);
        fields.finish(problems);
    }
}

fn read_runtime(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let name = fields.text("type", problems)?;
    if !CONTAINER_RUNTIMES.contains(&name.as_str()) {
        let kind =
            ErrorKind::Invalid { what: "container runtime", value: name.clone(), rule: "containerd, docker or cri-o" };
        let span = fields.take("type").map_or(fields.span(), |node| node.span);
        problems.add_word(span, kind, &name, CONTAINER_RUNTIMES);
    }
    Some(name)
}

fn read_address(node: &crate::yaml::Node, problems: &mut Problems) -> Option<IpAddr> {
    let text = text(node, problems)?;
    problems.keep(node.span, text.parse().map_err(|_| ErrorKind::Address(text)))
}

fn read_registry(spec: &mut Fields<'_>, problems: &mut Problems) -> RegistrySettings {
    let mut registry = RegistrySettings::default();
    let Some(mut fields) = spec.take("registry").and_then(|node| Fields::open(node, "registry", problems)) else {
        return registry;
    };
    if let Some(local) = fields.take("localRegistry").and_then(|node| Fields::open(node, "localRegistry", problems)) {
        read_local(local, &mut registry, problems);
    }
    if let Some(external) =
        fields.take("externalRegistry").and_then(|node| Fields::open(node, "externalRegistry", problems))
    {
        registry.external = read_external(external, problems);
    }
    fields.finish(problems);
    registry
}

fn read_local(mut fields: Fields<'_>, registry: &mut RegistrySettings, problems: &mut Problems) {
    if let Some(domain) = fields.valid("domain", rules::DNS_NAME, problems) {
        registry.domain = domain;
    }
    if let Some(port) = fields.port_or_zero("port", problems) {
        registry.port = port;
    }
    (registry.username, registry.password) = read_login(&mut fields, problems);
    registry.high_availability = fields.boolean("ha", problems).unwrap_or(true);
    registry.insecure = fields.boolean("insecure", problems).unwrap_or(false);
    if let Some(mut certificate) = fields.take("cert").and_then(|node| Fields::open(node, "cert", problems)) {
        if let Some(mut names) =
            certificate.take("subjectAltName").and_then(|node| Fields::open(node, "subjectAltName", problems))
        {
            registry.certificate_names = names.valid_texts("dnsNames", rules::CERTIFICATE_NAME, problems);
            let addresses = names.list("ips", problems);
            registry.certificate_addresses = addresses.iter().filter_map(|node| read_address(node, problems)).collect();
            names.finish(problems);
        }
        certificate.finish(problems);
    }
    fields.finish(problems);
}

fn read_external(mut fields: Fields<'_>, problems: &mut Problems) -> Option<ExternalRegistry> {
    let domain = fields.require_valid("domain", rules::DNS_NAME, problems);
    let port = fields.port_or_zero("port", problems);
    let (username, password) = read_login(&mut fields, problems);
    let insecure = fields.boolean("insecure", problems).unwrap_or(false);
    let ca = fields.valid("ca", rules::CERTIFICATE, problems);
    fields.finish(problems);
    Some(ExternalRegistry { domain: domain?, port, username, password, insecure, ca })
}

/// A user name needs a password, and a password a user name.
fn read_login(fields: &mut Fields<'_>, problems: &mut Problems) -> (Option<String>, Option<Secret>) {
    let username = fields.valid("username", rules::USER, problems);
    let password = fields.secret("password", problems);
    let named = fields.value("username").is_some_and(|node| !node.is_null() && !node.is_empty_text());
    if username.is_some() && password.is_none() {
        fields.missing("password");
    } else if password.is_some() && !named {
        fields.missing("username");
    }
    (username, password)
}

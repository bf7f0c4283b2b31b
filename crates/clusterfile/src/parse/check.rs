//! Gives errors that span several fields a place in the file.

use super::fields::{Fields, Problems};
use super::kubeadm::Subnets;
use crate::{CidrList, Cluster, ErrorKind, Host, Span, check::conflicts, yaml::Value};

/// Checks what no single field can know; a missing master matters only when `master_wanted`.
pub(crate) fn cluster(
    spec: &Fields<'_>,
    cluster: &Cluster,
    hosts: &[(Span, Host)],
    master_wanted: bool,
    subnets: &Subnets,
    problems: &mut Problems,
) {
    let documented = |subnet: &Option<(Span, CidrList)>| subnet.as_ref().map(|(_, list)| list.clone());
    let pods = documented(&subnets.pods).or_else(|| cluster.network.asked_pod_cidr().cloned());
    let services = documented(&subnets.services).or_else(|| cluster.network.asked_service_cidr().cloned());
    for kind in conflicts(cluster, (pods.as_ref(), services.as_ref())) {
        let span = match &kind {
            ErrorKind::NoMaster if !master_wanted => continue,
            ErrorKind::NoMaster => first_of(spec, &["hosts", "nodes"]),
            ErrorKind::MachinesWithoutProvider => first_of(spec, &["masters", "nodes"]),
            ErrorKind::CountsAndAddresses { counted, .. } => spec.span_of(&format!("{counted}s")),
            ErrorKind::CidrOverlap { .. } => {
                let documented = subnets.services.as_ref().or(subnets.pods.as_ref());
                documented.map_or_else(|| network_span(spec), |(span, _)| *span)
            }
            ErrorKind::HostInCidr { address, .. } => host_span(spec, hosts, |host| host == *address),
            _ => host_span(spec, hosts, |_| true),
        };
        problems.add(span, kind);
    }
}

fn first_of(spec: &Fields<'_>, names: &[&str]) -> Span {
    names.iter().find(|name| spec.has(name)).map_or(spec.span(), |name| spec.span_of(name))
}

fn host_span(spec: &Fields<'_>, hosts: &[(Span, Host)], is_meant: impl Fn(std::net::IpAddr) -> bool) -> Span {
    hosts.iter().find(|(_, host)| is_meant(host.address)).map_or(spec.span(), |(span, _)| *span)
}

/// The block that the user wrote; the other may be the default.
fn network_span(spec: &Fields<'_>) -> Span {
    let network = spec.value("network").map(|node| &node.value);
    let Some(Value::Map(entries)) = network else {
        return spec.span_of("network");
    };
    let written = ["svcCIDR", "podCIDR"].into_iter().find_map(|name| entries.iter().find(|(key, _)| key.text == name));
    written.map_or(spec.span_of("network"), |(_, node)| node.span)
}

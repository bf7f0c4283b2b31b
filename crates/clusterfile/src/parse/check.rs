//! Do the parts of a Cluster fit together?

use super::{
    cluster::PlacedHost,
    fields::{Fields, Problems},
};
use crate::{Cluster, ErrorKind, ProviderKind};

/// Checks what no single field can know.
pub(crate) fn cluster(
    spec: &Fields<'_>,
    cluster: &Cluster,
    hosts: &[PlacedHost],
    problems: &mut Problems,
) {
    addresses(cluster, hosts, problems);
    if cluster.provider == ProviderKind::BareMetal {
        for (name, machines) in [
            ("masters", &cluster.machines.masters),
            ("nodes", &cluster.machines.nodes),
        ] {
            if machines.is_some() {
                problems.add(spec.span_of(name), ErrorKind::MachinesWithoutProvider);
            }
        }
    } else if let Some((span, _)) = hosts.first()
        && cluster.machines.is_empty()
    {
        problems.add(
            *span,
            ErrorKind::AddressesWithoutMachines(cluster.provider.as_str()),
        );
    }
}

/// Checks that there is a master, if the file is complete or names any host at all.
pub(crate) fn master(
    spec: &Fields<'_>,
    cluster: &Cluster,
    hosts: &[PlacedHost],
    complete: bool,
    problems: &mut Problems,
) {
    let asked = complete || !hosts.is_empty() || !cluster.machines.is_empty();
    let master =
        cluster.machines.masters.is_some() || hosts.iter().any(|(_, host)| host.is_master());
    if asked && !master {
        let place = if spec.has("hosts") { "hosts" } else { "nodes" };
        problems.add(spec.span_of(place), ErrorKind::NoMaster);
    }
}

fn addresses(cluster: &Cluster, hosts: &[PlacedHost], problems: &mut Problems) {
    let pods = cluster.network.pod_cidr.iter().map(|block| ("pod", *block));
    let services = cluster
        .network
        .service_cidr
        .iter()
        .map(|block| ("service", *block));
    for (network, block) in pods.chain(services) {
        if let Some((span, host)) = hosts.iter().find(|(_, host)| block.contains(host.address)) {
            problems.add(
                *span,
                ErrorKind::HostInCidr {
                    address: host.address,
                    network,
                    block,
                },
            );
        }
    }
}

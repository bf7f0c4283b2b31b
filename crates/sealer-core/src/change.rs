//! Compares the wanted cluster with the one that is remembered, and refuses changes that are not supported.
//!
//! Whether a cluster exists is decided by what its hosts say; what is remembered only tells what it was wanted like.

use clusterfile::{Change, ChangeKind, Cluster, MachineSpec, Machines};
use infra_provider::Provider;
use runtime::{Facts, MarkerState, Request};

use crate::Error;
use crate::target::Target;

/// Annotation of a remembered Clusterfile: digest of the image that the cluster was finished with.
pub(crate) const APPLIED: &str = "sealer.io/applied-image";

/// The difference between the remembered cluster, if there is one, and the wanted one.
pub(crate) fn diff(target: &Target<'_>) -> Change {
    clusterfile::diff(target.current.as_ref(), target.cluster())
}

/// Refuses a change of a cluster that is initialized, and one that would leave prepared hosts behind.
pub(crate) fn refuse(change: &Change, request: &Request<'_>) -> Result<(), Error> {
    let left: Vec<_> = change.leaves.iter().map(|host| host.address).collect();
    let is_master = |marker: &runtime::Marker| marker.role == "master" && marker.state == MarkerState::Ready;
    let initialized = request.facts.hosts.keys().any(|host| request.marker(*host).is_some_and(is_master));
    if initialized && change.kind == ChangeKind::Alter {
        return Err(refused());
    }
    let hosts: Vec<_> = left.into_iter().filter(|host| request.marker(*host).is_some()).collect();
    if hosts.is_empty() { Ok(()) } else { Err(Error::ForeignHosts { cluster: change.wanted.name.clone(), hosts }) }
}

pub(crate) fn refused() -> Error {
    Error::NotSupported { what: "changing the hosts or the image of a finished cluster".to_owned() }
}

/// Whether a finished master of this cluster is among the hosts.
pub(crate) fn is_initialized(facts: &Facts, cluster: &str) -> bool {
    let markers = facts.hosts.values().filter_map(|host| host.marker.as_ref());
    markers
        .filter(|marker| marker.cluster == cluster)
        .any(|marker| marker.role == "master" && marker.state == MarkerState::Ready)
}

/// Whether a provider would have to make other machines than there are; other sizes are the same machines.
pub(crate) fn machines_differ(provider: &dyn Provider, current: &Cluster, wanted: &Cluster) -> bool {
    if !wanted.hosts.is_empty() {
        return false;
    }
    let mut wanted = wanted.clone();
    add_public_address(provider, current, &mut wanted);
    if provider.owns_hosts() && sizes_of(&current.machines, &wanted.machines) == wanted.machines {
        wanted.machines = current.machines.clone();
    }
    clusterfile::diff(Some(current), &wanted).kind == ChangeKind::Alter
}

/// What the provider adds to the names of the API server, and will add again at the same place.
pub(crate) fn add_public_address(provider: &dyn Provider, known: &Cluster, wanted: &mut Cluster) {
    let address = provider.public_address(known).map(|address| address.to_string());
    wanted.cert_sans.extend(address.filter(|address| !wanted.cert_sans.contains(address)));
}

/// The same machines, with the processors and memory of others.
fn sizes_of(machines: &Machines, others: &Machines) -> Machines {
    let sized = |machine: &Option<MachineSpec>, other: &Option<MachineSpec>| {
        let (cpu, memory_gib) = other.as_ref().map_or((None, None), |other| (other.cpu, other.memory_gib));
        machine.clone().map(|machine| machine.with_size(cpu, memory_gib))
    };
    Machines { masters: sized(&machines.masters, &others.masters), nodes: sized(&machines.nodes, &others.nodes) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;

    use clusterfile::{Disk, ProviderName, Role};
    use infra_provider::{Context, Provisioned, Release, Result};

    use super::*;

    /// Has made everything already, behind one public address.
    #[derive(Debug)]
    struct Made;

    #[async_trait::async_trait]
    impl Provider for Made {
        fn name(&self) -> &ProviderName {
            &ProviderName::ALI_CLOUD
        }
        fn owns_hosts(&self) -> bool {
            true
        }
        fn public_address(&self, _: &Cluster) -> Option<IpAddr> {
            Some([203, 0, 113, 10].into())
        }
        async fn provision(&self, wanted: &Cluster, _: Option<&Cluster>, _: &Context<'_>) -> Result<Provisioned> {
            Ok(wanted.clone().into())
        }
        async fn release(&self, _: &Cluster, _: Release, _: &Context<'_>) -> Result<()> {
            Ok(())
        }
        fn describe(&self, _: &Cluster) -> Vec<String> {
            Vec::new()
        }
    }

    fn asked() -> Cluster {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.provider = ProviderName::ALI_CLOUD;
        cluster.cert_sans = vec!["shop.example.com".to_owned()];
        cluster.machines.masters = Some(MachineSpec::of(1));
        cluster.machines.nodes = Some(MachineSpec::of(2).with_size(Some(4), None));
        cluster
    }

    fn known() -> Cluster {
        let mut cluster = asked();
        cluster.annotations.insert(APPLIED.to_owned(), "sha256:1".to_owned());
        cluster.add_hosts(&Role::Master, [IpAddr::from([172, 16, 0, 1])]);
        cluster.add_hosts(&Role::Node, [IpAddr::from([172, 16, 0, 2]), IpAddr::from([172, 16, 0, 3])]);
        cluster.cert_sans.push("203.0.113.10".to_owned());
        cluster
    }

    #[test]
    fn machines_of_another_size_are_the_same_hosts_and_others_are_refused() {
        let same = |alter: &dyn Fn(&mut Cluster)| {
            let mut wanted = asked();
            alter(&mut wanted);
            !machines_differ(&Made, &known(), &wanted)
        };
        assert!(same(&|_| ()), "the same command again");
        assert!(same(&|wanted| wanted.machines.nodes.as_mut().unwrap().memory_gib = Some(32)));
        assert!(same(&|wanted| wanted.machines.masters.as_mut().unwrap().cpu = Some(8)));
        assert!(!same(&|wanted| wanted.machines.nodes.as_mut().unwrap().count = 3));
        assert!(!same(&|wanted| wanted.machines.nodes = None));
        assert!(!same(&|wanted| {
            wanted.machines.nodes.as_mut().unwrap().data_disks = vec![Disk::new(40, None)];
        }));
        assert!(!same(&|wanted| wanted.cert_sans.push("other.example.com".to_owned())));
    }
}

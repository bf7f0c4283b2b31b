//! Compares the wanted cluster with the one that is remembered, and refuses changes that are not supported.

use clusterfile::{Change, ChangeKind, Cluster, MachineSpec, Machines};
use infra_provider::Provider;

use crate::Error;

/// Annotation of a remembered Clusterfile: digest of the image that the cluster was finished with.
pub(crate) const APPLIED: &str = "sealer.io/applied-image";

/// What is known of the cluster, if it was ever finished.
pub(crate) fn finished(known: Option<&Cluster>) -> Option<&Cluster> {
    known.filter(|known| known.annotations.contains_key(APPLIED))
}

/// Refuses a change of a finished cluster's machines before hosts are made for it, and another provider for a cluster
/// that is partially created: its hosts could no longer be given back.
pub(crate) fn check_machines(provider: &dyn Provider, known: Option<&Cluster>, wanted: &Cluster) -> Result<(), Error> {
    if let Some(known) = known.filter(|known| finished(Some(known)).is_none() && known.provider != wanted.provider) {
        return Err(Error::OtherProvider { cluster: known.name.clone(), kind: known.provider.to_string() });
    }
    let Some(known) = finished(known).filter(|_| wanted.hosts.is_empty()) else { return Ok(()) };
    let mut wanted = wanted.clone();
    add_public_address(provider, known, &mut wanted);
    // Machines of another size are the same hosts.
    if provider.owns_hosts() && sizes_of(&known.machines, &wanted.machines) == wanted.machines {
        wanted.machines = known.machines.clone();
    }
    change(Some(known), &wanted).map(drop)
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

/// The change from what is remembered as finished to what is wanted.
pub(crate) fn change(known: Option<&Cluster>, wanted: &Cluster) -> Result<Change, Error> {
    let finished = finished(known);
    if let (Some(known), None) = (known, finished) {
        let hosts: Vec<_> =
            known.hosts.iter().map(|host| host.address).filter(|address| wanted.host(*address).is_none()).collect();
        if !hosts.is_empty() {
            return Err(Error::ForeignHosts { cluster: wanted.name.clone(), hosts });
        }
    }
    let change = clusterfile::diff(finished, wanted);
    match change.kind {
        ChangeKind::Alter => {
            Err(Error::NotSupported { what: "changing the hosts or the image of a finished cluster".to_owned() })
        }
        // What is remembered says "nothing to do"; only what is observed can confirm it.
        ChangeKind::Nothing => Ok(clusterfile::diff(None, wanted)),
        _ => Ok(change),
    }
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
        let check = |alter: &dyn Fn(&mut Cluster)| {
            let mut wanted = asked();
            alter(&mut wanted);
            check_machines(&Made, Some(&known()), &wanted).is_ok()
        };
        assert!(check(&|_| ()), "the same command again");
        assert!(check(&|wanted| wanted.machines.nodes.as_mut().unwrap().memory_gib = Some(32)));
        assert!(check(&|wanted| wanted.machines.masters.as_mut().unwrap().cpu = Some(8)));
        assert!(!check(&|wanted| wanted.machines.nodes.as_mut().unwrap().count = 3));
        assert!(!check(&|wanted| wanted.machines.nodes = None));
        assert!(!check(&|wanted| {
            wanted.machines.nodes.as_mut().unwrap().data_disks = vec![Disk::new(40, None)];
        }));
        assert!(!check(&|wanted| wanted.cert_sans.push("other.example.com".to_owned())));
        let mut partial = known();
        partial.annotations.clear();
        let mut wanted = asked();
        wanted.machines.nodes.as_mut().unwrap().count = 5;
        assert!(check_machines(&Made, Some(&partial), &wanted).is_ok(), "nothing stands on them yet");

        // As after a first run that broke off: what it made is known to its provider alone.
        partial.hosts.clear();
        let mut elsewhere = Cluster::new("shop", "shop:1.4");
        elsewhere.add_hosts(&Role::Master, [IpAddr::from([10, 0, 0, 1])]);
        let refused = check_machines(&Made, Some(&partial), &elsewhere);
        assert!(matches!(refused, Err(Error::OtherProvider { .. })), "{refused:?}");
    }
}

//! Tells what a change of a cluster keeps and takes away, and marks a cluster whose change is under way.
//!
//! What exists is decided by hosts and API; what is remembered tells who may be asked, and what was wanted before.

use std::net::IpAddr;

use clusterfile::{Cluster, Clusterfile, Host, MachineSpec, Role};
use infra_provider::Provider;
use runtime::Request;

use crate::Error;

/// Annotation of a remembered Clusterfile: digest of the image that the cluster was finished with.
pub(crate) const APPLIED: &str = "sealer.io/applied-image";
/// Annotation of a remembered Clusterfile whose change is under way: addresses of the hosts that leave.
const LEAVING: &str = "sealer.io/leaving-hosts";
/// The same: how many masters and nodes its provider was to make before the change.
const MACHINES_BEFORE: &str = "sealer.io/machines-before-change";

/// The hosts that a cluster has and that are not wanted any more.
pub(crate) fn others(current: Option<&Cluster>, wanted: &Cluster) -> Vec<Host> {
    let hosts = current.into_iter().flat_map(|current| &current.hosts);
    hosts.filter(|host| wanted.host(host.address).is_none()).cloned().collect()
}

/// What is remembered while a change is under way: whoever leaves is known until it has left, so that the change can be
/// finished, or all of it deleted, after a crash at any point.
pub(crate) fn under_way(current: Option<&Cluster>, wanted: &Clusterfile, leaving: &[Host]) -> Clusterfile {
    let mut file = wanted.clone();
    let cluster = &mut file.cluster;
    let before = current.filter(|current| current.annotations.contains_key(APPLIED)).map(machines_before);
    cluster.annotations.extend(before.map(|counts| (MACHINES_BEFORE.to_owned(), format!("{},{}", counts.0, counts.1))));
    if !leaving.is_empty() {
        let addresses: Vec<String> = leaving.iter().map(|host| host.address.to_string()).collect();
        cluster.annotations.insert(LEAVING.to_owned(), addresses.join(","));
        cluster.hosts.extend(leaving.iter().cloned());
    }
    file
}

/// Takes the marks of a change away.
pub(crate) fn unmark(cluster: &mut Cluster) {
    cluster.annotations.remove(LEAVING);
    cluster.annotations.remove(MACHINES_BEFORE);
}

/// Whether the change that a finished cluster was remembered with is still under way.
pub(crate) fn is_under_way(cluster: &Cluster) -> bool {
    cluster.annotations.contains_key(MACHINES_BEFORE)
}

/// Whether a host was leaving when the cluster was remembered.
pub(crate) fn is_leaving(cluster: &Cluster, host: IpAddr) -> bool {
    let addresses = cluster.annotations.get(LEAVING).map_or("", String::as_str).split(',');
    addresses.filter_map(|address| address.parse().ok()).any(|address: IpAddr| address == host)
}

/// How many masters and nodes a provider was to make before the change that is under way, if one is.
pub(crate) fn machines_before(cluster: &Cluster) -> (u32, u32) {
    let count = |spec: &Option<MachineSpec>| spec.as_ref().map_or(0, |spec| spec.count);
    let marked = cluster.annotations.get(MACHINES_BEFORE).and_then(|mark| {
        let (masters, nodes) = mark.split_once(',')?;
        Some((masters.parse().ok()?, nodes.parse().ok()?))
    });
    marked.unwrap_or_else(|| (count(&cluster.machines.masters), count(&cluster.machines.nodes)))
}

/// The machines that a provider shall keep of those that a cluster has: as many of each role as are wanted, those that
/// `wanted` lists before others, and of others those that come first. So the youngest leave.
pub(crate) fn kept_machines(current: &Cluster, wanted: &Cluster) -> Vec<Host> {
    let mut kept = Vec::new();
    for (role, spec) in [(Role::Master, &wanted.machines.masters), (Role::Node, &wanted.machines.nodes)] {
        let of_role = |host: &&Host| host.roles.contains(&role);
        let listed = wanted.hosts.iter().filter(of_role);
        let count = spec.as_ref().map_or_else(|| listed.clone().count(), |spec| spec.count as usize);
        let mut known: Vec<&Host> = current.hosts.iter().filter(of_role).collect();
        known.retain(|host| wanted.host(host.address).is_none());
        known.sort_by_key(|host| is_leaving(current, host.address));
        kept.extend(listed.chain(known).take(count).cloned());
    }
    kept
}

/// What the provider adds to the names of the API server, and will add again at the same place.
pub(crate) fn add_public_address(provider: &dyn Provider, known: &Cluster, wanted: &mut Cluster) {
    let address = provider.public_address(known).map(|address| address.to_string());
    wanted.cert_sans.extend(address.filter(|address| !wanted.cert_sans.contains(address)));
}

/// Refuses other disks for machines that exist: the new ones alone would get them.
pub(crate) fn refuse_other_disks(current: &Cluster, wanted: &Cluster) -> Result<(), Error> {
    let pairs = [
        (&current.machines.masters, &wanted.machines.masters, current.masters().count()),
        (&current.machines.nodes, &wanted.machines.nodes, current.nodes().count()),
    ];
    let differ = |(known, asked, hosts): &(&Option<MachineSpec>, &Option<MachineSpec>, usize)| match (known, asked) {
        (Some(known), Some(asked)) if *hosts > 0 => {
            (&known.system_disk, &known.data_disks) != (&asked.system_disk, &asked.data_disks)
        }
        _ => false,
    };
    if pairs.iter().any(differ) {
        return Err(Error::NotSupported { what: "changing the disks of machines that exist".to_owned() });
    }
    Ok(())
}

/// Refuses another role for a host that was finished in its role.
pub(crate) fn refuse_other_roles(request: &Request<'_>) -> Result<(), Error> {
    let Some((host, marker)) = request.of_other_role() else { return Ok(()) };
    let wanted = if host.is_master() { "master" } else { "node" };
    let cluster = request.cluster().name.clone();
    Err(Error::OtherRole { cluster, host: host.address, role: marker.role.clone(), wanted })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clusterfile::{Disk, ProviderName};

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([172, 16, 0, last])
    }

    /// A master and two nodes, all made.
    fn known() -> Cluster {
        let mut cluster = asked(1, 2);
        cluster.annotations.insert(APPLIED.to_owned(), "sha256:1".to_owned());
        cluster.add_hosts(&Role::Master, [address(1)]);
        cluster.add_hosts(&Role::Node, [address(2), address(3)]);
        cluster
    }

    fn asked(masters: u32, nodes: u32) -> Cluster {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.provider = ProviderName::ALI_CLOUD;
        cluster.machines.masters = Some(MachineSpec::of(masters));
        cluster.machines.nodes = Some(MachineSpec::of(nodes));
        cluster
    }

    fn addresses(hosts: &[Host]) -> Vec<IpAddr> {
        hosts.iter().map(|host| host.address).collect()
    }

    #[test]
    fn whoever_leaves_is_remembered_until_it_has_left() {
        let (current, mut wanted) = (known(), known());
        wanted.hosts.pop();
        wanted.machines.nodes = Some(MachineSpec::of(1));
        let leaving = others(Some(&current), &wanted);
        let mut remembered = under_way(Some(&current), &wanted.clone().into(), &leaving).cluster;
        assert_eq!(addresses(&remembered.hosts), [address(1), address(2), address(3)]);
        assert!(is_leaving(&remembered, address(3)) && !is_leaving(&remembered, address(2)));
        assert_eq!(machines_before(&remembered), (1, 2));
        let again = clusterfile::parse(&Clusterfile::from(remembered.clone()).to_yaml()).unwrap().cluster;
        assert_eq!(again, remembered, "it is written and read");
        // A second change before the first is finished starts from the same counts.
        let second = under_way(Some(&remembered), &asked(1, 5).into(), &[]).cluster;
        assert_eq!(machines_before(&second), (1, 2));
        unmark(&mut remembered);
        assert_eq!(machines_before(&remembered), (1, 1));
    }

    #[test]
    fn a_cluster_that_was_never_finished_has_no_counts_before() {
        let mut current = known();
        current.annotations.clear();
        current.machines.nodes = Some(MachineSpec::of(7));
        assert_eq!(machines_before(&under_way(Some(&current), &asked(1, 2).into(), &[]).cluster), (1, 2));
    }

    #[test]
    fn the_youngest_machines_leave_unless_others_are_listed() {
        let kept = |current: &Cluster, wanted: &Cluster| addresses(&kept_machines(current, wanted));
        assert_eq!(kept(&known(), &asked(1, 1)), [address(1), address(2)]);
        assert_eq!(kept(&known(), &asked(1, 4)), [address(1), address(2), address(3)], "the rest is still to be made");
        let mut listed = asked(1, 1);
        listed.add_hosts(&Role::Node, [address(3)]);
        assert_eq!(kept(&known(), &listed), [address(1), address(3)]);
        // One that was leaving is kept only when nobody else is left.
        let (current, mut wanted) = (known(), known());
        wanted.hosts.remove(1);
        let remembered = under_way(Some(&current), &wanted.clone().into(), &others(Some(&current), &wanted)).cluster;
        assert_eq!(kept(&remembered, &asked(1, 1)), [address(1), address(3)]);
        assert_eq!(kept(&remembered, &asked(1, 2)), [address(1), address(3), address(2)]);
    }

    #[test]
    fn other_disks_are_for_machines_that_are_still_to_be_made() {
        let mut wanted = asked(1, 3);
        wanted.machines.nodes.as_mut().unwrap().memory_gib = Some(32);
        refuse_other_disks(&known(), &wanted).unwrap();
        wanted.machines.nodes.as_mut().unwrap().data_disks = vec![Disk::new(40, None)];
        assert!(matches!(refuse_other_disks(&known(), &wanted), Err(Error::NotSupported { .. })));
        let mut without_nodes = known();
        without_nodes.hosts.truncate(1);
        refuse_other_disks(&without_nodes, &wanted).unwrap();
    }
}

//! Describes what would be made, for a dry run.

use super::settings::{ClusterSpec, Group, Image};

/// A line for each resource; prices are nobody's business here.
pub(super) fn lines(spec: &ClusterSpec, region: &str, admin_cidrs: &[String]) -> Vec<String> {
    let given = |given: &Option<String>, what: &str, made: String| match given {
        Some(id) => format!("{what} {id}: used as it is, never deleted"),
        None => made,
    };
    let zone =
        spec.zone.as_ref().map_or_else(|| "the zone with the best stock".to_owned(), |zone| format!("zone {zone}"));
    let open = if admin_cidrs.is_empty() { "the operator".to_owned() } else { admin_cidrs.join(", ") };
    let mut lines = vec![
        format!("region {region}, {zone}"),
        given(&spec.vpc, "VPC", "VPC of its own".to_owned()),
        given(&spec.vswitch, "vSwitch", "vSwitch 172.16.0.0/20".to_owned()),
        given(
            &spec.security_group,
            "security group",
            format!("security group that lets {open} reach ports 22 and 6443, and members each other"),
        ),
    ];
    lines.extend(
        [&spec.masters, &spec.nodes].into_iter().filter(|group| group.count > 0).map(|group| machines(group, spec)),
    );
    lines.push(match (&spec.password, &spec.key_pair) {
        (Some(_), _) => "log-in by the password of spec.ssh".to_owned(),
        (None, Some(pair)) => format!("key pair {pair}: used as it is, never deleted"),
        (None, None) => "key pair made for the cluster".to_owned(),
    });
    lines.push(format!(
        "elastic address of 100 Mbit/s, paid by traffic, for {}-master-0; the other hosts are reached through it",
        spec.cluster
    ));
    lines
}

fn machines(group: &Group, spec: &ClusterSpec) -> String {
    let role = group.role.as_str();
    let size = if group.types.is_empty() {
        format!("{} processors, {} GiB of memory", group.cpu, group.memory_gib)
    } else {
        group.types.join(" or ")
    };
    let image = match &spec.image {
        Image::Id(id) => id.clone(),
        Image::Family(family) => format!("the newest of {family}"),
    };
    let kind = |categories: &[String]| match categories {
        [one] => format!(" {one}"),
        _ => String::new(),
    };
    let disks: String = std::iter::once(format!(
        "system disk {} GiB{}",
        group.system_disk.size_gib,
        kind(&group.system_disk.categories)
    ))
    .chain(group.data_disks.iter().map(|disk| format!(", data disk {} GiB{}", disk.size_gib, kind(&disk.categories))))
    .collect();
    let last = group.count - 1;
    let names =
        if last == 0 { format!("{}-{role}-0", spec.cluster) } else { format!("{}-{role}-0 to {last}", spec.cluster) };
    format!(
        "{} {role}{} ({names}): {size}, {disks}, image {image}",
        group.count,
        if group.count == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clusterfile::{Cluster, Disk, MachineSpec};

    use super::super::annotations;
    use super::super::settings::cluster_spec;
    use super::*;

    #[test]
    fn three_and_three() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.machines.masters = Some(MachineSpec::of(3));
        let mut nodes = MachineSpec::of(3).with_size(Some(8), None);
        nodes.data_disks = vec![Disk::new(40, Some("cloud_essd"))];
        cluster.machines.nodes = Some(nodes);
        cluster.annotations.insert(annotations::VPC.to_owned(), "vpc-1".to_owned());
        let open = ["203.0.113.7/32".to_owned()];
        assert_eq!(
            lines(&cluster_spec(&cluster).unwrap(), "cn-chengdu", &open),
            [
                "region cn-chengdu, the zone with the best stock",
                "VPC vpc-1: used as it is, never deleted",
                "vSwitch 172.16.0.0/20",
                "security group that lets 203.0.113.7/32 reach ports 22 and 6443, and members each other",
                "3 masters (shop-master-0 to 2): 4 processors, 8 GiB of memory, system disk 100 GiB, image the newest of acs:debian_12_x64",
                "3 nodes (shop-node-0 to 2): 8 processors, 8 GiB of memory, system disk 100 GiB, data disk 40 GiB cloud_essd, image the newest of acs:debian_12_x64",
                "key pair made for the cluster",
                "elastic address of 100 Mbit/s, paid by traffic, for shop-master-0; the other hosts are reached through it",
            ]
        );
    }
}

//! Names the annotations through which a Clusterfile and the provider name cloud resources.
//!
//! The names that upstream sealer wrote (`pkg/infra/aliyun` at v0.8.6) keep their meaning; those below "only ours" are
//! new. What a user writes is used and never deleted; what the provider made is written back by [`write`].

use std::collections::BTreeMap;

use clusterfile::Cluster;

use super::hosts::ordered;
use super::record::{Machine, Resource, Resources};
use super::settings::Role;

/// The region, for example `cn-hangzhou`.
pub const REGION: &str = "sea.aliyun.com/RegionID";
/// The zone of the vSwitch.
pub const ZONE: &str = "sea.aliyun.com/ZoneID";
/// The VPC.
pub const VPC: &str = "sea.aliyun.com/VpcID";
/// The vSwitch.
pub const VSWITCH: &str = "sea.aliyun.com/VSwitchID";
/// The security group.
pub const SECURITY_GROUP: &str = "sea.aliyun.com/SecurityGroupID";
/// The elastic address of the first master, by id.
pub const EIP: &str = "sea.aliyun.com/EipID";
/// The elastic address of the first master.
pub const CLUSTER_EIP: &str = "sea.aliyun.com/ClusterEIP";
/// The first master, by id.
pub const MASTER0: &str = "sea.aliyun.com/Master0ID";
/// The address of the first master inside the VPC.
pub const MASTER0_ADDRESS: &str = "sea.aliyun.com/Master0InternalIP";
/// All masters, by id, with commas.
pub const MASTERS: &str = "sea.aliyun.com/MasterIDs";
/// All nodes, by id, with commas.
pub const NODES: &str = "sea.aliyun.com/NodeIDs";

// Only ours.

/// The key pair that opens the machines.
pub const KEY_PAIR: &str = "sea.aliyun.com/KeyPairName";
/// The image of the machines, by id.
pub const IMAGE: &str = "sea.aliyun.com/ImageID";
/// The newest image of this family, instead of an image by id.
pub const IMAGE_FAMILY: &str = "sea.aliyun.com/ImageFamily";
/// Instance types to take, with commas, the best first, instead of choosing by processors and memory.
pub const INSTANCE_TYPES: &str = "sea.aliyun.com/InstanceTypes";
/// Addresses from which SSH and the API server can be reached, as `a.b.c.d/len`, with commas.
pub const ADMIN_CIDR: &str = "sea.aliyun.com/AdminCidr";

/// Writes what exists into a cluster's annotations; what no longer exists leaves them.
pub(super) fn write(cluster: &mut Cluster, resources: &Resources) {
    let id = |resource: &Option<Resource>| resource.as_ref().map(|resource| resource.id.clone());
    let [masters, nodes] = [Role::Master, Role::Node].map(|role| ordered(resources, role));
    let ids = |machines: &[(&String, &Machine)]| {
        let ids: Vec<&str> = machines.iter().map(|(id, _)| id.as_str()).collect();
        (!ids.is_empty()).then(|| ids.join(","))
    };
    let vswitch = resources.vswitches.first_key_value();
    let master0 = masters.first();
    let values = [
        (REGION, Some(resources.region.clone())),
        (ZONE, vswitch.map(|(zone, _)| zone.clone())),
        (VPC, id(&resources.vpc)),
        (VSWITCH, vswitch.map(|(_, vswitch)| vswitch.id.clone())),
        (SECURITY_GROUP, id(&resources.security_group)),
        (KEY_PAIR, id(&resources.key_pair)),
        (EIP, resources.eip.as_ref().map(|eip| eip.id.clone())),
        (CLUSTER_EIP, resources.eip.as_ref().map(|eip| eip.address.to_string())),
        (MASTER0, master0.map(|(id, _)| (*id).clone())),
        (MASTER0_ADDRESS, master0.and_then(|(_, machine)| machine.address).map(|address| address.to_string())),
        (MASTERS, ids(&masters)),
        (NODES, ids(&nodes)),
    ];
    for (name, value) in values {
        match value {
            Some(value) => drop(cluster.annotations.insert(name.to_owned(), value)),
            None => drop(cluster.annotations.remove(name)),
        }
    }
}

/// Whether anything of a cluster is named by its id: the user's, or what an earlier run made.
pub(super) fn names_resources(annotations: &BTreeMap<String, String>) -> bool {
    let ids = [VPC, VSWITCH, SECURITY_GROUP, KEY_PAIR, EIP, MASTERS, NODES];
    ids.into_iter().any(|name| value(annotations, name).is_some())
}

/// Ids of all machines that are named.
pub(super) fn machines(annotations: &BTreeMap<String, String>) -> Vec<String> {
    [list(annotations, MASTERS), list(annotations, NODES)].concat()
}

/// An annotation's value, trimmed; an empty one counts as none.
pub(super) fn value<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    annotations.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// The values of an annotation that holds several, separated by commas.
pub(super) fn list(annotations: &BTreeMap<String, String>, name: &str) -> Vec<String> {
    let text = value(annotations, name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::record::Eip;
    use super::*;

    #[test]
    fn what_exists_is_written_and_what_is_gone_leaves() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.annotations.insert("note".to_owned(), "mine".to_owned());
        let machine = |index, address| Machine { role: Role::Master, index, address, instance_type: String::new() };
        let region = "cn-chengdu".to_owned();
        let resources = Resources {
            region: region.clone(),
            vpc: Some(Resource { id: "vpc-1".to_owned(), own: true }),
            eip: Some(Eip { id: "eip-1".to_owned(), address: "203.0.113.7".parse().unwrap(), bound_to: None }),
            machines: BTreeMap::from([
                ("i-1".to_owned(), machine(1, None)),
                ("i-0".to_owned(), machine(0, Some("172.16.0.1".parse().unwrap()))),
            ]),
            ..Resources::default()
        };
        write(&mut cluster, &resources);
        let text: Vec<String> = cluster.annotations.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text,
            [
                "note=mine",
                "sea.aliyun.com/ClusterEIP=203.0.113.7",
                "sea.aliyun.com/EipID=eip-1",
                "sea.aliyun.com/Master0ID=i-0",
                "sea.aliyun.com/Master0InternalIP=172.16.0.1",
                "sea.aliyun.com/MasterIDs=i-0,i-1",
                "sea.aliyun.com/RegionID=cn-chengdu",
                "sea.aliyun.com/VpcID=vpc-1",
            ]
        );
        write(&mut cluster, &Resources { region, ..Resources::default() });
        assert_eq!(cluster.annotations.len(), 2);
        assert_eq!(list(&[(MASTERS.to_owned(), " a, ,b ".to_owned())].into(), MASTERS), ["a", "b"]);
    }
}

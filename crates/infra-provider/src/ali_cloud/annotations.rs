//! Names the annotations through which a Clusterfile and the provider name cloud resources.
//!
//! The names that upstream sealer wrote (`pkg/infra/aliyun` at v0.8.6) keep their meaning; those below "only ours" are
//! new. What a user writes is used and never deleted; what the provider made is written back by [`write`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::Cluster;

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

/// What exists for a cluster, as annotations tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) region: String,
    pub(super) zone: Option<String>,
    pub(super) vpc: Option<String>,
    pub(super) vswitch: Option<String>,
    pub(super) security_group: Option<String>,
    pub(super) key_pair: Option<String>,
    pub(super) eip: Option<(String, IpAddr)>,
    /// Id and address of every master, the first one first.
    pub(super) masters: Vec<(String, Option<IpAddr>)>,
    /// Ids of all nodes.
    pub(super) nodes: Vec<String>,
}

/// Writes what exists into a cluster's annotations; what no longer exists leaves them.
pub(super) fn write(cluster: &mut Cluster, facts: &Facts) {
    let join = |ids: Vec<&str>| (!ids.is_empty()).then(|| ids.join(","));
    let master0 = facts.masters.first();
    let values = [
        (REGION, Some(facts.region.clone())),
        (ZONE, facts.zone.clone()),
        (VPC, facts.vpc.clone()),
        (VSWITCH, facts.vswitch.clone()),
        (SECURITY_GROUP, facts.security_group.clone()),
        (KEY_PAIR, facts.key_pair.clone()),
        (EIP, facts.eip.as_ref().map(|(id, _)| id.clone())),
        (CLUSTER_EIP, facts.eip.as_ref().map(|(_, address)| address.to_string())),
        (MASTER0, master0.map(|(id, _)| id.clone())),
        (MASTER0_ADDRESS, master0.and_then(|(_, address)| *address).map(|address| address.to_string())),
        (MASTERS, join(facts.masters.iter().map(|(id, _)| id.as_str()).collect())),
        (NODES, join(facts.nodes.iter().map(String::as_str).collect())),
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

    use super::*;

    #[test]
    fn what_exists_is_written_and_what_is_gone_leaves() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.annotations.insert("note".to_owned(), "mine".to_owned());
        let facts = Facts {
            region: "cn-chengdu".to_owned(),
            vpc: Some("vpc-1".to_owned()),
            eip: Some(("eip-1".to_owned(), "203.0.113.7".parse().unwrap())),
            masters: vec![("i-0".to_owned(), Some("172.16.0.1".parse().unwrap())), ("i-1".to_owned(), None)],
            ..Facts::default()
        };
        write(&mut cluster, &facts);
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
        write(&mut cluster, &Facts { region: "cn-chengdu".to_owned(), ..Facts::default() });
        assert_eq!(cluster.annotations.len(), 2);
        assert_eq!(list(&[(MASTERS.to_owned(), " a, ,b ".to_owned())].into(), MASTERS), ["a", "b"]);
    }
}

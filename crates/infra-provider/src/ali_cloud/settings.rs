//! Reads the cloud settings of a Clusterfile: machines, disks, image, existing resources.

use clusterfile::{Cluster, Disk, MachineSpec, Secret};

use super::annotations::{self as names, list, value};
pub(super) use crate::machine_role::MachineRole as Role;
use crate::{Error, Result};

/// Processors of a machine for which nothing is said.
const CPU: u32 = 4;
/// Memory of a machine for which nothing is said, in GiB.
const MEMORY_GIB: u32 = 8;
/// The system disk of a machine for which nothing is said, in GiB.
const SYSTEM_DISK_GIB: u32 = 100;
/// Kinds of system disk to try where none is named: upstream's first, then what newer machine families take.
const SYSTEM_CATEGORIES: [&str; 4] = ["cloud_essd", "cloud_ssd", "cloud_auto", "cloud_efficiency"];
/// Kinds of data disk to try where none is named.
const DATA_CATEGORIES: [&str; 4] = ["cloud_essd", "cloud_ssd", "cloud_auto", "cloud_efficiency"];
/// The image of machines for which none is named: the newest of the family that the cloud keeps up to date.
const IMAGE_FAMILY: &str = "acs:debian_12_x64";
/// More machines of one role than this are a mistake.
const MAX_COUNT: u32 = 1_000;

/// What a Clusterfile asks for, checked and completed.
#[derive(Debug, Clone)]
pub(super) struct ClusterSpec {
    pub(super) cluster: String,
    pub(super) region: Option<String>,
    pub(super) zone: Option<String>,
    /// Ids of what the user has and wants to be used.
    pub(super) vpc: Option<String>,
    pub(super) vswitch: Option<String>,
    pub(super) security_group: Option<String>,
    pub(super) key_pair: Option<String>,
    pub(super) image: Image,
    /// From where SSH and API server can be reached; empty when not said.
    pub(super) admin_cidrs: Vec<String>,
    pub(super) masters: Group,
    pub(super) nodes: Group,
    /// Opens the machines instead of a key pair.
    pub(super) password: Option<Secret>,
}

/// Which image the machines start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Image {
    Id(String),
    Family(String),
}

/// Machines of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) role: Role,
    pub(super) count: u32,
    pub(super) cpu: u32,
    pub(super) memory_gib: u32,
    /// Whether the Clusterfile says the size: only then machines of another size are changed.
    pub(super) sized: bool,
    /// Types to take, the best first, instead of choosing by size.
    pub(super) types: Vec<String>,
    pub(super) system_disk: DiskSpec,
    pub(super) data_disks: Vec<DiskSpec>,
}

impl Group {
    /// The size of its machines, for errors.
    pub(super) fn size(&self) -> String {
        format!("{} processors and {} GiB of memory", self.cpu, self.memory_gib)
    }

    /// Whether machines of both groups can be of the same type.
    pub(super) fn same_size(&self, other: &Self) -> bool {
        (self.cpu, self.memory_gib, &self.types) == (other.cpu, other.memory_gib, &other.types)
    }
}

/// A disk, and the kinds of it that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiskSpec {
    pub(super) size_gib: u32,
    /// The best first; one when the user named it.
    pub(super) categories: Vec<String>,
}

/// Reads the spec out of a cluster.
pub(super) fn cluster_spec(cluster: &Cluster) -> Result<ClusterSpec> {
    let annotations = &cluster.annotations;
    let own = |name: &str| value(annotations, name).map(str::to_owned);
    check_name(&cluster.name)?;
    let types = list(annotations, names::INSTANCE_TYPES);
    let masters = group(cluster, Role::Master, cluster.machines.masters.as_ref(), &types)?;
    let nodes = group(cluster, Role::Node, cluster.machines.nodes.as_ref(), &types)?;
    if masters.count == 0 {
        return Err(Error::NoMasters { cluster: cluster.name.clone() });
    }
    let image = match (own(names::IMAGE), own(names::IMAGE_FAMILY)) {
        (Some(id), _) => Image::Id(id),
        (None, Some(family)) => Image::Family(family),
        (None, None) => Image::Family(IMAGE_FAMILY.to_owned()),
    };
    let password = cluster.ssh.password.clone();
    if let Some(password) = &password {
        check_password(password.expose())?;
    }
    let admin_cidrs = list(annotations, names::ADMIN_CIDR);
    for cidr in &admin_cidrs {
        check_cidr(cidr)?;
    }
    Ok(ClusterSpec {
        cluster: cluster.name.clone(),
        region: own(names::REGION),
        zone: own(names::ZONE),
        vpc: own(names::VPC),
        vswitch: own(names::VSWITCH),
        security_group: own(names::SECURITY_GROUP),
        key_pair: own(names::KEY_PAIR),
        image,
        admin_cidrs,
        masters,
        nodes,
        password,
    })
}

fn group(cluster: &Cluster, role: Role, spec: Option<&MachineSpec>, types: &[String]) -> Result<Group> {
    let listed = cluster.hosts.iter().filter(|host| match role {
        Role::Master => host.is_master(),
        Role::Node => host.is_node(),
    });
    // A Clusterfile that was filled in already lists its hosts; the spec says their size.
    let count = spec.map_or(u32::try_from(listed.count()).unwrap_or(u32::MAX), |spec| spec.count);
    if count > MAX_COUNT {
        let field = format!("spec.{}s.count", role.as_str());
        return Err(Error::Setting {
            field,
            value: count.to_string(),
            reason: format!("more than {MAX_COUNT} machines"),
        });
    }
    let default = MachineSpec::default();
    let spec = spec.unwrap_or(&default);
    let system = spec.system_disk.clone().unwrap_or_else(|| Disk::new(SYSTEM_DISK_GIB, None));
    Ok(Group {
        role,
        count,
        cpu: spec.cpu.unwrap_or(CPU),
        memory_gib: spec.memory_gib.unwrap_or(MEMORY_GIB),
        sized: types.is_empty() && (spec.cpu.is_some() || spec.memory_gib.is_some()),
        types: types.to_vec(),
        system_disk: disk(&system, &SYSTEM_CATEGORIES),
        data_disks: spec.data_disks.iter().map(|data| disk(data, &DATA_CATEGORIES)).collect(),
    })
}

fn disk(disk: &Disk, categories: &[&str]) -> DiskSpec {
    let categories = match &disk.category {
        Some(category) => vec![category.clone()],
        None => categories.iter().map(|category| (*category).to_owned()).collect(),
    };
    DiskSpec { size_gib: disk.size_gib, categories }
}

/// The name becomes part of host names (`<cluster>-master-0`) and of a tag.
fn check_name(cluster: &str) -> Result<()> {
    const LIMIT: usize = 40;
    let fits = cluster.len() <= LIMIT
        && cluster.starts_with(|first: char| first.is_ascii_alphanumeric())
        && cluster
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-');
    if fits { Ok(()) } else { Err(Error::ClusterName { cluster: cluster.to_owned(), limit: LIMIT }) }
}

/// The cloud's rule for passwords of Linux machines, so that a wrong one is refused before anything is made.
fn check_password(password: &str) -> Result<()> {
    const SPECIAL: &str = "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/";
    let classes = [
        password.chars().any(|character| character.is_ascii_lowercase()),
        password.chars().any(|character| character.is_ascii_uppercase()),
        password.chars().any(|character| character.is_ascii_digit()),
        password.chars().any(|character| SPECIAL.contains(character)),
    ];
    let known = |character: char| character.is_ascii_alphanumeric() || SPECIAL.contains(character);
    let fits = (8..=30).contains(&password.len())
        && password.chars().all(known)
        && classes.into_iter().filter(|present| *present).count() >= 3;
    if fits { Ok(()) } else { Err(Error::WeakPassword) }
}

/// What the cloud would refuse only when other resources have been made.
pub(super) fn check_cidr(cidr: &str) -> Result<()> {
    let fits = cidr.split_once('/').is_some_and(|(address, length)| {
        address.parse::<std::net::Ipv4Addr>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= 32)
    });
    if fits {
        return Ok(());
    }
    Err(Error::Setting {
        field: names::ADMIN_CIDR.to_owned(),
        value: cidr.to_owned(),
        reason: "expected addresses such as 203.0.113.7/32".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.machines.masters = Some(MachineSpec::of(3));
        cluster
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let spec = cluster_spec(&cluster()).unwrap();
        assert_eq!((spec.masters.count, spec.nodes.count), (3, 0));
        assert_eq!((spec.masters.cpu, spec.masters.memory_gib, spec.masters.system_disk.size_gib), (4, 8, 100));
        assert!(spec.masters.system_disk.categories.len() > 1 && spec.masters.data_disks.is_empty());
        assert_eq!(spec.image, Image::Family(IMAGE_FAMILY.to_owned()));
        assert!(spec.password.is_none() && spec.vpc.is_none());
    }

    #[test]
    fn what_is_said_is_taken() {
        let mut cluster = cluster();
        let spec = cluster.machines.masters.as_mut().unwrap();
        spec.cpu = Some(2);
        spec.data_disks = vec![Disk::new(40, Some("cloud_auto"))];
        for (name, text) in [
            (names::VPC, "vpc-1"),
            (names::IMAGE, "m-1"),
            (names::IMAGE_FAMILY, "ignored"),
            (names::INSTANCE_TYPES, "ecs.a, ecs.b"),
            (names::ADMIN_CIDR, "203.0.113.0/24,198.51.100.7/32"),
        ] {
            cluster.annotations.insert(name.to_owned(), text.to_owned());
        }
        cluster.ssh.password = Some(Secret::from("Geheim-123".to_owned()));
        let spec = cluster_spec(&cluster).unwrap();
        assert_eq!((spec.masters.cpu, spec.masters.types.len(), spec.admin_cidrs.len()), (2, 2, 2));
        assert_eq!(spec.masters.data_disks[0].categories, ["cloud_auto"]);
        assert_eq!((spec.vpc.as_deref(), spec.image), (Some("vpc-1"), Image::Id("m-1".to_owned())));
        assert!(spec.password.is_some());
    }

    #[test]
    fn what_the_cloud_would_refuse_is_refused_before() {
        let refused = |change: &dyn Fn(&mut Cluster)| {
            let mut cluster = cluster();
            change(&mut cluster);
            cluster_spec(&cluster).unwrap_err().to_string()
        };
        let password = |text: &str| {
            let text = text.to_owned();
            move |cluster: &mut Cluster| cluster.ssh.password = Some(Secret::from(text.clone()))
        };
        for weak in ["short1A", "onlysmallletters", "noclasses3", "Spaces are 1", &"Aa1".repeat(11)] {
            assert!(refused(&password(weak)).contains("8 to 30"), "{weak}");
        }
        let cidr = |cluster: &mut Cluster| {
            cluster.annotations.insert(names::ADMIN_CIDR.to_owned(), "everyone".to_owned());
        };
        assert!(refused(&cidr).contains("everyone"));
        assert!(refused(&|cluster| cluster.name = "Shop".to_owned()).contains("Shop"));
        assert!(refused(&|cluster| cluster.machines.masters = None).contains("no master"));
        assert!(refused(&|cluster| cluster.machines.nodes = Some(MachineSpec::of(5_000))).contains("5000"));
    }
}

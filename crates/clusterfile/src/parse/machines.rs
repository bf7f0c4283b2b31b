//! Reads `masters` and `nodes`.

use super::{
    cluster::Generation,
    fields::{Fields, Problems, text, whole_number},
    hosts::PlacedHosts,
    rules,
};
use crate::{
    Cluster, Disk, ErrorKind, Host, MAX_HOSTS, MachineSpec, Role,
    machine::MAX_SIZE,
    yaml::{Node, Value},
};

/// The texts below name the same range.
const RANGE: (u32, u32) = (1, MAX_SIZE);
const SIZE: &str = "a whole number from 1 to 65536";
const GIB: &str = "a whole number of GiB from 1 to 65536";

/// Reads `masters` and `nodes`: addresses (first generation only) and machines to make.
pub(crate) fn read(
    spec: &mut Fields<'_>,
    generation: Generation,
    cluster: &mut Cluster,
    hosts: &mut PlacedHosts,
    problems: &mut Problems,
) {
    for (name, role) in [("masters", Role::Master), ("nodes", Role::Node)] {
        let Some(mut fields) = spec.take(name).and_then(|node| Fields::open(node, name, problems)) else {
            continue;
        };
        match generation {
            Generation::First => {
                let model = Host {
                    ssh: cluster.ssh.clone(),
                    env: cluster.env.overlaid(&crate::Env::default()),
                    ..Host::new([0, 0, 0, 0].into(), role.clone())
                };
                let addresses = fields.list("ipList", problems);
                hosts.add(addresses, &model, problems);
            }
            Generation::Second => fields.misplaced(&["ipList"], "list addresses as spec.hosts", problems),
        }
        let machines = read_spec(&mut fields, role == Role::Master, problems);
        fields.finish(problems);
        match role {
            Role::Master => cluster.machines.masters = machines,
            _ => cluster.machines.nodes = machines,
        }
    }
}

fn read_spec(fields: &mut Fields<'_>, master: bool, problems: &mut Problems) -> Option<MachineSpec> {
    let before = problems.0.len();
    let (least, rule) =
        if master { (1, "a whole number from 1 to 5000") } else { (0, "a whole number from 0 to 5000") };
    let count = fields.number("count", (least, MAX_HOSTS), rule, problems);
    let cpu = fields.number("cpu", RANGE, SIZE, problems);
    let memory_gib = fields.number("memory", RANGE, GIB, problems);
    let system_disk =
        fields.take("systemDisk").filter(|node| !node.is_empty_text()).and_then(|node| read_disk(node, problems));
    let data_disks: Vec<Disk> =
        fields.list("dataDisks", problems).iter().filter_map(|node| read_disk(node, problems)).collect();
    let sized = cpu.is_some() || memory_gib.is_some() || system_disk.is_some() || !data_disks.is_empty();
    if count.is_none() && sized && problems.0.len() == before {
        fields.missing("count");
    }
    Some(MachineSpec { count: count?, cpu, memory_gib, system_disk, data_disks })
}

/// A size in GiB, or a mapping with `size` and `category`.
fn read_disk(node: &Node, problems: &mut Problems) -> Option<Disk> {
    if let Value::Map(_) = node.value {
        let mut fields = Fields::open(node, "the disk", problems)?;
        fields.require("size");
        let size_gib = fields.number("size", RANGE, GIB, problems);
        let category = fields.valid("category", rules::WORD, problems);
        fields.finish(problems);
        return Some(Disk { size_gib: size_gib?, category });
    }
    if let Value::List(_) = node.value {
        problems.add(node.span, ErrorKind::Expected { expected: "a size in GiB", found: node.shape() });
        return None;
    }
    let size = text(node, problems)?;
    let size_gib = problems.keep(node.span, whole_number("size of a disk", &size, RANGE, GIB))?;
    Some(Disk { size_gib, category: None })
}

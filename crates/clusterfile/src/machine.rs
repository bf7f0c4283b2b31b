//! The machines that a provider creates.

use schemars::JsonSchema;
use serde::Serialize;

use crate::MAX_HOSTS;

/// The most processors, and the most GiB of memory or disk, that a machine can be asked to have.
pub(crate) const MAX_SIZE: u32 = 65536;

/// The machines that a provider creates, by role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machines {
    /// The control plane.
    pub masters: Option<MachineSpec>,
    /// The workers.
    pub nodes: Option<MachineSpec>,
}

impl Machines {
    /// Whether nothing is asked of the provider.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.masters.is_none() && self.nodes.is_none()
    }
}

/// How many machines of which size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MachineSpec {
    /// How many.
    #[schemars(with = "Option<u32>", range(max = MAX_HOSTS))]
    pub count: u32,
    /// Virtual processors of each.
    #[schemars(range(max = MAX_SIZE))]
    pub cpu: Option<u32>,
    /// Memory of each in GiB.
    #[serde(rename = "memory")]
    #[schemars(range(max = MAX_SIZE))]
    pub memory_gib: Option<u32>,
    /// The disk with the operating system.
    pub system_disk: Option<Disk>,
    /// Further disks, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Disk>>")]
    pub data_disks: Vec<Disk>,
}

impl MachineSpec {
    /// So many machines of the provider's default size.
    #[must_use]
    pub fn of(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    /// The same number of machines with these virtual processors and so much memory in GiB.
    #[must_use]
    pub fn with_size(self, cpu: Option<u32>, memory_gib: Option<u32>) -> Self {
        Self { cpu, memory_gib, ..self }
    }
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "DiskForm")]
#[schemars(from = "DiskForm")]
#[non_exhaustive]
pub struct Disk {
    /// Its size in GiB.
    pub size_gib: u32,
    /// The provider's name for the kind of disk, such as `cloud_essd`; the provider chooses when absent.
    pub category: Option<String>,
}

impl Disk {
    /// A disk of a size in GiB, of the provider's own choice where there is no category.
    #[must_use]
    pub fn new(size_gib: u32, category: Option<&str>) -> Self {
        Self { size_gib, category: category.map(str::to_owned) }
    }
}

/// A disk as it is written.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum DiskForm {
    /// Its size in GiB.
    Size(#[schemars(range(max = MAX_SIZE))] u32),
    /// Its size and its kind.
    OfCategory {
        /// Its size in GiB.
        #[schemars(range(max = MAX_SIZE))]
        size: u32,
        /// The provider's name for the kind of disk.
        category: Option<String>,
    },
}

impl From<Disk> for DiskForm {
    fn from(disk: Disk) -> Self {
        match disk.category {
            None => Self::Size(disk.size_gib),
            category => Self::OfCategory { size: disk.size_gib, category },
        }
    }
}

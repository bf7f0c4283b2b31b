//! Chooses a container's privileges by what the engine can grant.

use bollard::models::HostConfig;

/// The way a host gets the rights that systemd, containerd and kubelet need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Isolation {
    /// `--privileged`: right wherever the engine itself has every capability.
    Privileged,
    /// All capabilities but those the engine lacks, and the rest of `--privileged` option by option.
    Capabilities {
        /// Names without `CAP_`, as the engine takes them.
        without: Vec<&'static str>,
    },
}

impl Isolation {
    /// What fits an engine with this bounding set; unknown sets are taken as full, and corrected by
    /// [`Isolation::restricted`] when the engine then refuses.
    pub(super) fn for_bounding_set(set: Option<u64>) -> Self {
        let Some(set) = set else {
            return Isolation::Privileged;
        };
        // A kernel without the newest capabilities has zeros above its last one: only gaps below count.
        let last = 64 - set.leading_zeros() as usize;
        let without: Vec<_> = CAPABILITIES
            .iter()
            .enumerate()
            .take(last)
            .filter(|(bit, _)| set & (1 << bit) == 0)
            .map(|(_, name)| *name)
            .collect();
        if without.is_empty() { Isolation::Privileged } else { Isolation::Capabilities { without } }
    }

    /// The next thing to try after a privileged start was refused for its capabilities.
    pub(super) fn restricted() -> Self {
        Isolation::Capabilities { without: vec!["SYS_RESOURCE"] }
    }

    /// Writes the options into `config`.
    pub(super) fn apply(&self, config: &mut HostConfig) {
        match self {
            Isolation::Privileged => config.privileged = Some(true),
            Isolation::Capabilities { without } => {
                config.cap_add = Some(vec!["ALL".to_owned()]);
                config.cap_drop = Some(without.iter().map(|name| (*name).to_owned()).collect());
                config.device_cgroup_rules = Some(vec!["a *:* rwm".to_owned()]);
                config.security_opt = Some(vec!["seccomp=unconfined".to_owned(), "apparmor=unconfined".to_owned()]);
                config.masked_paths = Some(Vec::new());
                config.readonly_paths = Some(Vec::new());
            }
        }
    }
}

/// Whether the engine's answer to a start means that it could not hand out capabilities.
pub(super) fn refused_for_capabilities(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("unable to apply caps") || message.contains("operation not permitted")
}

/// The capability bounding set in the text of `/proc/<pid>/status`.
pub(super) fn bounding_set(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Linux capabilities by number (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_bounding_set_is_read_from_status() {
        assert_eq!(bounding_set("Name:\tdockerd\nCapBnd:\t000001fffeffffff\nCapAmb:\t0\n"), Some(0x01ff_feff_ffff));
        assert_eq!(bounding_set("Name:\tdockerd\n"), None);
        assert_eq!(bounding_set("CapBnd:\tnonsense\n"), None);
    }

    #[test]
    fn a_missing_capability_is_left_out_by_name() {
        assert_eq!(Isolation::for_bounding_set(Some(0x01ff_feff_ffff)), Isolation::restricted());
        assert_eq!(
            Isolation::for_bounding_set(Some(0x01ff_feff_ffff & !(1 << 16))),
            Isolation::Capabilities { without: vec!["SYS_MODULE", "SYS_RESOURCE"] }
        );
    }

    #[test]
    fn full_unknown_and_older_kernels_mean_privileged() {
        for set in [None, Some(0x01ff_ffff_ffff), Some(0x3f_ffff_ffff), Some(u64::MAX)] {
            assert_eq!(Isolation::for_bounding_set(set), Isolation::Privileged, "{set:x?}");
        }
    }

    #[test]
    fn the_two_ways_render_to_different_options() {
        let mut config = HostConfig::default();
        Isolation::Privileged.apply(&mut config);
        assert_eq!(config, HostConfig { privileged: Some(true), ..HostConfig::default() });

        let mut config = HostConfig::default();
        Isolation::restricted().apply(&mut config);
        assert_eq!(config.privileged, None);
        assert_eq!(config.cap_add.unwrap(), ["ALL"]);
        assert_eq!(config.cap_drop.unwrap(), ["SYS_RESOURCE"]);
        assert_eq!(config.device_cgroup_rules.unwrap(), ["a *:* rwm"]);
        assert_eq!((config.masked_paths.unwrap().len(), config.readonly_paths.unwrap().len()), (0, 0));
    }

    #[test]
    fn the_engines_refusal_is_recognised() {
        assert!(refused_for_capabilities(
            "OCI runtime create failed: unable to apply caps: operation not permitted: unknown"
        ));
        assert!(!refused_for_capabilities("driver failed programming external connectivity"));
    }
}

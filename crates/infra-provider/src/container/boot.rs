//! Builds the request for a container that boots systemd.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum,
    Mount, MountType, MountVolumeOptions, NetworkingConfig,
};
use clusterfile::MachineSpec;

use super::isolation::Isolation;
use super::machine::{Machine, network_name};

/// The program in the node image that prepares the machine and then becomes `/sbin/init`.
pub(super) const ENTRY_POINT: &str = "/usr/local/bin/sealer-node-init";

/// What the options of one host depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Boot<'a> {
    pub(super) cluster: &'a str,
    pub(super) machine: Machine,
    pub(super) image: &'a str,
    /// Size limits, where the Clusterfile gives them.
    pub(super) spec: Option<&'a MachineSpec>,
    pub(super) isolation: &'a Isolation,
    /// Whether this machine has `/lib/modules`.
    pub(super) modules: bool,
    /// Whether this machine has `/dev/kmsg`.
    pub(super) kmsg: bool,
}

impl Boot<'_> {
    /// The request that creates the container.
    pub(super) fn request(&self) -> ContainerCreateBody {
        let network = network_name(self.cluster);
        let endpoint = endpoint(self.machine);
        ContainerCreateBody {
            hostname: Some(self.machine.name(self.cluster)),
            image: Some(self.image.to_owned()),
            entrypoint: Some(vec![ENTRY_POINT.to_owned()]),
            cmd: Some(Vec::new()),
            env: Some(vec!["container=docker".to_owned()]),
            labels: Some(self.machine.labels(self.cluster)),
            // systemd halts in good order on this signal, and ignores the usual SIGTERM.
            stop_signal: Some("SIGRTMIN+3".to_owned()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])),
            }),
            host_config: Some(self.host_config(network)),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, network: String) -> HostConfig {
        let tmpfs = |mode: &str| format!("rw,exec,nosuid,nodev,mode={mode}");
        let mut config = HostConfig {
            network_mode: Some(network),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            tmpfs: Some(HashMap::from([("/run".to_owned(), tmpfs("755")), ("/tmp".to_owned(), tmpfs("1777"))])),
            mounts: Some(self.mounts()),
            devices: Some(self.devices()),
            nano_cpus: self.spec.and_then(|spec| spec.cpu).map(|cpus| i64::from(cpus) * 1_000_000_000),
            memory: self.spec.and_then(|spec| spec.memory_gib).map(|gib| i64::from(gib) << 30),
            ..HostConfig::default()
        };
        self.isolation.apply(&mut config);
        config
    }

    fn devices(&self) -> Vec<DeviceMapping> {
        let kmsg = DeviceMapping {
            path_on_host: Some("/dev/kmsg".to_owned()),
            path_in_container: Some("/dev/kmsg".to_owned()),
            cgroup_permissions: Some("rwm".to_owned()),
        };
        if self.kmsg { vec![kmsg] } else { Vec::new() }
    }

    fn mounts(&self) -> Vec<Mount> {
        // An overlay cannot lie on the container's own overlay, so what containerd and kubelet write is a volume.
        let var = Mount {
            target: Some("/var".to_owned()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions {
                labels: Some(self.machine.labels(self.cluster)),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        };
        let modules = Mount {
            target: Some("/lib/modules".to_owned()),
            source: Some("/lib/modules".to_owned()),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            ..Mount::default()
        };
        if self.modules { vec![var, modules] } else { vec![var] }
    }
}

/// A machine's place in its network: its fixed address.
pub(super) fn endpoint(machine: Machine) -> EndpointSettings {
    let address = Some(machine.address.to_string());
    EndpointSettings {
        ipam_config: Some(EndpointIpamConfig { ipv4_address: address, ..EndpointIpamConfig::default() }),
        ..EndpointSettings::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::machine::MachineRole;
    use super::*;
    use std::net::Ipv4Addr;

    fn boot<'a>(spec: Option<&'a MachineSpec>, isolation: &'a Isolation, modules: bool) -> Boot<'a> {
        let machine = Machine { duty: MachineRole::Master, index: 1, address: Ipv4Addr::new(10, 213, 0, 3) };
        Boot { cluster: "shop", machine, image: "sealer-node:bookworm", spec, isolation, modules, kmsg: modules }
    }

    #[test]
    fn a_host_has_its_own_name_address_and_labels() {
        let request = boot(None, &Isolation::Privileged, true).request();
        assert_eq!(request.hostname.as_deref(), Some("shop-master-1"));
        assert_eq!(request.entrypoint.unwrap(), [ENTRY_POINT]);
        let labels = request.labels.unwrap();
        assert_eq!(labels["io.sealer.cluster"], "shop");
        assert_eq!(labels["io.sealer.role"], "master");
        assert_eq!(labels["io.sealer.index"], "1");
        let endpoints = request.networking_config.unwrap().endpoints_config.unwrap();
        let address = endpoints["sealer-shop"].ipam_config.as_ref().unwrap().ipv4_address.as_deref();
        assert_eq!(address, Some("10.213.0.3"));
    }

    #[test]
    fn the_machine_boots_systemd_with_a_labelled_volume() {
        let config = boot(None, &Isolation::Privileged, true).request().host_config.unwrap();
        assert_eq!(config.network_mode.as_deref(), Some("sealer-shop"));
        assert_eq!(config.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::PRIVATE));
        assert_eq!(config.tmpfs.unwrap().len(), 2);
        assert_eq!((config.memory, config.nano_cpus), (None, None));
        let mounts = config.mounts.unwrap();
        assert_eq!(mounts[0].target.as_deref(), Some("/var"));
        assert_eq!(mounts[0].source, None);
        assert_eq!(mounts[0].volume_options.as_ref().unwrap().labels.as_ref().unwrap()["io.sealer.cluster"], "shop");
        assert_eq!((mounts[1].target.as_deref(), mounts[1].read_only), (Some("/lib/modules"), Some(true)));
    }

    #[test]
    fn sizes_become_limits_and_absent_modules_are_not_mounted() {
        let spec = MachineSpec::of(1).with_size(Some(4), Some(8));
        let config = boot(Some(&spec), &Isolation::restricted(), false).request().host_config.unwrap();
        assert_eq!((config.memory, config.nano_cpus), (Some(8 << 30), Some(4_000_000_000)));
        assert_eq!(config.mounts.unwrap().len(), 1);
        assert_eq!(config.devices.unwrap().len(), 0);
        assert_eq!(config.privileged, None);
    }

    #[test]
    fn the_request_says_unconfined_paths_in_the_engines_words() {
        let text = format!("{:?}", boot(None, &Isolation::restricted(), false).request());
        assert!(text.contains("masked_paths: Some([])") && text.contains("readonly_paths: Some([])"), "{text}");
    }
}

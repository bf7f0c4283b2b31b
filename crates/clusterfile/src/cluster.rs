//! The desired cluster: [`Clusterfile`], [`Cluster`] and lines of `/etc/hosts`.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Application, Config, Env, Host, KubeadmDocument, MachineSpec, Machines, MachinesArg, Network, Plugin, ProviderName,
    RegistrySettings, Role, Ssh,
};

/// All documents of a Clusterfile.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Clusterfile {
    /// The one cluster.
    pub cluster: Cluster,
    /// Files for the rootfs, in the order of the file.
    pub configs: Vec<Config>,
    /// Plugins, in the order of the file.
    pub plugins: Vec<Plugin>,
    /// Applications, in the order of the file.
    pub applications: Vec<Application>,
    /// Documents for kubeadm, in the order of the file; at most one of each kind.
    pub kubeadm: Vec<KubeadmDocument>,
}

impl Clusterfile {
    /// The same file with another cluster.
    #[must_use]
    pub fn with_cluster(self, cluster: Cluster) -> Self {
        Self { cluster, ..self }
    }
}

impl From<Cluster> for Clusterfile {
    fn from(cluster: Cluster) -> Self {
        Self { cluster, configs: Vec::new(), plugins: Vec::new(), applications: Vec::new(), kubeadm: Vec::new() }
    }
}

/// The desired cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cluster {
    /// Its name: a DNS name of at most 63 characters, safe as a file name.
    pub name: String,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// The cluster image to run, as written.
    pub image: String,
    /// The provider of the hosts.
    pub provider: ProviderName,
    /// The hosts that are known; a provider fills them in from [`Cluster::machines`].
    pub hosts: Vec<Host>,
    /// The machines that a provider creates.
    pub machines: Machines,
    /// How to log in where a host does not say otherwise.
    pub ssh: Ssh,
    /// The network.
    pub network: Network,
    /// Further names and addresses for the API server's certificate.
    pub cert_sans: Vec<String>,
    /// The variables of the cluster.
    pub env: Env,
    /// Commands that replace the image's launch commands (`spec.cmd`).
    pub commands: Vec<String>,
    /// Values for the image's build arguments at run time (`spec.cmd_args`).
    pub command_args: BTreeMap<String, String>,
    /// The applications of the image to start; empty means as the image says.
    pub app_names: Vec<String>,
    /// Lines for `/etc/hosts` of every host.
    pub host_aliases: Vec<HostAlias>,
    /// Where sealer keeps its data on hosts, when not at its usual place. An absolute path without `..`.
    pub data_root: Option<String>,
    /// Where hosts pull images from.
    pub registry: RegistrySettings,
    /// The container runtime wanted (`docker`, `containerd`); the image decides when absent.
    pub container_runtime: Option<String>,
}

impl Cluster {
    /// A cluster of this name and image with no hosts yet and all defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            annotations: BTreeMap::new(),
            image: image.into(),
            provider: ProviderName::BAREMETAL,
            hosts: Vec::new(),
            machines: Machines::default(),
            ssh: Ssh::default(),
            network: Network::default(),
            cert_sans: Vec::new(),
            env: Env::default(),
            commands: Vec::new(),
            command_args: BTreeMap::new(),
            app_names: Vec::new(),
            host_aliases: Vec::new(),
            data_root: None,
            registry: RegistrySettings::default(),
            container_runtime: None,
        }
    }

    /// The hosts with [`Role::Master`], in order.
    pub fn masters(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.is_master())
    }

    /// The hosts with [`Role::Node`], in order.
    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.is_node())
    }

    /// The host at an address.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Option<&Host> {
        self.hosts.iter().find(|host| host.address == address)
    }

    /// Adds hosts of one role that log in and see variables as the cluster says. Known addresses are skipped.
    pub fn add_hosts(&mut self, role: &Role, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if self.host(address).is_none() {
                let host = Host {
                    ssh: self.ssh.clone(),
                    env: self.env.overlaid(&Env::default()),
                    ..Host::new(address, role.clone())
                };
                self.hosts.push(host);
            }
        }
    }

    /// Takes what `--masters` or `--nodes` said: addresses become hosts of that role, a count becomes machines to make.
    ///
    /// The provider is not touched; a [`Role::Other`] with a count changes nothing.
    pub fn add(&mut self, role: &Role, machines: MachinesArg) {
        match machines {
            MachinesArg::Addresses(addresses) => self.add_hosts(role, addresses),
            MachinesArg::Count(count) => {
                let place = match role {
                    Role::Master => &mut self.machines.masters,
                    Role::Node => &mut self.machines.nodes,
                    Role::Other(_) => return,
                };
                place.get_or_insert_with(MachineSpec::default).count = count;
            }
        }
    }

    /// The default provider: `BAREMETAL` if there are only addresses, `ALI_CLOUD` if there are counts.
    #[must_use]
    pub fn provider_by_default(&self) -> ProviderName {
        if self.machines.is_empty() { ProviderName::BAREMETAL } else { ProviderName::ALI_CLOUD }
    }

    /// Sets how to log in, for the cluster and for every host that followed the cluster's setting so far.
    ///
    /// A host that differs only by its jump hosts follows and keeps them.
    pub fn set_ssh(&mut self, ssh: Ssh) {
        for host in &mut self.hosts {
            let jump = std::mem::take(&mut host.ssh.jump);
            let own = jump != self.ssh.jump;
            host.ssh.jump.clone_from(&self.ssh.jump);
            if host.ssh == self.ssh {
                host.ssh = ssh.clone();
                if own {
                    host.ssh.jump = jump;
                }
            } else {
                host.ssh.jump = jump;
            }
        }
        self.ssh = ssh;
    }

    /// Sets a variable of the cluster; hosts that followed the cluster's value so far follow it again.
    pub fn set_env(&mut self, key: &str, value: &str) {
        let before = self.env.clone();
        self.env.set(key, value);
        for host in &mut self.hosts {
            host.env = self.env.overlaid(&host.env.differing_from(&before));
        }
    }

    /// The same cluster with no hosts and no machines: the desired state of a cluster that is to be deleted.
    #[must_use]
    pub fn without_hosts(&self) -> Self {
        Self { hosts: Vec::new(), machines: Machines::default(), ..self.clone() }
    }
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostAlias {
    /// The address.
    #[serde(rename = "ip")]
    pub address: IpAddr,
    /// Its names; never empty in a parsed file.
    pub hostnames: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Jump;

    #[test]
    fn who_logs_in_is_set_where_a_host_says_nothing_else() {
        let mut cluster = Cluster::new("c", "image");
        let gate = |last| vec![Jump::new(IpAddr::from([8, 8, 8, last]))];
        cluster.ssh.jump = gate(8);
        cluster.add_hosts(&Role::Node, (1..=3).map(|last| IpAddr::from([10, 0, 0, last])));
        cluster.hosts[1].ssh.jump.clear();
        cluster.hosts[2].ssh.user = "other".to_owned();
        cluster.set_ssh(Ssh { user: "ops".to_owned(), jump: gate(4), ..cluster.ssh.clone() });
        let set = |index: usize| (cluster.hosts[index].ssh.user.as_str(), cluster.hosts[index].ssh.jump.clone());
        assert_eq!([set(0), set(1), set(2)], [("ops", gate(4)), ("ops", Vec::new()), ("other", gate(8))]);
    }
}

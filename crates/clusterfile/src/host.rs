//! Hosts and their roles.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use crate::{Env, Jump, Ssh, SshHost};

/// A machine that belongs to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// The address it is reached at and known by in the cluster.
    pub address: IpAddr,
    /// What it does; never empty in a parsed file, and never both [`Role::Master`] and [`Role::Node`].
    pub roles: Vec<Role>,
    /// How to log in: the cluster's setting overlaid by the host's own.
    pub ssh: Ssh,
    /// The variables of this host: the cluster's overlaid by the host's own, key by key.
    pub env: Env,
    /// Kubernetes labels to set.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes taints as written: `key=value:Effect`, `key:Effect`, and with a trailing `-` to remove one.
    pub taints: Vec<String>,
}

impl Host {
    /// A host with one role and nothing else said about it.
    #[must_use]
    pub fn new(address: IpAddr, role: Role) -> Self {
        Self {
            address,
            roles: vec![role],
            ssh: Ssh::default(),
            env: Env::default(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }

    /// Whether the host runs the control plane.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.roles.contains(&Role::Master)
    }

    /// The jump hosts on the way to it, the first to be reached in front.
    ///
    /// A host that is one of its own jump hosts is reached like that one: over those before it, or directly.
    #[must_use]
    pub fn jumps(&self) -> &[Jump] {
        let itself = |jump: &Jump| jump.host == SshHost::Address(self.address) && jump.port == self.ssh.port;
        let before = self.ssh.jump.iter().position(itself);
        &self.ssh.jump[..before.unwrap_or(self.ssh.jump.len())]
    }

    /// Whether the host is a worker.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.roles.contains(&Role::Node)
    }
}

/// What a host does in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the control plane.
    Master,
    /// Carries workloads.
    Node,
    /// A name of the user's own, usable as the scope of plugins and commands.
    Other(String),
}

impl Role {
    /// The name as written in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Master => "master",
            Self::Node => "node",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        match name {
            "master" => Self::Master,
            "node" => Self::Node,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

//! What a runtime tells beside its plan: its requirements, and how its clusters are reached.

use secret::Secret;

use crate::SecretSpec;

/// What a runtime wants to know and to have before it plans.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Requirements {
    /// The small files of a rootfs that planning reads, where the image has them.
    pub documents: &'static [&'static str],
    /// The secrets that are made before planning, beside those that every cluster has.
    pub secrets: &'static [SecretSpec],
    /// Where a host of the control plane keeps the kubeconfig by which the API is asked; `None` when hosts have none.
    pub admin_kubeconfig: Option<&'static str>,
    /// Whether its clusters run without hosts of ours: a managed Kubernetes. Its steps happen on
    /// [`crate::OPERATOR_HOST`].
    pub without_hosts: bool,
}

/// How a cluster is reached from here.
#[derive(Debug)]
#[non_exhaustive]
pub struct Access {
    /// URL of its API server, for example `https://192.168.0.2:6443`; `None` when it has none.
    pub endpoint: Option<String>,
    /// The administrator's kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// Where the carried container images go.
    pub images: ImageTarget,
}

/// The administrator's kubeconfig of a cluster.
#[derive(Debug)]
#[non_exhaustive]
pub enum Kubeconfig {
    /// The cluster has none: it is no Kubernetes.
    None,
    /// The one that is kept still serves.
    Current,
    /// A new one, to be kept.
    New(Secret),
}

/// Where carried container images go so that the cluster finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageTarget {
    /// To hosts of the cluster, by steps with [`crate::Content`]: they serve them as a registry.
    Hosts,
    /// Into a registry outside the cluster.
    Registry {
        /// Host, port and path before each image's own name, for example `registry.example.com/shop`.
        prefix: String,
    },
}

impl Requirements {
    /// A runtime with hosts that reads these files and wants these secrets.
    #[must_use]
    pub const fn new(documents: &'static [&'static str], secrets: &'static [SecretSpec]) -> Self {
        Self { documents, secrets, admin_kubeconfig: None, without_hosts: false }
    }

    /// The same with the place of the kubeconfig on hosts of the control plane.
    #[must_use]
    pub const fn with_admin_kubeconfig(mut self, path: &'static str) -> Self {
        self.admin_kubeconfig = Some(path);
        self
    }

    /// The same without hosts.
    #[must_use]
    pub const fn without_hosts(mut self) -> Self {
        self.without_hosts = true;
        self
    }
}

impl Access {
    /// A Kubernetes behind this URL whose images go to its hosts.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, kubeconfig: Kubeconfig) -> Self {
        Self { endpoint: Some(endpoint.into()), kubeconfig, images: ImageTarget::Hosts }
    }

    /// A cluster without an API server.
    #[must_use]
    pub fn none() -> Self {
        Self { endpoint: None, kubeconfig: Kubeconfig::None, images: ImageTarget::Hosts }
    }

    /// The same with another place for images.
    #[must_use]
    pub fn with_images(mut self, images: ImageTarget) -> Self {
        self.images = images;
        self
    }
}

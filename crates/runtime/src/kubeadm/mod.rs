//! The kubeadm runtime: which steps make hosts a Kubernetes cluster.

mod care;
mod certificates;
mod config;
mod create;
mod delete;
mod environment;
mod files;
mod paths;
mod render;
mod secret_files;
mod secrets;
mod steps;
mod supports;
mod version;
mod yaml;

use clusterfile::{Change, ChangeKind, Cluster};

use crate::{Error, Facts, Payload, Plan, Runtime};

pub(crate) use config::{asked, version as version_of};
pub(crate) use environment::is_ours as is_our_variable;
pub use secrets::Secrets;
pub use version::{ConfigApi, Version};

/// The small files of a rootfs that planning reads, where the image has them: [`Payload::documents`].
pub const DOCUMENTS: [&str; 3] = ["Metadata", "etc/kubeadm.yml", "etc/kubeadm.yml.tmpl"];

/// Makes clusters with the kubeadm that the image carries.
#[derive(Debug, Default, Clone, Copy)]
pub struct Kubeadm;

impl Runtime for Kubeadm {
    fn name(&self) -> &str {
        "kubernetes"
    }

    fn supports(&self, cluster: &Cluster) -> Result<(), Error> {
        supports::supports(cluster)
    }

    fn plan(&self, change: &Change, facts: &Facts, payload: &Payload<'_>) -> Result<Plan, Error> {
        if change.kind == ChangeKind::Delete {
            return Ok(delete::plan(change, facts, payload.secrets));
        }
        supports::supports(&change.wanted)?;
        supports::supports_change(change, facts, payload)?;
        create::plan(&change.wanted, facts, payload)
    }
}

//! The kubeadm runtime: which steps make hosts a Kubernetes cluster.

use clusterfile::Change;

use crate::{Error, Facts, Payload, Plan, Runtime};

/// The small files of a rootfs that planning reads, where the image has them: [`Payload::documents`].
pub const DOCUMENTS: [&str; 3] = ["Metadata", "etc/kubeadm.yml", "etc/kubeadm.yml.tmpl"];

/// Makes clusters with the kubeadm that the image carries.
#[derive(Debug, Default, Clone, Copy)]
pub struct Kubeadm;

impl Runtime for Kubeadm {
    fn name(&self) -> &str {
        "kubernetes"
    }

    fn plan(&self, change: &Change, facts: &Facts, payload: &Payload<'_>) -> Result<Plan, Error> {
        let _ = (change, facts, payload);
        Err(Error::NotBuilt { what: "planning by kubeadm" })
    }
}

/// Certificates, tokens and keys of a cluster, made before planning and kept in its state directory.
#[derive(Debug)]
pub struct Secrets {}

//! The kubeadm runtime: the steps by which kubeadm makes a Kubernetes cluster of prepared hosts.

mod config;
mod demands;
mod documents;
mod files;
mod join;
mod networks;
mod pki;
mod plan;
mod planner;
mod quorum;
mod render;
mod settings;
mod supports;
mod version;
mod work;

use std::net::SocketAddr;

use clusterfile::{Cluster, Clusterfile};

use crate::host::{self, API_PORT, ControlPlane, Leaving, Script};
use crate::{
    Access, Error, Finding, ImageContents, Plan, Request, Requirements, Runtime, RuntimeName, kubeconfig, preflight,
};

use networks::Networks;
pub use version::{ConfigApi, Version};

/// Where kubeadm puts the administrator's kubeconfig on masters.
const ADMIN_KUBECONFIG: &str = "/etc/kubernetes/admin.conf";
/// Where kubeadm puts the kubelet's kubeconfig on every host.
const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// What kubeadm's scripts share.
const FUNCTIONS: &str = include_str!("scripts/functions.sh");
/// How kubeadm leaves a host.
const LEAVING: Leaving = Leaving {
    title: "kubeadm reset",
    reset: Script::new(include_str!("scripts/reset.sh")),
    kubeconfig: ADMIN_KUBECONFIG,
    functions: FUNCTIONS,
};

static NAME: RuntimeName = RuntimeName::KUBERNETES;

/// Makes clusters with the kubeadm that the image carries.
#[derive(Debug, Default, Clone, Copy)]
pub struct Kubeadm;

impl Kubeadm {
    /// What it wants before planning: the same for every image.
    pub const REQUIREMENTS: Requirements =
        Requirements::new(&["Metadata", "etc/kubeadm.yml", "etc/kubeadm.yml.tmpl"], pki::SPECS)
            .with_admin_kubeconfig(ADMIN_KUBECONFIG);

    /// Whether kubeadm can make a cluster of this shape, of whatever image.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what is still to come, [`Error::InvalidCluster`] for what makes no sense.
    pub fn check(cluster: &Cluster) -> Result<(), Error> {
        supports::cluster(cluster)
    }
}

impl Runtime for Kubeadm {
    fn name(&self) -> &RuntimeName {
        &NAME
    }

    fn requirements(&self) -> Requirements {
        Self::REQUIREMENTS
    }

    fn supports(&self, wanted: &Clusterfile, image: &ImageContents) -> Result<(), Error> {
        supports::image(image)?;
        Self::check(&wanted.cluster)?;
        host::rootfs::check(wanted, image)?;
        Networks::of(wanted, image)?.check(&wanted.cluster, &config::asked(wanted, image)?)
    }

    fn preflight(&self, request: &Request<'_>) -> Vec<Finding> {
        preflight(request, &demands::of(request))
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, Error> {
        if request.is_delete() {
            return Ok(host::leave(request, LEAVING));
        }
        supports::cluster(request.cluster())?;
        supports::request(request)?;
        plan::plan(request)
    }

    fn access(&self, request: &Request<'_>) -> Result<Access, Error> {
        let cluster = request.cluster();
        let master = ControlPlane::of(request)?.successor().address;
        // By the address that answers here: no name needs to resolve.
        let server = format!("https://{}", SocketAddr::new(request.public_address.unwrap_or(master), API_PORT));
        let authority = &request.payload.secrets.authority;
        let kubeconfig = kubeconfig::administrator(request.kubeconfig, &cluster.name, &server, authority)?;
        Ok(Access::new(server, kubeconfig))
    }
}

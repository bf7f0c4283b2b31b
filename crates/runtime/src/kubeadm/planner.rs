//! All that the steps of a kubeadm cluster are made of.

use clusterfile::Host;

use super::config::{self, Documents};
use super::networks::Networks;
use super::version::Version;
use super::{files, settings};
use crate::host::rootfs::Source;
use crate::host::{ClusterNetwork, ContainerEngine, ControlPlane, Script, Setup, id};
use crate::{Error, File, Request, Step};

/// The image's own script that prepares a host for Kubernetes.
const PREPARE: Script = Script::new(include_str!("scripts/prepare.sh"));

/// What is known of the wanted cluster when its steps are made.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) setup: Setup<'a>,
    pub(super) version: Version,
    pub(super) networks: Networks,
}

impl<'a> Planner<'a> {
    pub(super) fn new(request: &Request<'a>) -> Result<Self, Error> {
        let payload = request.payload;
        super::supports::complete(payload.image)?;
        let engine = ContainerEngine::of_image(payload.image)?;
        let version = config::version(payload.image, &config::asked(request.wanted, payload.image)?)?;
        version.config_api()?;
        let setup = Setup {
            request: *request,
            control_plane: ControlPlane::of(request)?,
            engine,
            network: ClusterNetwork::default(),
            functions: super::FUNCTIONS,
            kubeconfig: super::ADMIN_KUBECONFIG,
            kubelet_kubeconfig: super::KUBELET_KUBECONFIG,
            rootfs: Default::default(),
            own_settings: Default::default(),
            htpasswd: Default::default(),
            version: version.to_string(),
        };
        let mut planner = Self { setup, version, networks: Networks::of(request.wanted, payload.image)? };
        // For everything that is the same on all hosts.
        let documents = planner.documents_for(planner.setup.control_plane.entry())?;
        planner.networks.check(request.cluster(), &documents)?;
        settings::refuse_other_networks(request, &planner.networks)?;
        let virtual_address = planner.setup.control_plane.service().ip();
        settings::refuse_other_address(request, &documents.proxy, virtual_address)?;
        planner.setup.network = documents.network();
        let hosts = request.cluster().hosts.iter().map(|host| (host, request.image_for(host.address)));
        let source = Source { wanted: request.wanted, image: payload.image, engine, network: &planner.setup.network };
        planner.setup.rootfs = source.files(hosts)?;
        planner.setup.own_settings = settings::of(request, &documents, &planner.networks, virtual_address);
        Ok(planner)
    }

    /// The files that kubeadm reads on a host.
    pub(super) fn kubeadm_files(&self, host: &Host) -> Result<Vec<File>, Error> {
        let api = self.version.config_api()?;
        let documents: Documents = self.documents_for(host)?;
        let cluster = &self.setup.cluster().name;
        let secrets = self.setup.request.payload.secrets;
        let mut own = Vec::new();
        if host.is_master() {
            own.extend(files::control_plane(cluster, secrets, &documents.init_file(api))?);
        }
        if !host.is_master() || host.address != self.setup.control_plane.entry().address {
            own.extend(files::join(cluster, secrets, &documents.join_file(api)));
        }
        Ok(own)
    }

    /// The image's own preparation of a host.
    pub(super) fn prepare_kubernetes(&self, host: &Host) -> Step {
        let run = self.setup.run(host, PREPARE);
        Step::run(id("init-kube", host.address), [host.address], run).titled("kubernetes")
    }

    pub(super) fn carries_coredns(&self) -> bool {
        let images = &self.setup.request.payload.image.carried_images;
        images.iter().filter_map(|name| config::image_parts(name)).any(|(_, image, _)| image == "coredns")
    }

    /// Parts of `kubeadm init` that the image has nothing for.
    pub(super) fn phases_to_skip(&self) -> Vec<&'static str> {
        if self.carries_coredns() { Vec::new() } else { vec!["addon/coredns"] }
    }
}

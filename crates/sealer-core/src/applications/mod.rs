//! Runs application images on clusters that stand, and takes them away again.
//!
//! Their content goes to the registries of the cluster, their files to a master, and their launch commands run there.
//! Kubernetes itself is not touched: the cluster is not compared with any Clusterfile.

mod error;
mod record;
mod remove;
mod resolve;
mod undo;
mod work;

use cloudimage::{Image, ImageKind};
use clusterfile::Clusterfile;

pub use error::ApplicationError;
pub(crate) use record::{FILE, Record, in_use};
pub use record::{InstallState, InstalledApplication, InstalledImage};
pub use remove::{RemoveApplication, plan_removal, remove_application};
pub(crate) use resolve::{Resolved, check, resolve};
pub(crate) use work::{plan, run};

use crate::plugins::RUNTIME_LABEL;
use crate::target::Target;
use crate::wanted::set_env;
use crate::{ClusterState, Error, RunRequest, Sealer, Wanted, scale};

/// What stands for the directory of the cluster's own image.
const CLUSTER_IMAGE: &str = "";

/// Whether an image only runs on clusters that stand: it brings no Kubernetes, and names no runtime that makes one of it.
pub(crate) fn is_application(image: &Image) -> bool {
    image.extension().kind == ImageKind::AppInstaller && !image.labels().contains_key(RUNTIME_LABEL)
}

/// What the images of a cluster launched, as it is remembered here: its own first.
///
/// # Errors
///
/// [`Error::NoCluster`] when nothing is remembered of it, [`Error::WhichCluster`] when none is named and there is not
/// exactly one.
pub fn applications(sealer: &Sealer, cluster: Option<&str>) -> Result<Vec<InstalledImage>, Error> {
    let known = scale::current(sealer, cluster, None)?;
    let mut images = Record::read_of(sealer.state(), &known.cluster.name)?.images;
    images.retain(|image| !image.applications.is_empty());
    Ok(images)
}

/// Remembers what the image of a cluster launched, once it has.
pub(crate) fn remember(state: &ClusterState, target: &Target<'_>) -> Result<(), Error> {
    let mut record = Record::read(state)?;
    let (image, launch) = (&target.image, target.launch.digest(target.cluster()));
    if record.image(CLUSTER_IMAGE).is_some_and(|known| (&known.digest, &known.launch) == (&image.digest, &launch)) {
        return Ok(());
    }
    let applications = record.running(CLUSTER_IMAGE, &target.launch.applications);
    record.images.retain(|known| !known.is_cluster_image);
    if !applications.is_empty() {
        let all = std::iter::once(image).chain(&image.others);
        record.put(InstalledImage {
            image: image.name.clone(),
            digest: image.digest.clone(),
            is_cluster_image: true,
            state: InstallState::Launched,
            applications,
            directory: CLUSTER_IMAGE.to_owned(),
            bytes: image.rootfs_bytes + image.carried_bytes,
            platforms: all.map(|one| one.platform.clone()).collect(),
            launch,
            has_helm: image.has("bin/helm"),
        });
    }
    record.write(state)
}

/// The request to run an application image: the cluster that is meant, as it is remembered.
pub(crate) fn wanted(sealer: &Sealer, request: RunRequest) -> Result<Wanted, Error> {
    let RunRequest { masters, nodes, provider, pod_cidr, service_cidr, interface, .. } = &request;
    let asked = [masters, nodes, provider, pod_cidr, service_cidr, interface];
    let options = ["--masters", "--nodes", "--provider", "--podcidr", "--svccidr", "--interface"];
    if let Some((_, option)) = asked.into_iter().zip(options).find(|(asked, _)| asked.is_some()) {
        return Err(ApplicationError::NoHosts { image: request.image.clone(), option }.into());
    }
    let known = scale::current(sealer, request.cluster_name.as_deref(), None)?;
    let mut cluster = known.cluster;
    cluster.image = request.image;
    cluster.commands = request.commands;
    cluster.app_names = request.apps;
    cluster.command_args = request.command_args;
    request.login.overlay(&mut cluster);
    set_env(&mut cluster, &request.env)?;
    Ok(Wanted { keeps_hosts: true, ..Clusterfile::from(cluster).into() })
}

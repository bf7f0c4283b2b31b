//! What a workflow is asked for: the wanted Clusterfile, its image, and who makes hosts and cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use atomic_file::BYTE_ORDER_MARK;
use cloudimage::Image;
use clusterfile::{Cluster, Clusterfile};
use infra_provider::Provider;
use remote::Secret;
use runtime::{Drain, Facts, HostUpdate, ImageContents, ManagedCluster, Payload, Request, Runtime, Secrets};
use tokio::task::spawn_blocking;

use crate::change;
use crate::external_registry::Carried;
use crate::plugins::RUNTIME_ANNOTATION;
use crate::run::Run;
use crate::{Error, Wanted, unsupported};

/// No document of an image that planning reads is larger than this.
const DOCUMENT_LIMIT: u64 = 1 << 20;

/// A wanted cluster; each step of a workflow adds what it found out.
pub(crate) struct Target<'a> {
    /// What is wanted; with all hosts once its provider has given them.
    pub(crate) wanted: Clusterfile,
    /// The cluster as it is remembered here, if it is.
    pub(crate) current: Option<Cluster>,
    /// Machines that the provider must change.
    pub(crate) updates: Vec<HostUpdate>,
    /// Machines of the cluster that exist, as their provider says, and that nobody asks for.
    pub(crate) unclaimed: Vec<IpAddr>,
    /// The control plane that the provider runs, once it has given it.
    pub(crate) managed: Option<ManagedCluster>,
    pub(crate) image: ImageContents,
    /// The container images that the image carries.
    pub(crate) carried: Vec<Carried>,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) runtime: &'a dyn Runtime,
    launch: Vec<String>,
    /// Whether no host may leave by this request.
    pub(crate) keeps_hosts: bool,
    /// Remarks for the plan.
    pub(crate) notes: Vec<String>,
}

/// Refuses what is not supported, and makes paths absolute.
pub(crate) fn parse(run: &Run<'_>, mut wanted: Wanted) -> Result<Wanted, Error> {
    unsupported::refuse(&wanted.clusterfile)?;
    keys_from_anywhere(&mut wanted.clusterfile.cluster);
    run.sealer.provider_for(&wanted.clusterfile.cluster)?;
    Ok(wanted)
}

/// Finds the image, chooses the runtime, and reads what planning needs.
pub(crate) async fn fetch<'a>(run: &Run<'a>, wanted: Wanted) -> Result<Target<'a>, Error> {
    let Wanted { clusterfile: mut wanted, notes, keeps_hosts } = wanted;
    // Somebody may hand in what was remembered in the middle of a change.
    change::unmark(&mut wanted.cluster);
    let aborted = |source| Error::Aborted { act: "reading the image", source };
    let (images, name) = (run.sealer.images().clone(), wanted.cluster.image.clone());
    let image = spawn_blocking(move || images.get(&name)).await.map_err(aborted)??;
    let provider = run.sealer.provider_for(&wanted.cluster)?;
    let runtime = run.sealer.runtime_for(&image)?;
    let launch = launch(&image, &wanted.cluster);
    let carried = carried(&image)?;
    let (documents, name) = (runtime.requirements().documents, wanted.cluster.image.clone());
    let image = spawn_blocking(move || contents(&image, name, documents)).await.map_err(aborted)??;
    for message in unsupported::without_effect(&wanted.cluster, &launch, &image.files) {
        run.warn(message);
    }
    wanted.cluster.annotations.insert(RUNTIME_ANNOTATION.to_owned(), runtime.name().to_string());
    let current = run.sealer.state().clusterfile(&wanted.cluster.name)?.map(|file| file.cluster);
    let (updates, unclaimed) = (Vec::new(), Vec::new());
    Ok(Target {
        wanted,
        current,
        updates,
        unclaimed,
        managed: None,
        image,
        carried,
        provider,
        runtime,
        launch,
        keeps_hosts,
        notes,
    })
}

/// What planning reads of an image.
fn contents(image: &Image, name: String, documents: &[&str]) -> Result<ImageContents, Error> {
    let mut contents = ImageContents::named(name);
    contents.digest = image.index_digest().to_string();
    contents.platform = image.platform().to_string();
    contents.labels = image.labels().clone();
    contents.files = image.list_files()?;
    contents.documents = without_marks(image.read_files(documents, DOCUMENT_LIMIT)?);
    contents.carried_images = image.catalogue().images.iter().map(|image| image.name.clone()).collect();
    contents.rootfs_bytes = image.rootfs_bytes();
    contents.carried_bytes = image.carried_bytes();
    Ok(contents)
}

/// The container images that an image carries, under the names by which clusters ask for them.
fn carried(image: &Image) -> Result<Vec<Carried>, Error> {
    let carried = |image: &cloudimage::CarriedImage| {
        let reference = image.reference.parse().map_err(content_store::Error::from)?;
        Ok(Carried { reference, digest: image.digest })
    };
    image.catalogue().images.iter().map(carried).collect()
}

/// Documents that people wrote, without their byte order marks, which are no JSON.
fn without_marks(mut documents: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    for text in documents.values_mut().filter(|text| text.starts_with(BYTE_ORDER_MARK)) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    documents
}

/// The commands that launch the image: its own, or those that the Clusterfile gives instead.
fn launch(image: &Image, cluster: &Cluster) -> Vec<String> {
    if cluster.commands.is_empty() {
        return image.launch_commands(&cluster.command_args);
    }
    let mut extension = image.extension().clone();
    extension.launch.cmds.clone_from(&cluster.commands);
    extension.launch.app_names.clear();
    extension.launch_commands(&cluster.command_args)
}

/// Makes the paths of keys absolute: the cluster will also be used and deleted from other directories.
fn keys_from_anywhere(cluster: &mut Cluster) {
    let hosts = cluster.hosts.iter_mut().map(|host| &mut host.ssh);
    for key in std::iter::once(&mut cluster.ssh).chain(hosts).filter_map(|ssh| ssh.private_key.as_mut()) {
        if key.starts_with('~') {
            continue; // Only whoever knows the user's home can say where that is.
        }
        if let Some(absolute) = std::path::absolute(&*key).ok().and_then(|path| path.to_str().map(str::to_owned)) {
            *key = absolute;
        }
    }
}

impl Target<'_> {
    /// The wanted cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.wanted.cluster
    }

    /// Refuses what runtime or provider cannot do, before anything is remembered of it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.runtime.supports(&self.wanted, &self.image)?;
        Ok(self.provider.check(self.cluster())?)
    }

    /// Whether all hosts are known without asking the provider; a runtime without hosts has all of none.
    pub(crate) fn has_hosts(&self) -> bool {
        let known = self.current.as_ref().is_some_and(|current| !current.hosts.is_empty());
        known || !self.cluster().hosts.is_empty() || self.runtime.requirements().without_hosts
    }

    /// What image and secrets bring to planning.
    pub(crate) fn payload<'p>(&'p self, secrets: &'p Secrets) -> Payload<'p> {
        Payload::new(&self.image, secrets).with_launch(self.launch.clone())
    }

    /// The request for planning; `kubeconfig` is the one that is kept now.
    pub(crate) fn request<'r>(
        &'r self,
        facts: &'r Facts,
        payload: &'r Payload<'r>,
        kubeconfig: Option<&'r Secret>,
        drain: Drain,
    ) -> Request<'r> {
        Request::new(&self.wanted, facts, payload)
            .with_updates(&self.updates)
            .with_public_address(self.provider.public_address(self.cluster()))
            .with_kubeconfig(kubeconfig)
            .with_managed(self.managed.as_ref())
            .with_drain(drain)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn documents_of_an_image_lose_their_byte_order_marks() {
        let documents =
            [("Metadata", "\u{feff}{}"), ("etc/kubeadm.yml", "a: 1")].map(|(path, text)| (path.into(), text.into()));
        let read = without_marks(documents.into());
        assert_eq!((&*read["Metadata"], &*read["etc/kubeadm.yml"]), (b"{}".as_slice(), b"a: 1".as_slice()));
    }

    #[test]
    fn keys_are_remembered_by_whole_paths() {
        let mut cluster = Cluster::new("a", "i:1");
        cluster.ssh.private_key = Some("keys/id".to_owned());
        cluster.add_hosts(&clusterfile::Role::Master, ["10.0.0.1".parse().unwrap()]);
        cluster.hosts[0].ssh.private_key = Some("/root/.ssh/id".to_owned());
        keys_from_anywhere(&mut cluster);
        let key = cluster.ssh.private_key.as_deref().unwrap();
        assert!(key.starts_with('/') && key.ends_with("/keys/id"), "{key}");
        assert_eq!(cluster.hosts[0].ssh.private_key.as_deref(), Some("/root/.ssh/id"));
    }
}

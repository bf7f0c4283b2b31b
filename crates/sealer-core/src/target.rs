//! What a workflow is asked for: the wanted Clusterfile, its image, and who makes hosts and cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use atomic_file::BYTE_ORDER_MARK;
use cloudimage::{Image, Images, Platform};
use clusterfile::{Cluster, Clusterfile};
use content_store::{Digest, GcGuard};
use infra_provider::Provider;
use remote::Secret;
use runtime::{
    ApplicationContent, Facts, HostFacts, HostUpdate, ImageContents, ManagedCluster, MarkerState, Payload, Request,
    Runtime, Secrets,
};
use tokio::task::spawn_blocking;

use crate::applications::Resolved;
use crate::change;
use crate::external_registry::Carried;
use crate::plugins::RUNTIME_ANNOTATION;
use crate::run::Run;
use crate::{ApplyOptions, ClusterState, Error, Wanted, applications, image_plugins, pull, unsupported};

/// No document of an image that planning reads is larger than this.
const DOCUMENT_LIMIT: u64 = 1 << 20;

/// A wanted cluster; each step of a workflow adds what it found out.
pub(crate) struct Target<'a> {
    /// What is wanted; with all hosts once its provider has given them.
    pub(crate) wanted: Clusterfile,
    /// The cluster as it is remembered here, if it is.
    pub(crate) current: Option<Cluster>,
    /// The same with the labels that its plugins gave.
    known: Option<Cluster>,
    /// Machines that the provider must change.
    pub(crate) updates: Vec<HostUpdate>,
    /// Machines of the cluster that exist, as their provider says, and that nobody asks for.
    pub(crate) unclaimed: Vec<IpAddr>,
    /// The control plane that the provider runs, once it has given it.
    pub(crate) managed: Option<ManagedCluster>,
    pub(crate) image: ImageContents,
    /// What the image is called by here: that of the Clusterfile, or the digest of what was imported from it.
    name: String,
    /// What is imported or pulled to plan has no name that keeps it.
    _guard: GcGuard,
    /// The container images that the image carries.
    pub(crate) carried: Vec<Carried>,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) runtime: &'a dyn Runtime,
    /// What the image launches.
    pub(crate) launch: Resolved,
    /// The applications of the image.
    pub(crate) application_names: Vec<String>,
    /// Whether it is an image that only runs on clusters that stand.
    pub(crate) is_application: bool,
    /// What is wanted with what plugins say of hosts, once these are known.
    planned: Option<Clusterfile>,
    /// The content of application images that the cluster runs besides.
    applications: Vec<ApplicationContent>,
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
///
/// An image that is not here is pulled; to plan, without what it carries.
pub(crate) async fn fetch<'a>(run: &Run<'a>, wanted: Wanted, only_to_plan: bool) -> Result<Target<'a>, Error> {
    let Wanted { clusterfile: mut wanted, mut notes, keeps_hosts } = wanted;
    // Somebody may hand in what was remembered in the middle of a change.
    change::unmark(&mut wanted.cluster);
    let aborted = |source| Error::Aborted { act: "reading the image", source };
    let content = run.sealer.images().content().clone();
    let guard = spawn_blocking(move || content.gc_guard()).await.map_err(aborted)??;
    let cancel = &run.options.cancel;
    notes.extend(pull::provide(run.sealer, &wanted.cluster.image, only_to_plan, cancel, run.events).await?);
    let name = with_registry(run, &wanted.cluster.image, &mut notes, only_to_plan).await?;
    let (images, found) = (run.sealer.images().clone(), name.clone());
    let image = spawn_blocking(move || images.get_any(&found)).await.map_err(aborted)??;
    let provider = run.sealer.provider_for(&wanted.cluster)?;
    let runtime = run.sealer.runtime_for(&image)?;
    let is_application = applications::is_application(&image);
    let current = run.sealer.state().clusterfile(&wanted.cluster.name)?.map(|file| file.cluster);
    if !is_application {
        image_plugins::add(&mut wanted, &image)?;
        runtime::with_plugins(&wanted, current.as_ref())?;
        runtime::host_names(&wanted)?;
    } else {
        let has_plugins = image.list_files()?.iter().any(|file| file.starts_with("plugins/"));
        if has_plugins || !wanted.configs.is_empty() || !wanted.plugins.is_empty() {
            run.warn(format!(
                "{} is an application image: Config and Plugin documents, and plugins in it, have no effect",
                wanted.cluster.image
            ));
        }
        wanted.configs.clear();
        wanted.plugins.clear();
    }
    let launch = applications::resolve(&image, &wanted)?;
    let application_names = image.extension().applications.iter().map(|one| one.name.clone()).collect();
    let carried = carried(&image)?;
    let (documents, shown) = (runtime.requirements().documents, wanted.cluster.image.clone());
    let read = move || Ok::<_, Error>((contents(&image, shown, documents, &wanted)?, wanted));
    let (image, mut wanted) = spawn_blocking(read).await.map_err(aborted)??;
    for message in unsupported::without_effect(&wanted, &launch.commands, &image) {
        run.warn(message);
    }
    wanted.cluster.annotations.insert(RUNTIME_ANNOTATION.to_owned(), runtime.name().to_string());
    let (updates, unclaimed) = (Vec::new(), Vec::new());
    Ok(Target {
        wanted,
        current,
        known: None,
        updates,
        unclaimed,
        managed: None,
        image,
        name,
        _guard: guard,
        carried,
        provider,
        runtime,
        launch,
        application_names,
        is_application,
        planned: None,
        applications: Vec::new(),
        keeps_hosts,
        notes,
    })
}

/// Imports the container images that an image of upstream's keeps as files; its name stands for the image that carries
/// them from then on, unless a plan is all that is wanted. Gives what the image is called by.
async fn with_registry(
    run: &Run<'_>,
    image: &str,
    notes: &mut Vec<String>,
    only_to_plan: bool,
) -> Result<String, Error> {
    let (images, name) = (run.sealer.images().clone(), image.to_owned());
    let is_name = name.parse::<content_store::Reference>().is_ok_and(|name| name.digest().is_none());
    let imported = spawn_blocking(move || {
        let _guard = images.content().gc_guard()?;
        let Some(imported) = images.import_registry(&name)? else { return Ok(None) };
        // A shortened digest looks like a name, and is none here.
        let is_name = is_name && images.get_any(&name)?.name() != imported.from.to_string();
        let is_name = is_name && !only_to_plan;
        if is_name {
            images.adopt(&name, &imported)?;
        }
        Ok::<_, cloudimage::Error>(Some((imported, is_name)))
    });
    let aborted = |source| Error::Aborted { act: "importing the image's registry", source };
    let Some((imported, is_name)) = imported.await.map_err(aborted)?? else { return Ok(image.to_owned()) };
    imported.left_out.iter().for_each(|line| run.warn(format!("{image}: {line}")));
    notes.push(format!("{} container images were imported out of the registry in {image}", imported.images));
    Ok(if is_name { image.to_owned() } else { imported.to.to_string() })
}

/// What planning reads of an image for those of the platforms that it has; none when it has none of them.
fn contents_of(
    images: &Images,
    [name, shown]: [&str; 2],
    platforms: &[Platform],
    documents: &[&str],
    wanted: &Clusterfile,
) -> Result<Option<(ImageContents, Vec<Carried>)>, Error> {
    let (mut all, mut blobs, mut read) = (Vec::new(), BTreeMap::new(), Vec::new());
    for platform in platforms {
        let image = match images.get_for(name, platform) {
            Err(cloudimage::Error::NoPlatform { .. }) => continue,
            image => image?,
        };
        blobs.extend(image.layers().iter().map(|layer| (layer.digest, layer.size)));
        blobs.extend(image.carried_blobs());
        all.push(contents(&image, shown.to_owned(), documents, wanted)?);
        read.push(image);
    }
    // What the platforms carry different images of is one image for all of them, as the masters serve it.
    let named = cloudimage::carried_names(images.content(), &read)?;
    let carried = named.iter().map(|image| {
        let reference = image.name.parse().map_err(content_store::Error::from)?;
        let digest = Digest::try_from(image.descriptor.digest()).map_err(content_store::Error::from)?;
        let of_name = read.iter().flat_map(|image| &image.catalogue().images);
        let images = of_name.filter(|carried| carried.reference == image.name).cloned().collect();
        Ok(Carried { reference, digest, images })
    });
    let carried = carried.collect::<Result<_, Error>>()?;
    let mut all = all.into_iter();
    Ok(all.next().map(|mut first| {
        first.others = all.collect();
        first.all_bytes = blobs.values().sum();
        (first, carried)
    }))
}

/// What planning reads of an image.
fn contents(image: &Image, name: String, documents: &[&str], wanted: &Clusterfile) -> Result<ImageContents, Error> {
    let mut contents = ImageContents::named(name);
    contents.digest = image.index_digest().to_string();
    contents.platform = image.platform().to_string();
    contents.labels = image.labels().clone();
    contents.files = image.list_files()?;
    let templates = runtime::files_to_read(&contents.files, wanted);
    let read: Vec<&str> = documents.iter().copied().chain(templates.iter().map(String::as_str)).collect();
    contents.documents = without_marks(image.read_files(&read, DOCUMENT_LIMIT)?);
    contents.env.clone_from(&image.extension().env);
    let applications = image.extension().applications.iter();
    contents.application_env = applications.map(|known| (known.name.clone(), known.env.clone())).collect();
    contents.carried_images = image.catalogue().images.iter().map(|image| image.name.clone()).collect();
    contents.rootfs_bytes = image.rootfs_bytes();
    contents.carried_bytes = image.carried_bytes();
    Ok(contents)
}

/// The container images that an image carries, under the names by which clusters ask for them.
fn carried(image: &Image) -> Result<Vec<Carried>, Error> {
    let carried = |image: &cloudimage::CarriedImage| {
        let reference = image.reference.parse().map_err(content_store::Error::from)?;
        Ok(Carried { reference, digest: image.digest, images: vec![image.clone()] })
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
    /// Reads the image for the platforms of the hosts, that of the first master first.
    pub(crate) async fn read_for(&mut self, run: &Run<'_>, facts: &Facts) -> Result<(), Error> {
        let (masters, nodes): (Vec<_>, Vec<_>) = self.cluster().hosts.iter().partition(|host| host.is_master());
        let machines = masters.into_iter().chain(nodes).filter_map(|host| facts.hosts.get(&host.address));
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in machines.map(|host| Platform::of_machine(&host.arch)) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        let known: Option<Platform> = self.image.platform.parse().ok();
        if platforms.len() < 2 && platforms.first().is_none_or(|only| known.is_some_and(|known| known.serves(only))) {
            return Ok(());
        }
        let (images, name, shown) = (run.sealer.images().clone(), self.name.clone(), self.cluster().image.clone());
        let (documents, wanted) = (self.runtime.requirements().documents, self.wanted.clone());
        let read = spawn_blocking(move || contents_of(&images, [&name, &shown], &platforms, documents, &wanted));
        let read = read.await.map_err(|source| Error::Aborted { act: "reading the image", source })??;
        // One for none of them is told by the preflight.
        if let Some((contents, carried)) = read {
            (self.image, self.carried) = (contents, carried);
        }
        Ok(())
    }

    /// Adds what plugins say of hosts, and the application images that the cluster runs. Hosts that are not finished count
    /// under the names that they will get.
    pub(crate) fn settle(&mut self, state: &ClusterState, facts: &mut Facts) -> Result<(), Error> {
        self.applications = applications::Record::read(state)?.contents();
        self.known = state.clusterfile()?.map(|file| crate::delete::labelled(file).cluster);
        let planned = runtime::with_plugins(&self.wanted, self.current.as_ref())?;
        for (address, name) in runtime::host_names(&planned)? {
            let finished = |host: &HostFacts| {
                let marker = host.marker.as_ref().filter(|marker| marker.cluster == planned.cluster.name);
                marker.is_some_and(|marker| marker.state == MarkerState::Ready)
            };
            match facts.hosts.get_mut(&address).filter(|host| !finished(host)) {
                Some(host) if planned.cluster.host(address).is_some() => host.hostname = name,
                _ => {}
            }
        }
        self.planned = Some(planned);
        Ok(())
    }

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
        let mut payload = Payload::new(&self.image, secrets).with_launch(self.launch.commands.clone());
        payload.launch_files.clone_from(&self.launch.files);
        payload.applications.clone_from(&self.applications);
        payload
    }

    /// The request for planning; `kubeconfig` is the one that is kept now.
    pub(crate) fn request<'r>(
        &'r self,
        facts: &'r Facts,
        payload: &'r Payload<'r>,
        kubeconfig: Option<&'r Secret>,
        options: &ApplyOptions,
    ) -> Request<'r> {
        let mut request = Request::new(self.planned.as_ref().unwrap_or(&self.wanted), facts, payload);
        request.updates = &self.updates;
        request.public_address = self.provider.public_address(self.cluster());
        (request.kubeconfig, request.managed) = (kubeconfig, self.managed.as_ref());
        (request.drain, request.plugin_seconds) = (options.drain, options.plugin_timeout.as_secs());
        request.known = self.known.as_ref();
        request
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

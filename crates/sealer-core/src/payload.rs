//! Reads what planning needs of the wanted Clusterfile and its image.

use cloudimage::Image;
use clusterfile::{Cluster, Clusterfile};
use runtime::{ImageContents, Payload, Secrets};

use crate::{Error, Event, Events, Sealer, unsupported};

/// None of them is larger than this.
const DOCUMENT_LIMIT: u64 = 1 << 20;

/// An image that was found and the Clusterfile that wants it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) wanted: Clusterfile,
    pub(crate) image: Image,
    pub(crate) contents: ImageContents,
}

/// Refuses what cannot be done yet, finds the image and reads what planning needs of it.
pub(crate) async fn prepare(sealer: &Sealer, mut wanted: Clusterfile, events: Events<'_>) -> Result<Prepared, Error> {
    unsupported::refuse(&wanted)?;
    keys_from_anywhere(&mut wanted.cluster);
    sealer.provider_for(&wanted.cluster)?;
    let images = sealer.images().clone();
    let name = wanted.cluster.image.clone();
    let aborted = |source| Error::Aborted { act: "reading the image", source };
    let found = tokio::task::spawn_blocking(move || images.get(&name));
    let image = found.await.map_err(aborted)??;
    let documents = sealer.runtime_for(&image)?.requirements().documents;
    let name = wanted.cluster.image.clone();
    let read = tokio::task::spawn_blocking(move || {
        let contents = contents(&image, name, documents)?;
        Ok::<_, Error>((image, contents))
    });
    let (image, contents) = read.await.map_err(aborted)??;
    let prepared = Prepared { wanted, image, contents };
    let cluster = &prepared.wanted.cluster;
    for message in unsupported::without_effect(cluster, &prepared.launch(cluster), &prepared.contents.files) {
        events(Event::Warning { message });
    }
    Ok(prepared)
}

/// What planning reads of an image.
fn contents(image: &Image, name: String, documents: &[&str]) -> Result<ImageContents, Error> {
    let mut contents = ImageContents::named(name);
    contents.digest = image.index_digest().to_string();
    contents.platform = image.platform().to_string();
    contents.labels = image.labels().clone();
    contents.files = image.list_files()?;
    contents.documents = image.read_files(documents, DOCUMENT_LIMIT)?;
    contents.carried_images = image.catalogue().images.iter().map(|image| image.name.clone()).collect();
    contents.rootfs_bytes = image.rootfs_bytes();
    contents.carried_bytes = image.carried_bytes();
    Ok(contents)
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

impl Prepared {
    /// Digest of the image's index, by which hosts ask for it.
    pub(crate) fn image_digest(&self) -> String {
        self.image.index_digest().to_string()
    }

    /// The commands that launch the image: its own, or those that the Clusterfile gives instead.
    fn launch(&self, cluster: &Cluster) -> Vec<String> {
        if cluster.commands.is_empty() {
            return self.image.launch_commands(&cluster.command_args);
        }
        let mut extension = self.image.extension().clone();
        extension.launch = cloudimage::Launch { cmds: cluster.commands.clone(), app_names: Vec::new() };
        extension.launch_commands(&cluster.command_args)
    }

    /// The payload for planning this Clusterfile.
    pub(crate) fn payload<'a>(&'a self, wanted: &Clusterfile, secrets: &'a Secrets) -> Payload<'a> {
        Payload::new(&self.contents, secrets).with_launch(self.launch(&wanted.cluster))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

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

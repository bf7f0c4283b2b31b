//! Reads what planning needs of the wanted Clusterfile and its image.

use std::collections::BTreeMap;

use cloudimage::Image;
use clusterfile::{Cluster, Clusterfile};
use runtime::{Payload, Secrets};

use crate::{Error, Event, Events, Sealer, unsupported};

/// None of them is larger than this.
const DOCUMENT_LIMIT: u64 = 1 << 20;

/// An image that was found and the Clusterfile that wants it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) wanted: Clusterfile,
    pub(crate) image: Image,
    files: Vec<String>,
    documents: BTreeMap<String, Vec<u8>>,
}

/// Refuses what cannot be done yet, finds the image and reads what planning needs of it.
pub(crate) async fn prepare(sealer: &Sealer, mut wanted: Clusterfile, events: Events<'_>) -> Result<Prepared, Error> {
    unsupported::refuse(&wanted)?;
    keys_from_anywhere(&mut wanted.cluster);
    sealer.provider_for(&wanted.cluster)?;
    let images = sealer.images().clone();
    let name = wanted.cluster.image.clone();
    let read = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        let image = images.get(&name)?;
        let files = image.list_files()?;
        let documents = image.read_files(&runtime::kubeadm::DOCUMENTS, DOCUMENT_LIMIT)?;
        Ok((image, files, documents))
    });
    let (image, files, documents) =
        read.await.map_err(|source| Error::Aborted { act: "reading the image", source })??;
    if !files.iter().any(|file| file == "bin/kubeadm" || file.starts_with("bin/k")) {
        return Err(Error::ApplicationImage { image: wanted.cluster.image });
    }
    let prepared = Prepared { wanted, image, files, documents };
    let cluster = &prepared.wanted.cluster;
    for message in unsupported::without_effect(cluster, &prepared.launch(cluster), &prepared.files) {
        events(Event::Warning { message });
    }
    Ok(prepared)
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
    pub(crate) fn payload<'a>(&self, wanted: &Clusterfile, secrets: &'a Secrets) -> Payload<'a> {
        let cluster = &wanted.cluster;
        Payload {
            image: cluster.image.clone(),
            image_digest: self.image_digest(),
            platform: self.image.platform().to_string(),
            labels: self.image.labels().clone(),
            files: self.files.clone(),
            documents: self.documents.clone(),
            carried_images: self.image.catalogue().images.iter().map(|image| image.name.clone()).collect(),
            rootfs_bytes: self.image.rootfs_bytes(),
            carried_bytes: self.image.carried_bytes(),
            launch: self.launch(cluster),
            kubeadm_documents: wanted.kubeadm.clone(),
            secrets,
        }
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

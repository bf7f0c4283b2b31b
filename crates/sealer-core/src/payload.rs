//! What do the wanted Clusterfile and its image bring to planning?

use std::collections::BTreeMap;

use cloudimage::Image;
use clusterfile::{Cluster, Clusterfile};
use runtime::{Payload, Secrets};

use crate::{Error, Event, Events, Sealer, unbuilt};

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
pub(crate) async fn prepare(sealer: &Sealer, wanted: Clusterfile, events: Events<'_>) -> Result<Prepared, Error> {
    unbuilt::refuse(&wanted)?;
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
    for message in unbuilt::without_effect(cluster, &prepared.launch(cluster), &prepared.files) {
        events(Event::Warning { message });
    }
    Ok(prepared)
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

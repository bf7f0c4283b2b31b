//! What do the wanted Clusterfile and its image bring to planning?

use std::collections::BTreeMap;

use cloudimage::Image;
use clusterfile::Clusterfile;
use runtime::{Payload, Secrets};

use crate::{Error, Sealer};

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

/// Finds the image and reads what planning needs of it.
pub(crate) async fn prepare(sealer: &Sealer, wanted: Clusterfile) -> Result<Prepared, Error> {
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
    Ok(Prepared { wanted, image, files, documents })
}

impl Prepared {
    /// Digest of the image's index, by which hosts ask for it.
    pub(crate) fn image_digest(&self) -> String {
        self.image.index_digest().to_string()
    }

    /// The payload for planning this Clusterfile.
    pub(crate) fn payload<'a>(&self, wanted: &Clusterfile, secrets: &'a Secrets) -> Payload<'a> {
        let cluster = &wanted.cluster;
        let launch = if cluster.commands.is_empty() {
            self.image.launch_commands(&cluster.command_args)
        } else {
            cluster.commands.clone()
        };
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
            launch,
            kubeadm_documents: wanted.kubeadm.clone(),
            secrets,
        }
    }
}

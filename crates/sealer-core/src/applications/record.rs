//! Remembers in the state of a cluster which images launched what on it: `applications.json`, also part of the copy in the cluster.

use std::collections::BTreeSet;

use clusterfile::Cluster;
use content_store::Digest;
use runtime::ApplicationContent;
use serde::{Deserialize, Serialize};

use super::ApplicationError;
use crate::change::APPLIED;
use crate::{ClusterState, Error, Sealer, State};

/// Name of the file in a cluster's state.
pub(crate) const FILE: &str = "applications.json";

/// What runs on a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The cluster's own image first, then application images in the order in which they came.
    pub(crate) images: Vec<InstalledImage>,
}

/// An image that launched something on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InstalledImage {
    /// Its name as it was given.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// Whether it is the image that the cluster was made of.
    pub is_cluster_image: bool,
    /// How far it is.
    pub state: InstallState,
    /// What it launched, in order.
    pub applications: Vec<InstalledApplication>,
    /// Name of the directory of its files, below `applications/` of the cluster's data on masters.
    pub directory: String,
    /// Bytes of its rootfs and carried images.
    pub bytes: u64,
    /// Its platforms on this cluster.
    pub platforms: Vec<String>,
    /// What tells this launch from one with other commands, variables or files.
    pub launch: String,
    /// Whether it brings its own helm.
    #[serde(default)]
    pub has_helm: bool,
}

/// How far an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstallState {
    /// It is being launched, or that failed: the same command again continues.
    Launching,
    /// All of its commands succeeded.
    Launched,
    /// It is being removed, or that failed: the same command again continues.
    Removing,
}

/// One application, or the commands of an image that are of none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InstalledApplication {
    /// Its name; empty for commands that are of no application.
    pub name: String,
    /// `helm`, `kube`, `shell`, or empty.
    pub kind: String,
    /// The version of its chart; empty when it has none.
    pub version: String,
    /// The commands that launched it.
    pub commands: Vec<String>,
    /// The commands that remove it, relative to the image's rootfs, each with its directory; `None` when nobody knows.
    pub removal: Option<Vec<(String, String)>>,
}

impl Record {
    /// What a state says.
    pub(crate) fn read(state: &ClusterState) -> Result<Self, Error> {
        Self::of(state.read(FILE)?, state.file(FILE))
    }

    /// The same for a cluster that nobody works on.
    pub(crate) fn read_of(state: &State, cluster: &str) -> Result<Self, Error> {
        let path = state.root().join(cluster).join(FILE);
        let read = atomic_file::read_limited(&path, 4 << 20);
        let bytes = read.map_err(|source| Error::State { act: "read", path: path.clone(), source })?;
        Self::of(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned().into()), path)
    }

    fn of(text: Option<clusterfile::Secret>, path: std::path::PathBuf) -> Result<Self, Error> {
        let Some(text) = text else { return Ok(Self::default()) };
        let damaged = |error: serde_json::Error| ApplicationError::Record { path, reason: error.to_string() };
        Ok(serde_json::from_str(text.expose()).map_err(damaged)?)
    }

    /// Writes it, unless it is what the state says already.
    pub(crate) fn write(&self, state: &ClusterState) -> Result<(), Error> {
        if *self == Self::read(state)? {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        state.write(FILE, &text)
    }

    /// The image that has this directory.
    pub(crate) fn image(&self, directory: &str) -> Option<&InstalledImage> {
        self.images.iter().find(|known| known.directory == directory)
    }

    /// Puts an image in place of the one that had its directory.
    pub(crate) fn put(&mut self, image: InstalledImage) {
        match self.images.iter_mut().find(|known| known.directory == image.directory) {
            Some(known) => *known = image,
            None if image.is_cluster_image => self.images.insert(0, image),
            None => self.images.push(image),
        }
    }

    /// The content that the registries of the cluster hold for application images.
    pub(crate) fn contents(&self) -> Vec<ApplicationContent> {
        self.images.iter().filter_map(InstalledImage::content).collect()
    }
}

impl InstalledImage {
    /// What masters hold of it; none of the cluster's own image, which they hold anyway.
    pub(crate) fn content(&self) -> Option<ApplicationContent> {
        let Self { digest, directory, bytes, platforms, .. } = self;
        (!self.is_cluster_image).then(|| ApplicationContent::new(digest, directory, *bytes, platforms.clone()))
    }
}

/// Digests of the images that clusters of this machine are made of or run.
pub(crate) fn in_use(sealer: &Sealer) -> Result<BTreeSet<Digest>, Error> {
    let mut digests = Vec::new();
    for name in sealer.state().clusters()? {
        let cluster: Option<Cluster> = sealer.state().clusterfile(&name)?.map(|file| file.cluster);
        digests.extend(cluster.and_then(|mut cluster| cluster.annotations.remove(APPLIED)));
        digests.extend(Record::read_of(sealer.state(), &name)?.images.into_iter().map(|image| image.digest));
    }
    Ok(digests.iter().filter_map(|digest| digest.parse().ok()).collect())
}

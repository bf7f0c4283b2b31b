//! Remembers in the state of a cluster which images launched what on it: `applications.json`, also part of the copy in the cluster.

use std::collections::BTreeSet;
use std::path::Path;

use clusterfile::Cluster;
use content_store::Digest;
use runtime::ApplicationContent;
use serde::{Deserialize, Serialize};

use super::ApplicationError;
use crate::change::APPLIED;
use crate::{ClusterState, Error, Sealer, State};

/// Name of the file in a cluster's state.
pub(crate) const FILE: &str = "applications.json";
/// It is never larger than this.
const LIMIT: u64 = 4 << 20;

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
        Self::read_at(&state.file(FILE))
    }

    /// The same for a cluster that nobody works on.
    pub(crate) fn read_of(state: &State, cluster: &str) -> Result<Self, Error> {
        Self::read_at(&state.root().join(cluster).join(FILE))
    }

    fn read_at(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::State { act: "read", path: path.to_owned(), source };
        let Some(bytes) = atomic_file::read_limited(path, LIMIT).map_err(failed)? else { return Ok(Self::default()) };
        let damaged = |reason| ApplicationError::Record { path: path.to_owned(), reason };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        // They come from the cluster, and become words of commands.
        let is_wrong = |image: &&InstalledImage| {
            let mut characters = image.directory.bytes();
            let is_digest = characters.len() == 16 && characters.all(|one| b"0123456789abcdef".contains(&one));
            if image.is_cluster_image { !image.directory.is_empty() } else { !is_digest }
        };
        match record.images.iter().find(is_wrong) {
            Some(image) => Err(damaged(format!("`{}` is no directory of an image", image.directory)).into()),
            None => Ok(record),
        }
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

    /// What runs of an image once it has launched these: those that it launched before run on.
    pub(crate) fn running(&self, directory: &str, launched: &[InstalledApplication]) -> Vec<InstalledApplication> {
        let known = self.image(directory).into_iter().flat_map(|known| &known.applications);
        let others = known.filter(|known| launched.iter().all(|one| one.name != known.name));
        launched.iter().chain(others).cloned().collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_directory_that_is_none_of_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for (name, is_cluster_image, is_right) in [
            ("0123456789abcdef", false, true),
            ("", true, true),
            ("", false, false),
            ("../../0123456789", false, false),
        ] {
            let text = format!(
                "{{\"images\": [{{\"image\": \"a\", \"digest\": \"\", \"isClusterImage\": {is_cluster_image}, \"state\": \"launched\", \"applications\": [], \"directory\": \"{name}\", \"bytes\": 0, \"platforms\": [], \"launch\": \"\"}}]}}"
            );
            std::fs::write(&path, text).unwrap();
            assert_eq!(Record::read_at(&path).is_ok(), is_right, "{name}");
        }
    }
}

//! The catalogue: which container images a cluster image carries, pinned to digests, with their origin.

use std::collections::{BTreeMap, BTreeSet};

use content_store::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use crate::platform::Platform;

/// The carried images of one platform: the config blob of the artifact manifest, and so the lock list of the build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Catalogue {
    /// Sorted by reference.
    pub images: Vec<CarriedImage>,
}

/// A container image that travels inside a cluster image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CarriedImage {
    /// As it was written, for example `redis:6.2`.
    pub name: String,
    /// Normalised, for example `docker.io/library/redis:6.2`.
    pub reference: String,
    /// The tag, when the reference has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest of the document the name stands for: a manifest, or an index of which one platform is carried.
    pub digest: Digest,
    /// Media type of that document.
    pub media_type: String,
    /// Size of that document in bytes.
    pub size: u64,
    /// The platform that is carried.
    pub platform: Platform,
    /// Where the name was found, for example `manifests/imageList:3`.
    pub source: String,
    /// Every blob of the image, documents included, each under its own media type.
    pub blobs: Vec<CarriedBlob>,
}

/// A blob of a carried image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CarriedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its own media type, also where the artifact manifest lists it as a document.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl CarriedBlob {
    /// Whether it is a JSON document rather than a layer.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.media_type.ends_with("+json")
    }
}

impl CarriedImage {
    /// Size of its blobs in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }

    /// The descriptor of the document that the name stands for.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.as_str().into(), self.size, self.digest)
    }
}

impl Catalogue {
    /// The image of this normalised name.
    #[must_use]
    pub fn image(&self, reference: &str) -> Option<&CarriedImage> {
        self.images.iter().find(|image| image.reference == reference)
    }

    /// Every blob once, sorted.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<CarriedBlob> {
        self.images.iter().flat_map(|image| image.blobs.iter().cloned()).collect()
    }

    /// Size of all blobs in bytes, each counted once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes: BTreeMap<Digest, u64> =
            self.images.iter().flat_map(|image| &image.blobs).map(|blob| (blob.digest, blob.size)).collect();
        sizes.values().sum()
    }

    /// Adds images; one of the same name and platform takes the place of what was there.
    pub(crate) fn unite(&mut self, images: impl IntoIterator<Item = CarriedImage>) {
        let key = |image: &CarriedImage| (image.reference.clone(), image.platform.clone());
        let mut all: BTreeMap<_, _> = self.images.drain(..).map(|image| (key(&image), image)).collect();
        all.extend(images.into_iter().map(|image| (key(&image), image)));
        self.images = all.into_values().collect();
    }
}

//! The JSON documents of an image, as far as this crate reads and writes them.
//!
//! Own types, because the generic ones lose fields they do not know, and because our documents must come out the same
//! byte for byte on every build. Documents from elsewhere are never written back, only read.

use std::collections::BTreeMap;

use content_store::{Digest, Store};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// An image index.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<IndexEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An entry of an index.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexEntry {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An image manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What a name points at: an index, or a single manifest as upstream and other tools make them.
#[derive(Debug)]
pub(crate) enum Top {
    Index(Index),
    Manifest(Manifest),
}

impl Top {
    /// Reads it straight into its type: a generic JSON value takes thirty times the bytes of a hostile document.
    pub(crate) fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Shape {
            manifests: Option<IgnoredAny>,
        }
        let is_index = serde_json::from_slice::<Shape>(bytes)?.manifests.is_some();
        if is_index {
            serde_json::from_slice(bytes).map(Self::Index)
        } else {
            serde_json::from_slice(bytes).map(Self::Manifest)
        }
    }

    /// Reads it from the store, its digest checked; with its size.
    pub(crate) fn read(store: &Store, digest: &Digest) -> Result<(Self, u64)> {
        let bytes = store.read_verified(digest, format::DOCUMENT_LIMIT)?;
        Ok((Self::parse(&bytes).map_err(Error::document(digest))?, bytes.len() as u64))
    }

    /// Its media type, told from its content where it does not say.
    pub(crate) fn media_type(&self) -> &str {
        match self {
            Self::Index(index) => index.media_type.as_deref().unwrap_or(format::INDEX),
            Self::Manifest(manifest) => manifest.media_type.as_deref().unwrap_or(format::MANIFEST),
        }
    }
}

/// A descriptor of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// An image config: platform, process defaults, layers, history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// When the image was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who maintains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// For example `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// For example `linux`.
    #[serde(default)]
    pub os: String,
    /// For example `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Process defaults.
    #[serde(default)]
    pub config: ProcessConfig,
    /// Layers by the digests of their uncompressed tars.
    #[serde(default)]
    pub rootfs: Rootfs,
    /// What made the image, step by step.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub history: Vec<History>,
}

/// Process defaults of an image config.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// Variables as `NAME=VALUE`.
    #[serde(rename = "Env", default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Labels.
    #[serde(rename = "Labels", default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// The layers of an image config.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rootfs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed tars, bottom first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image config's history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// It made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl Default for Rootfs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

impl Index {
    /// The entries that are root file systems.
    pub(crate) fn rootfs_entries(&self) -> impl Iterator<Item = &IndexEntry> {
        self.manifests.iter().filter(|entry| {
            format::is_manifest(&entry.media_type)
                && !entry.annotations.contains_key(format::KIND_ANNOTATION)
                && !entry.platform.as_ref().is_some_and(Platform::is_unknown)
        })
    }

    /// The entry of the images carried with this rootfs.
    pub(crate) fn artifact_of(&self, rootfs: &Digest) -> Option<&IndexEntry> {
        let rootfs = rootfs.to_string();
        self.manifests.iter().find(|entry| {
            entry.annotations.get(format::KIND_ANNOTATION).is_some_and(|kind| kind == format::KIND_CONTAINER_IMAGES)
                && entry.annotations.get(format::ROOTFS_ANNOTATION) == Some(&rootfs)
        })
    }

    /// Whether the manifest of this digest is one of images that are carried with a rootfs.
    pub(crate) fn is_artifact(&self, digest: &Digest) -> bool {
        let mut entries = self.manifests.iter().filter(|entry| entry.digest == *digest);
        entries.any(|entry| entry.annotations.contains_key(format::KIND_ANNOTATION))
    }

    /// The rootfs entry that an entry belongs to: the one that it is, or the one that it carries images for.
    pub(crate) fn rootfs_of<'a>(&'a self, entry: &'a IndexEntry) -> Option<&'a IndexEntry> {
        let rootfs = entry.annotations.get(format::ROOTFS_ANNOTATION);
        self.rootfs_entries().find(|other| match rootfs {
            Some(rootfs) => other.digest.to_string() == *rootfs,
            None => other.digest == entry.digest,
        })
    }

    /// The platforms that it has a rootfs for.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        self.platforms_where(|_| true)
    }

    /// The platforms of those rootfs entries for which the condition holds.
    pub(crate) fn platforms_where(&self, condition: impl Fn(&IndexEntry) -> bool) -> Vec<Platform> {
        self.rootfs_entries().filter(|entry| condition(entry)).filter_map(|entry| entry.platform.clone()).collect()
    }
}

/// Reads a document from the store, its digest checked.
pub(crate) fn read<T: DeserializeOwned>(store: &Store, digest: &Digest, limit: u64) -> Result<T> {
    let bytes = store.read_verified(digest, limit)?;
    serde_json::from_slice(&bytes).map_err(Error::document(digest))
}

/// Writes a document into the store and describes it.
pub(crate) fn put<T: Serialize>(store: &Store, document: &T, media_type: &str) -> Result<Descriptor> {
    let bytes = serde_json::to_vec(document).map_err(Error::document(media_type))?;
    let blob = store.put(&bytes)?;
    Ok(Descriptor { media_type: media_type.to_owned(), digest: blob.digest, size: blob.size })
}

/// Go writes empty lists and maps as `null`.
pub(crate) fn null_is_empty<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

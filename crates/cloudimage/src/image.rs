//! A cluster image, for one platform.

use std::collections::BTreeMap;
use std::path::PathBuf;

use content_store::{DOCUMENT_LIMIT, Digest, Reference, Store};
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::documents::{self, Config, Index, IndexEntry, Manifest, Top};
use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::format;
use crate::platform::Platform;

/// A layer of a rootfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Media type, which says how it is compressed.
    pub media_type: String,
    /// Digest of the uncompressed tar, when the config is there to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    /// The instruction that made it; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
}

/// A cluster image for one platform. A value: it holds documents, no layers.
#[derive(Debug, Clone)]
pub struct Image {
    pub(crate) store: Store,
    /// Directory of listings, when the image belongs to an [`Images`](crate::Images).
    pub(crate) listings: Option<PathBuf>,
    name: Option<String>,
    index_digest: Digest,
    manifest_digest: Digest,
    manifest: Manifest,
    artifact: Option<(Digest, Manifest)>,
    config: Option<Config>,
    catalogue: Catalogue,
    extension: Extension,
    labels: BTreeMap<String, String>,
    layers: Vec<Layer>,
    platform: Platform,
    platforms: Vec<Platform>,
    absent: Vec<Platform>,
}

impl Image {
    /// Reads the image of this index (or single manifest) for the host's platform, or its only one.
    ///
    /// Index and manifests must be there. Config and catalogue may still be on their way: labels, layer histories and
    /// catalogue are then empty, [`Image::layers`], [`Image::config_blob`] and [`Image::carried_blobs`] are complete.
    ///
    /// # Errors
    /// [`Error::Store`] for a missing or corrupt document, [`Error::NotAnImage`], [`Error::Document`].
    pub fn from_content(content: &Store, index: &Digest) -> Result<Self> {
        Self::read(content, index, None, None)
    }

    /// The same for one platform.
    ///
    /// # Errors
    /// As [`Image::from_content`], and [`Error::NoPlatform`].
    pub fn for_platform(content: &Store, index: &Digest, platform: &Platform) -> Result<Self> {
        Self::read(content, index, Some(platform), None)
    }

    /// Reads an image for a platform; `name` is how it was asked for.
    pub(crate) fn read(store: &Store, digest: &Digest, wanted: Option<&Platform>, name: Option<&str>) -> Result<Self> {
        let shown = name.map_or_else(|| digest.to_string(), str::to_owned);
        let index = match Top::read(store, digest)? {
            (Top::Index(index), _) => index,
            (Top::Manifest(manifest), size) => single(store, digest, size, manifest)?,
        };
        let rootfs = choose(store, &index, wanted, &shown)?;
        let artifact = index.artifact_of(&rootfs.digest);
        if let Some(absent) =
            [Some(rootfs), artifact].into_iter().flatten().find(|entry| !store.contains(&entry.digest))
        {
            return Err(partial(store, &index, rootfs, absent, &shown));
        }
        let manifest: Manifest = documents::read(store, &rootfs.digest, format::DOCUMENT_LIMIT)?;
        if manifest.layers.len() > format::LAYERS_LIMIT {
            let reason = format!("it has {} layers; {} are the most", manifest.layers.len(), format::LAYERS_LIMIT);
            return Err(Error::NotAnImage { document: rootfs.digest.to_string(), reason });
        }
        let artifact = match artifact {
            Some(entry) => Some((entry.digest, documents::read(store, &entry.digest, DOCUMENT_LIMIT)?)),
            None => None,
        };
        let mut image = Self {
            store: store.clone(),
            listings: None,
            name: name.map(str::to_owned),
            index_digest: *digest,
            manifest_digest: rootfs.digest,
            labels: BTreeMap::new(),
            layers: layers(&manifest),
            extension: extension(&manifest)?,
            manifest,
            artifact,
            config: None,
            catalogue: Catalogue::default(),
            platform: rootfs.platform.clone().unwrap_or_default(),
            platforms: index.platforms(),
            absent: index.platforms_where(|entry| !store.contains(&entry.digest)),
        };
        image.read_config()?;
        Ok(image)
    }

    /// Reads what depends on config and catalogue, as far as they are there.
    fn read_config(&mut self) -> Result<()> {
        if self.store.contains(&self.manifest.config.digest) {
            let config: Config = documents::read(&self.store, &self.manifest.config.digest, format::DOCUMENT_LIMIT)?;
            self.labels = config.config.labels.clone().unwrap_or_default();
            let made = config.history.iter().filter(|step| !step.empty_layer).map(|step| step.created_by.clone());
            let made: Vec<String> = made.collect();
            for (at, layer) in self.layers.iter_mut().enumerate() {
                layer.diff_id = config.rootfs.diff_ids.get(at).copied();
                layer.created_by = made.get(at).cloned().unwrap_or_default();
            }
            self.config = Some(config);
        }
        if let Some((_, artifact)) = &self.artifact
            && self.store.contains(&artifact.config.digest)
        {
            self.catalogue = documents::read(&self.store, &artifact.config.digest, format::CATALOGUE_LIMIT)?;
        }
        Ok(())
    }

    /// The name it was asked for by (normalised), or its digest.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.index_digest.to_string())
    }

    /// Digest of the index: the identity of the image.
    #[must_use]
    pub fn index_digest(&self) -> &Digest {
        &self.index_digest
    }

    /// Digest of the rootfs manifest of this platform.
    #[must_use]
    pub fn manifest_digest(&self) -> &Digest {
        &self.manifest_digest
    }

    /// Digest of the rootfs config, and its size in bytes as the manifest says.
    #[must_use]
    pub fn config_blob(&self) -> (Digest, u64) {
        (self.manifest.config.digest, self.manifest.config.size)
    }

    /// The platform of this image.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// All platforms of the index.
    #[must_use]
    pub fn platforms(&self) -> &[Platform] {
        &self.platforms
    }

    /// Those platforms of the index that are not in the store: an image may be pulled for some of them.
    #[must_use]
    pub fn absent_platforms(&self) -> &[Platform] {
        &self.absent
    }

    /// Labels of the config.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Annotations of the rootfs manifest.
    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.manifest.annotations
    }

    /// The rootfs config, when its blob is there.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Layers of the rootfs, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Applications and launch commands.
    #[must_use]
    pub fn extension(&self) -> &Extension {
        &self.extension
    }

    /// The carried images of this platform.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The commands that launch the image, parents' first, as shell text for the rootfs directory; `overrides` replace
    /// defaults of ARG.
    #[must_use]
    pub fn launch_commands(&self, overrides: &BTreeMap<String, String>) -> Vec<String> {
        self.extension.launch_commands(overrides)
    }

    /// Size of the layers in bytes.
    #[must_use]
    pub fn rootfs_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Size of the carried images' blobs in bytes, each counted once.
    #[must_use]
    pub fn carried_bytes(&self) -> u64 {
        let sizes: BTreeMap<Digest, u64> = self.artifact_layers().map(|blob| (blob.digest, blob.size)).collect();
        sizes.values().sum()
    }

    /// Digests of the catalogue and of every blob of the carried images, with their sizes as the manifest says.
    #[must_use]
    pub fn carried_blobs(&self) -> BTreeMap<Digest, u64> {
        let catalogue = self.artifact.iter().map(|(_, artifact)| &artifact.config);
        catalogue.chain(self.artifact_layers()).map(|blob| (blob.digest, blob.size)).collect()
    }

    /// Every blob of this platform with its size: documents, layers, carried images.
    #[must_use]
    pub fn blobs(&self) -> BTreeMap<Digest, u64> {
        let mut blobs: BTreeMap<Digest, u64> = self.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let mut add = |digest: Digest| {
            let size = self.store.size(&digest).unwrap_or(0);
            blobs.insert(digest, size);
        };
        add(self.index_digest);
        add(self.manifest_digest);
        add(self.manifest.config.digest);
        if let Some((digest, artifact)) = &self.artifact {
            add(*digest);
            add(artifact.config.digest);
            blobs.extend(artifact.layers.iter().map(|blob| (blob.digest, blob.size)));
        }
        blobs
    }

    fn artifact_layers(&self) -> impl Iterator<Item = &documents::Descriptor> {
        self.artifact.iter().flat_map(|(_, artifact)| &artifact.layers)
    }
}

/// Treats a single manifest, as upstream and other tools make them, as an index with one entry.
pub(crate) fn single(store: &Store, digest: &Digest, size: u64, manifest: Manifest) -> Result<Index> {
    let platform = if store.contains(&manifest.config.digest) {
        let config: Config = documents::read(store, &manifest.config.digest, format::DOCUMENT_LIMIT)?;
        Platform { os: config.os, architecture: config.architecture, variant: config.variant }
    } else {
        Platform::host()
    };
    let media_type = manifest.media_type.unwrap_or_else(|| format::MANIFEST.to_owned());
    let entry =
        IndexEntry { media_type, digest: *digest, size, platform: Some(platform), annotations: BTreeMap::new() };
    Ok(Index { schema_version: 2, media_type: None, manifests: vec![entry], annotations: BTreeMap::new() })
}

/// The error about a part of an image that is not in the store.
fn partial(store: &Store, index: &Index, rootfs: &IndexEntry, absent: &IndexEntry, name: &str) -> Error {
    let platform = rootfs.platform.clone().unwrap_or_default();
    let here = index.platforms_where(|entry| entry.digest != rootfs.digest && store.contains(&entry.digest));
    let here: Vec<String> = here.iter().map(ToString::to_string).collect();
    let name = name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar());
    Error::Partial { name, absent: platform.to_string(), digest: absent.digest, here: here.join(", ") }
}

/// The rootfs entry for a platform; without one the host's, or the only one there is: in the store, else in the index.
pub(crate) fn choose<'a>(
    store: &Store,
    index: &'a Index,
    wanted: Option<&Platform>,
    name: &str,
) -> Result<&'a IndexEntry> {
    let entries: Vec<&IndexEntry> = index.rootfs_entries().collect();
    let platform = |entry: &IndexEntry| entry.platform.clone().unwrap_or_default();
    let host = Platform::host();
    let found = entries.iter().copied().find(|entry| platform(entry).serves(wanted.unwrap_or(&host)));
    let here: Vec<&IndexEntry> = entries.iter().copied().filter(|entry| store.contains(&entry.digest)).collect();
    if let ([only], None) = (here.as_slice(), wanted)
        && found.is_none_or(|found| !store.contains(&found.digest))
    {
        return Ok(only);
    }
    match (found, entries.as_slice()) {
        (Some(entry), _) => Ok(entry),
        (None, [only]) if wanted.is_none() => Ok(only),
        (None, []) => Err(Error::NotAnImage {
            document: name.to_owned(),
            reason: "its index has no manifest for any platform".to_owned(),
        }),
        (None, _) => Err(Error::NoPlatform {
            name: name.to_owned(),
            wanted: wanted.unwrap_or(&host).to_string(),
            available: entries.iter().map(|entry| platform(entry).to_string()).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn layers(manifest: &Manifest) -> Vec<Layer> {
    let layer = |descriptor: &documents::Descriptor| Layer {
        digest: descriptor.digest,
        size: descriptor.size,
        media_type: descriptor.media_type.clone(),
        diff_id: None,
        created_by: String::new(),
    };
    manifest.layers.iter().map(layer).collect()
}

fn extension(manifest: &Manifest) -> Result<Extension> {
    match manifest.annotations.get(format::EXTENSION_ANNOTATION) {
        Some(text) => {
            serde_json::from_str(text).map_err(Error::document(format!("annotation {}", format::EXTENSION_ANNOTATION)))
        }
        None => Ok(Extension::default()),
    }
}

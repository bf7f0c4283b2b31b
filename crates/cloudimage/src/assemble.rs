//! Puts images together from parts that are in the store: root file systems, catalogues, and indexes over them.

use std::collections::BTreeMap;

use content_store::{DOCUMENT_LIMIT, DOCUMENT_MEDIA_TYPE, Digest, Store};

use crate::catalogue::Catalogue;
use crate::documents::{self, Config, Descriptor, History, IndexEntry, Manifest, ProcessConfig, Rootfs};
use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::format;
use crate::image::Layer;
use crate::joined::{Entry, Joined};
use crate::platform::Platform;

/// What an image consists of on one platform.
pub(crate) struct Parts<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) layers: &'a [Layer],
    /// What should name every layer, as errors call it.
    pub(crate) named_by: &'a str,
    pub(crate) created: Option<String>,
    pub(crate) author: Option<String>,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) history: &'a [History],
    pub(crate) extension: &'a Extension,
    pub(crate) catalogue: &'a Catalogue,
    /// Those that upstream does not give a meaning.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Writes the documents of one platform, and gives the index entries of its rootfs and of what is carried with it.
pub(crate) fn put_platform(store: &Store, parts: Parts<'_>) -> Result<impl Iterator<Item = IndexEntry> + use<>> {
    let (platform, catalogue) = (parts.platform, parts.catalogue);
    let rootfs = put_rootfs(store, parts)?;
    let carried = artifact_entry(store, catalogue, &rootfs.digest)?;
    Ok(std::iter::once(rootfs_entry(rootfs, platform)).chain(carried))
}

fn put_rootfs(store: &Store, parts: Parts<'_>) -> Result<Descriptor> {
    let Parts { platform, layers, named_by, environment, labels, mut annotations, .. } = parts;
    let missing = |layer: &Layer| Error::NotAnImage {
        document: layer.digest.to_string(),
        reason: format!("{named_by} does not name this layer"),
    };
    let diff_ids = layers.iter().map(|layer| layer.diff_id.ok_or_else(|| missing(layer))).collect::<Result<_>>()?;
    let config = Config {
        created: parts.created,
        author: parts.author,
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: ProcessConfig {
            env: (!environment.is_empty()).then_some(environment),
            labels: (!labels.is_empty()).then(|| labels.clone()),
        },
        rootfs: Rootfs { diff_ids, ..Rootfs::default() },
        history: parts.history.to_vec(),
    };
    let extension = serde_json::to_string(parts.extension).map_err(Error::document("an annotation"))?;
    annotations.insert(format::EXTENSION_ANNOTATION.to_owned(), extension);
    if let Some(listed) = listed_images(parts.catalogue)? {
        annotations.insert(format::IMAGES_ANNOTATION.to_owned(), listed);
    }
    let describe =
        |layer: &Layer| Descriptor { media_type: layer.media_type.clone(), digest: layer.digest, size: layer.size };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(format::MANIFEST.to_owned()),
        artifact_type: None,
        config: documents::put(store, &config, format::CONFIG)?,
        layers: layers.iter().map(describe).collect(),
        annotations,
    };
    documents::put(store, &manifest, format::MANIFEST)
}

/// The index entry of a rootfs.
pub(crate) fn rootfs_entry(rootfs: Descriptor, platform: &Platform) -> IndexEntry {
    IndexEntry {
        media_type: rootfs.media_type,
        digest: rootfs.digest,
        size: rootfs.size,
        platform: Some(platform.clone()),
        annotations: BTreeMap::new(),
    }
}

/// Writes the manifest of the carried images of a rootfs, and gives its index entry; none when nothing is carried.
pub(crate) fn artifact_entry(store: &Store, catalogue: &Catalogue, rootfs: &Digest) -> Result<Option<IndexEntry>> {
    if catalogue.images.is_empty() {
        return Ok(None);
    }
    let kind = (format::KIND_ANNOTATION.to_owned(), format::KIND_CONTAINER_IMAGES.to_owned());
    let belongs_to = (format::ROOTFS_ANNOTATION.to_owned(), rootfs.to_string());
    let mut entry = rootfs_entry(put_artifact(store, catalogue)?, &Platform::unknown());
    entry.annotations = BTreeMap::from([kind, belongs_to]);
    Ok(Some(entry))
}

/// Writes the manifest whose layers are every blob of every carried image.
pub(crate) fn put_artifact(store: &Store, catalogue: &Catalogue) -> Result<Descriptor> {
    let mut blobs: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for blob in catalogue.blobs() {
        let media_type = if blob.is_document() { DOCUMENT_MEDIA_TYPE.to_owned() } else { blob.media_type };
        blobs.entry(blob.digest).or_insert(Descriptor { media_type, digest: blob.digest, size: blob.size });
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(format::MANIFEST.to_owned()),
        artifact_type: Some(format::CONTAINER_IMAGES.to_owned()),
        config: documents::put(store, catalogue, format::CONTAINER_IMAGES)?,
        layers: blobs.into_values().collect(),
        annotations: BTreeMap::new(),
    };
    let written = documents::put(store, &manifest, format::MANIFEST)?;
    if written.size > DOCUMENT_LIMIT {
        let object = format!("the manifest of {} blobs of carried images", manifest.layers.len());
        return Err(content_store::Error::TooLarge { object, limit: DOCUMENT_LIMIT }.into());
    }
    Ok(written)
}

/// The value of upstream's annotation that lists what a rootfs carries; none when nothing is carried.
fn listed_images(catalogue: &Catalogue) -> Result<Option<String>> {
    let listed: Vec<serde_json::Value> = (catalogue.images.iter())
        .map(|image| serde_json::json!({ "image": image.reference, "platform": image.platform }))
        .collect();
    let text = serde_json::to_string(&listed).map_err(Error::document("an annotation"))?;
    Ok((!listed.is_empty()).then_some(text))
}

/// Writes the index of an image, in the one order that indexes have.
pub(crate) fn put_index(store: &Store, manifests: Vec<IndexEntry>) -> Result<Descriptor> {
    Joined::new(manifests.into_iter().map(Entry::from).collect()).write(store)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CarriedBlob, CarriedImage};

    #[test]
    fn a_manifest_whose_blobs_would_not_be_kept_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path()).expect("a store");
        let blob = |number: u32| CarriedBlob {
            digest: Digest::of(&number.to_le_bytes()),
            media_type: format::LAYER_GZIP.to_owned(),
            size: 1,
        };
        let image = CarriedImage {
            name: "shop".to_owned(),
            reference: "docker.io/library/shop:1".to_owned(),
            tag: Some("1".to_owned()),
            digest: Digest::of(b"shop"),
            media_type: format::MANIFEST.to_owned(),
            size: 1,
            platform: Platform::host(),
            source: "here".to_owned(),
            blobs: (0..60_000).map(blob).collect(),
        };
        let mut catalogue = Catalogue::default();
        catalogue.unite([image]);
        let error = put_artifact(&store, &catalogue).expect_err("it is too large");
        assert!(matches!(error, Error::Store(content_store::Error::TooLarge { .. })), "{error:?}");
    }
}

//! Puts images together from parts that are in the store: catalogues and indexes over root file systems.

use std::collections::BTreeMap;

use content_store::{DOCUMENT_MEDIA_TYPE, Digest, Store};

use crate::catalogue::Catalogue;
use crate::documents::{self, Descriptor, Index, IndexEntry, Manifest};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

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
    let kind = (format::KIND_ANNOTATION.to_owned(), format::KIND_CONTAINER_IMAGES.to_owned());
    let belongs_to = (format::ROOTFS_ANNOTATION.to_owned(), rootfs.to_string());
    let mut entry = rootfs_entry(documents::put(store, &manifest, format::MANIFEST)?, &Platform::unknown());
    entry.annotations = BTreeMap::from([kind, belongs_to]);
    Ok(Some(entry))
}

/// The value of upstream's annotation that lists what a rootfs carries; none when nothing is carried.
pub(crate) fn listed_images(catalogue: &Catalogue) -> Result<Option<String>> {
    let listed: Vec<serde_json::Value> = (catalogue.images.iter())
        .map(|image| serde_json::json!({ "image": image.reference, "platform": image.platform }))
        .collect();
    let text = serde_json::to_string(&listed).map_err(Error::document("an annotation"))?;
    Ok((!listed.is_empty()).then_some(text))
}

/// Writes the index of an image.
pub(crate) fn put_index(store: &Store, manifests: Vec<IndexEntry>) -> Result<Descriptor> {
    let media_type = Some(format::INDEX.to_owned());
    documents::put(
        store,
        &Index { schema_version: 2, media_type, manifests, annotations: BTreeMap::new() },
        format::INDEX,
    )
}

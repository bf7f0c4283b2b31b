//! Finds the images that the documents of an OCI layout name.

use super::Place;
use content_store::{Descriptor, Digest, NAME_KIND_ANNOTATION, NameKind, Named, REF_NAME_ANNOTATION};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The config of an artifact manifest that lists the container images of a cluster image.
const CATALOGUE: &str = "application/vnd.sealer.container-images.v1+json";
/// The most documents that one name is looked for in.
const DOCUMENTS: usize = 1000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    manifests: Vec<Entry>,
    config: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Catalogue {
    #[serde(default)]
    images: Vec<Carried>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Carried {
    reference: String,
    digest: Digest,
    media_type: String,
    size: u64,
}

/// The images that an `index.json` names, and those that cluster images among them carry.
pub(super) fn of_index(index: &[u8], blobs: &BTreeMap<Digest, Place>) -> Vec<Named> {
    let top: Document = serde_json::from_slice(index).unwrap_or_default();
    let mut names = Vec::new();
    for (number, entry) in top.manifests.iter().enumerate() {
        if let Some(name) = entry.annotations.get(REF_NAME_ANNOTATION) {
            let kind = entry.annotations.get(NAME_KIND_ANNOTATION);
            let kind = kind.and_then(|kind| NameKind::from_annotation(kind));
            names.push(named(
                kind.unwrap_or(NameKind::ClusterImage),
                name,
                &entry.media_type,
                entry.size,
                entry.digest,
            ));
        }
        let document = (number < DOCUMENTS).then(|| read::<Document>(&entry.digest, blobs)).flatten();
        let Some(document) = document else { continue };
        let children = document.manifests.iter().take(DOCUMENTS).filter_map(|child| read(&child.digest, blobs));
        for manifest in children.chain([Document { config: document.config, manifests: Vec::new() }]) {
            let catalogue = manifest.config.filter(|config| config.media_type == CATALOGUE);
            let images =
                catalogue.and_then(|config| read::<Catalogue>(&config.digest, blobs)).unwrap_or_default().images;
            names.extend(images.into_iter().map(|image| {
                named(NameKind::CarriedImage, &image.reference, &image.media_type, image.size, image.digest)
            }));
        }
    }
    names
}

fn named(kind: NameKind, name: &str, media_type: &str, size: u64, digest: Digest) -> Named {
    let descriptor = Descriptor::new(media_type.into(), size, digest);
    Named { kind, name: name.to_owned(), descriptor, annotations: BTreeMap::new() }
}

/// A document that has the right digest.
fn read<T: serde::de::DeserializeOwned>(digest: &Digest, blobs: &BTreeMap<Digest, Place>) -> Option<T> {
    let bytes = blobs.get(digest)?.document(*digest).ok()?;
    digest.matches(&bytes).then(|| serde_json::from_slice(&bytes).ok()).flatten()
}

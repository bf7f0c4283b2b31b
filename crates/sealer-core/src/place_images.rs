//! Pushes container images that a cluster image carries to their places in a registry outside the cluster.

use std::collections::{BTreeMap, BTreeSet};

use cloudimage::format::{INDEX, is_index, is_manifest};
use cloudimage::{CarriedBlob, CarriedImage};
use content_store::{DOCUMENT_LIMIT, Digest, Store};
use content_transfer::{Destination, Sender, SentManifest, Wanted};
use registry_client::{Manifest, Registry};
use serde::Deserialize;
use serde_json::json;

use crate::Error;
use crate::external_registry::PlacedImage;

/// Pushes images, one after another: each sends its blobs at once. Only what the registry lacks is sent, names come last.
pub(crate) async fn push(
    sender: &Sender,
    store: &Store,
    registry: &dyn Registry,
    images: &[PlacedImage],
) -> Result<(), Error> {
    for image in images {
        let to = Destination::new(registry, image.reference.clone());
        sender.send(&to, &manifests(store, image)?, &|_| {}).await?;
    }
    Ok(())
}

/// Whether a registry says that it takes no such image: no uploads, not by this login, or not under this name.
pub(crate) fn is_refusal(error: &Error) -> bool {
    use registry_client::Error as Registry;
    match error {
        Error::Registry(Registry::Answer { status, .. }) => status.is_client_error(),
        Error::Registry(error) => {
            matches!(error, Registry::ReadOnly { .. } | Registry::Unauthorised { .. } | Registry::NotFound { .. })
        }
        _ => false,
    }
}

/// Whether what a registry has leads to every manifest that is carried of an image, whatever else an index of it lists.
pub(crate) fn leads_to_all(found: &Manifest, images: &[CarriedImage]) -> bool {
    let reached = listed(&found.bytes).unwrap_or_else(|| BTreeSet::from([found.digest]));
    let mut carried = images.iter().map(manifest).peekable();
    carried.peek().is_some() && carried.all(|carried| carried.is_some_and(|carried| reached.contains(&carried.digest)))
}

/// What is sent of an image, children before their parent.
///
/// An index that lists more than is carried cannot be sent, as registries ask for all that it lists. Under a tag goes what
/// is carried instead: hosts find by it what they would find by the index.
fn manifests(store: &Store, image: &PlacedImage) -> Result<Vec<SentManifest>, Error> {
    let mut carried: BTreeMap<Digest, (&CarriedBlob, &CarriedImage)> = BTreeMap::new();
    for of_platform in &image.images {
        carried.extend(manifest(of_platform).map(|manifest| (manifest.digest, (manifest, of_platform))));
    }
    let mut sent: Vec<SentManifest> = carried.values().map(|(manifest, image)| children(manifest, image)).collect();
    if carried.len() == 1 && carried.contains_key(&image.digest) {
        return Ok(sent);
    }
    let top = store.read_verified(&image.digest, DOCUMENT_LIMIT)?;
    let is_whole = listed(&top).is_some_and(|listed| listed.iter().all(|digest| carried.contains_key(digest)));
    if is_whole || image.reference.digest().is_some() {
        let media_type = image.images.iter().find(|carried| carried.digest == image.digest);
        let media_type = media_type.map_or(INDEX, |carried| carried.media_type.as_str());
        sent.push(SentManifest::new(image.digest, media_type, Vec::new()));
    } else if carried.len() > 1 {
        let entry = |(manifest, image): &(&CarriedBlob, &CarriedImage)| json!({ "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size, "platform": image.platform });
        let entries: Vec<_> = carried.values().map(entry).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        sent.push(SentManifest::new(store.put(index.to_string().as_bytes())?.digest, INDEX, Vec::new()));
    }
    Ok(sent)
}

/// The manifest that is carried: that of an index comes behind it.
fn manifest(image: &CarriedImage) -> Option<&CarriedBlob> {
    image.blobs.iter().find(|blob| is_manifest(&blob.media_type))
}

fn children(manifest: &CarriedBlob, image: &CarriedImage) -> SentManifest {
    let blobs = image.blobs.iter().filter(|blob| !is_manifest(&blob.media_type) && !is_index(&blob.media_type));
    let blobs = blobs.map(|blob| Wanted::new(blob.digest, Some(blob.size))).collect();
    SentManifest::new(manifest.digest, manifest.media_type.clone(), blobs)
}

/// What an index lists; `None` for any other document.
fn listed(document: &[u8]) -> Option<BTreeSet<Digest>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        digest: Digest,
    }
    let index: Index = serde_json::from_slice(document).ok()?;
    Some(index.manifests.into_iter().map(|entry| entry.digest).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use content_store::Reference;
    use registry_client::Memory;
    use registry_client::contract::Fixture;

    use super::*;

    /// An image of which one manifest is carried, below the document `top`.
    fn carried(fixture: &Fixture, top: &[u8], media_type: &str) -> PlacedImage {
        let manifest: serde_json::Value = serde_json::from_slice(&fixture.manifest).unwrap();
        let blob =
            |kind: &str, bytes: &[u8]| json!({ "digest": Digest::of(bytes), "mediaType": kind, "size": bytes.len() });
        let mut blobs = vec![blob(media_type, top)];
        if top != fixture.manifest {
            blobs.push(blob(manifest["mediaType"].as_str().unwrap(), &fixture.manifest));
        }
        blobs.extend(fixture.blobs.iter().map(|bytes| blob("application/octet-stream", bytes)));
        let image = json!({
            "name": "shop", "reference": "registry.example/contract/shop:1.4", "digest": Digest::of(top), "mediaType": media_type,
            "size": top.len(), "platform": { "os": "linux", "architecture": "amd64" }, "source": "", "blobs": blobs,
        });
        PlacedImage {
            name: "registry.example/contract/shop:1.4".to_owned(),
            place: "hub.example/contract/shop:1.4".to_owned(),
            reference: "hub.example/contract/shop:1.4".parse().unwrap(),
            digest: Digest::of(top),
            images: vec![serde_json::from_value(image).unwrap()],
        }
    }

    async fn pushed(fixture: &Fixture, image: &PlacedImage, top: &[u8]) -> Digest {
        let (directory, memory) = (tempfile::tempdir().unwrap(), Memory::default());
        let store = Store::open(&directory.path().join("content")).unwrap();
        for bytes in fixture.blobs.iter().chain([&fixture.manifest]) {
            store.put(bytes).unwrap();
        }
        store.put(top).unwrap();
        let sender = Sender::new(&store, &directory.path().join("uploads"), content_transfer::SendOptions::default());
        push(&sender, &store, &memory, std::slice::from_ref(image)).await.unwrap();
        let found = memory.manifest(&image.reference, &[]).await.unwrap();
        assert!(leads_to_all(&found, &image.images));
        let manifest = image.reference.with_digest(Digest::of(&fixture.manifest));
        assert_eq!(memory.manifest(&manifest, &[]).await.unwrap().bytes, fixture.manifest);
        for blob in &fixture.blobs {
            let size = memory.blob_exists(&image.reference, &Digest::of(blob)).await.unwrap();
            assert_eq!(size, Some(blob.len() as u64));
        }
        found.digest
    }

    #[tokio::test]
    async fn what_is_carried_of_an_image_has_its_place() {
        let fixture = Fixture::new("registry.example");
        let manifest = Digest::of(&fixture.manifest);
        let image = carried(&fixture, &fixture.manifest, cloudimage::format::MANIFEST);
        assert_eq!(pushed(&fixture, &image, &fixture.manifest).await, manifest);

        let image = carried(&fixture, &fixture.index_bytes, INDEX);
        assert_eq!(
            pushed(&fixture, &image, &fixture.index_bytes).await,
            image.digest,
            "all that the index lists is here"
        );

        let mut index: serde_json::Value = serde_json::from_slice(&fixture.index_bytes).unwrap();
        let other = json!({ "mediaType": cloudimage::format::MANIFEST, "digest": Digest::of(b"other"), "size": 5 });
        index["manifests"].as_array_mut().unwrap().push(other);
        let index = index.to_string();
        let image = carried(&fixture, index.as_bytes(), INDEX);
        assert_eq!(
            pushed(&fixture, &image, index.as_bytes()).await,
            manifest,
            "no registry takes an index without the rest"
        );
    }

    #[tokio::test]
    async fn several_manifests_of_an_index_are_joined_and_another_image_is_told_from_them() {
        let fixture = Fixture::new("registry.example");
        let second = String::from_utf8(fixture.manifest.to_vec()).unwrap().replace("kept", "changed");
        let mut index: serde_json::Value = serde_json::from_slice(&fixture.index_bytes).unwrap();
        for bytes in [second.as_bytes(), b"other"] {
            let entry =
                json!({ "mediaType": cloudimage::format::MANIFEST, "digest": Digest::of(bytes), "size": bytes.len() });
            index["manifests"].as_array_mut().unwrap().push(entry);
        }
        let index = index.to_string();
        let mut image = carried(&fixture, index.as_bytes(), INDEX);
        let mut other = image.images[0].clone();
        (other.blobs[1].digest, other.blobs[1].size) = (Digest::of(second.as_bytes()), second.len() as u64);
        other.platform.architecture = "arm64".to_owned();
        image.images.push(other);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.put(index.as_bytes()).unwrap();
        let sent = manifests(&store, &image).unwrap();
        let (top, children) = sent.split_last().unwrap();
        assert_eq!((children.len(), top.media_type.as_str()), (2, INDEX));
        let top = Manifest::new(INDEX, top.digest, store.read_verified(&top.digest, DOCUMENT_LIMIT).unwrap());
        assert!(top.digest != image.digest && leads_to_all(&top, &image.images));
        let alone =
            Manifest::new(cloudimage::format::MANIFEST, Digest::of(&fixture.manifest), fixture.manifest.clone());
        assert!(!leads_to_all(&alone, &image.images), "hosts of the other platform find nothing");
        image.reference = Reference::new("hub.example", "contract/shop", &image.digest.to_string()).unwrap();
        assert_eq!(
            manifests(&store, &image).unwrap().last().unwrap().digest,
            image.digest,
            "a digest stands for itself"
        );
    }
}

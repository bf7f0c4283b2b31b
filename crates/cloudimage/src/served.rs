//! The names under which a registry serves what cluster images carry.

use std::collections::BTreeMap;

use content_store::{Descriptor, Digest, NameKind, Named, Store};

use crate::catalogue::CarriedImage;
use crate::documents;
use crate::error::Result;
use crate::format;
use crate::image::Image;
use crate::joined::{Entry, Joined};
use crate::platform::Platform;

/// The carried images of a cluster image for one or several platforms, under the names by which clusters ask for them.
///
/// Where platforms carry different images of one name, it names an index that is made of them, so that every host is given
/// its own.
///
/// # Errors
/// [`crate::Error::Store`] when such an index cannot be written.
pub fn carried_names(content: &Store, images: &[Image]) -> Result<Vec<Named>> {
    let mut by_name: BTreeMap<&str, BTreeMap<&Platform, &CarriedImage>> = BTreeMap::new();
    for carried in images.iter().flat_map(|image| &image.catalogue().images) {
        by_name.entry(&carried.reference).or_default().entry(&carried.platform).or_insert(carried);
    }
    let mut names = Vec::new();
    for (name, platforms) in by_name {
        let mut all = platforms.values();
        let first = all.next().map(|carried| carried.digest);
        let descriptor = match platforms.values().next() {
            Some(carried) if all.all(|other| Some(other.digest) == first) => carried.descriptor(),
            _ => joined(content, &platforms)?,
        };
        names.push(Named {
            kind: NameKind::CarriedImage,
            name: name.to_owned(),
            descriptor,
            annotations: BTreeMap::new(),
        });
    }
    Ok(names)
}

/// An index of the manifests for these platforms.
fn joined(content: &Store, platforms: &BTreeMap<&Platform, &CarriedImage>) -> Result<Descriptor> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut known: Vec<Digest> = Vec::new();
    for (platform, carried) in platforms {
        // Of an index, the manifest for the platform comes behind it.
        let manifest = carried.blobs.iter().find(|blob| format::is_manifest(&blob.media_type));
        let Some(manifest) = manifest.filter(|manifest| !known.contains(&manifest.digest)) else { continue };
        known.push(manifest.digest);
        let media_type = manifest.media_type.clone();
        let descriptor = documents::Descriptor { media_type, digest: manifest.digest, size: manifest.size };
        entries.push(Entry::of_rootfs(&descriptor, platform));
    }
    Joined::new(entries).put(content)
}

//! Collects the blobs of a cluster image, over all its platforms.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use content_store::{Digest, Store};

use crate::documents::{Descriptor, Manifest, Top};
use crate::error::{Error, Result};
use crate::format;

/// Every blob that the document `top` (an index or a manifest) stands for, itself included, with its size.
///
/// All documents are read and verified, each once; of other blobs only presence and size are checked.
pub(super) fn blobs(store: &Store, top: &Digest) -> Result<BTreeMap<Digest, u64>> {
    let mut blobs = BTreeMap::new();
    let (document, size) = Top::read(store, top)?;
    blobs.insert(*top, size);
    match document {
        Top::Index(index) => {
            for entry in &index.manifests {
                if let Entry::Vacant(place) = blobs.entry(entry.digest) {
                    let bytes = store.read_verified(&entry.digest, format::CATALOGUE_LIMIT)?;
                    place.insert(bytes.len() as u64);
                    let document = serde_json::from_slice(&bytes).map_err(Error::document(entry.digest))?;
                    manifest(store, &document, &mut blobs)?;
                }
            }
        }
        Top::Manifest(document) => manifest(store, &document, &mut blobs)?,
    }
    Ok(blobs)
}

fn manifest(store: &Store, manifest: &Manifest, blobs: &mut BTreeMap<Digest, u64>) -> Result<()> {
    for Descriptor { digest, size, .. } in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let found = match blobs.get(digest) {
            Some(known) => *known,
            None => store.size(digest)?,
        };
        if found != *size {
            let reason = format!("{digest} has {found} bytes, its manifest says {size}");
            return Err(Error::NotAnImage { document: digest.to_string(), reason });
        }
        blobs.insert(*digest, *size);
    }
    Ok(())
}

//! Collects the blobs of a cluster image, over all its platforms.

use std::collections::BTreeMap;

use content_store::{Digest, Store};
use serde_json::Value;

use crate::documents::{Descriptor, Index, Manifest};
use crate::error::{Error, Result};
use crate::format;

/// Every blob that the document `top` (an index or a manifest) stands for, itself included, with its size.
///
/// All documents are read and verified; of other blobs only presence and size are checked.
pub(super) fn blobs(store: &Store, top: &Digest) -> Result<BTreeMap<Digest, u64>> {
    let mut blobs = BTreeMap::new();
    let value = document(store, top, &mut blobs)?;
    if value.get("manifests").is_some() {
        let index: Index = serde_json::from_value(value).map_err(Error::document(top))?;
        for entry in &index.manifests {
            let value = document(store, &entry.digest, &mut blobs)?;
            manifest(store, &entry.digest, value, &mut blobs)?;
        }
    } else {
        manifest(store, top, value, &mut blobs)?;
    }
    Ok(blobs)
}

/// The media type of a top document, told from its content.
pub(super) fn media_type(store: &Store, top: &Digest) -> Result<String> {
    let value = document(store, top, &mut BTreeMap::new())?;
    let default = if value.get("manifests").is_some() { format::INDEX } else { format::MANIFEST };
    Ok(value.get("mediaType").and_then(Value::as_str).unwrap_or(default).to_owned())
}

fn document(store: &Store, digest: &Digest, blobs: &mut BTreeMap<Digest, u64>) -> Result<Value> {
    let bytes = store.read_verified(digest, format::CATALOGUE_LIMIT)?;
    blobs.insert(*digest, bytes.len() as u64);
    serde_json::from_slice(&bytes).map_err(Error::document(digest))
}

fn manifest(store: &Store, digest: &Digest, value: Value, blobs: &mut BTreeMap<Digest, u64>) -> Result<()> {
    let manifest: Manifest = serde_json::from_value(value).map_err(Error::document(digest))?;
    for Descriptor { digest, size, .. } in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let found = store.size(digest)?;
        if found != *size {
            let reason = format!("{digest} has {found} bytes, its manifest says {size}");
            return Err(Error::NotAnImage { document: digest.to_string(), reason });
        }
        blobs.insert(*digest, *size);
    }
    Ok(())
}

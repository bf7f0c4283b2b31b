//! Reads what upstream sealer saves of an image for several platforms: an archive for each of them, and the name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use content_store::{Digest, Reference, Store};

use super::take::Taken;
use crate::documents::{self, Config, Index, IndexEntry, Manifest};
use crate::error::Result;
use crate::format;
use crate::platform::Platform;

/// Puts the images of the inner archives together under one index; `images` reads an archive. Gives the name and the index.
pub(super) fn join(
    store: &Store,
    taken: &Taken,
    name: &[u8],
    images: &dyn Fn(&Taken) -> Result<Vec<Digest>>,
) -> Result<(Reference, Digest)> {
    let name = String::from_utf8_lossy(name).trim().to_owned();
    let name: Reference = name.parse().map_err(|_| taken.fault("Metadata", format!("{name:?} is no image name")))?;
    let archives: Vec<&PathBuf> = taken.files.keys().filter(|path| is_archive(path)).collect();
    if archives.is_empty() {
        return Err(taken.fault("", "there is no image in it"));
    }
    let mut manifests = Vec::new();
    for path in archives {
        let inner = taken.inner(store, path)?;
        for digest in images(&inner)? {
            manifests.push(entry(store, &digest)?);
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(format::INDEX.to_owned()),
        manifests,
        annotations: BTreeMap::new(),
    };
    Ok((name, documents::put(store, &index, format::INDEX)?.digest))
}

fn is_archive(path: &Path) -> bool {
    path.components().count() == 1 && path.extension().is_some_and(|extension| extension == "tar")
}

/// The entry of an image, which says in its config for which platform it is.
fn entry(store: &Store, digest: &Digest) -> Result<IndexEntry> {
    let manifest: Manifest = documents::read(store, digest, format::DOCUMENT_LIMIT)?;
    let config: Config = documents::read(store, &manifest.config.digest, format::DOCUMENT_LIMIT)?;
    Ok(IndexEntry {
        media_type: manifest.media_type.unwrap_or_else(|| format::MANIFEST.to_owned()),
        digest: *digest,
        size: store.size(digest)?,
        platform: Some(Platform { os: config.os, architecture: config.architecture, variant: config.variant }),
        annotations: BTreeMap::new(),
    })
}

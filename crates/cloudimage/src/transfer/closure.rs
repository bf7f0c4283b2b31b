//! Collects what a cluster image consists of, over all its platforms, and tells what of it is not here.

use std::collections::BTreeMap;

use content_store::{Digest, Store};

use crate::documents::{Descriptor, Index, IndexEntry, Manifest, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// What a cluster image consists of.
#[derive(Debug)]
pub(crate) struct Closure {
    /// Digest, media type and size of the index or manifest that it is.
    pub(crate) top: Descriptor,
    /// The manifests whose content is whole, or the single one that the image is.
    pub(crate) manifests: Vec<Part>,
    /// The entries of the index of which something is not here.
    pub(crate) absent: Vec<Absent>,
}

/// A manifest of which something is not here, and the platform that it is for.
#[derive(Debug)]
pub(crate) struct Absent {
    pub(crate) digest: Digest,
    pub(crate) platform: Platform,
    entry: IndexEntry,
}

/// A manifest with the blobs that it lists, by digest with their sizes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) manifest: Descriptor,
    pub(crate) blobs: BTreeMap<Digest, u64>,
}

impl Closure {
    /// Reads all documents, each verified; of other blobs only presence and size are checked.
    pub(crate) fn read(store: &Store, top: &Digest) -> Result<Self> {
        let (document, size) = Top::read(store, top)?;
        let media_type = document.media_type().to_owned();
        let top = Descriptor { media_type, digest: *top, size };
        let mut closure = Self { top: top.clone(), manifests: Vec::new(), absent: Vec::new() };
        match document {
            Top::Index(index) => closure.read_index(store, &index)?,
            Top::Manifest(document) => {
                let blobs = manifest(store, &document)?;
                closure.manifests.push(Part { manifest: top, blobs });
            }
        }
        Ok(closure)
    }

    fn read_index(&mut self, store: &Store, index: &Index) -> Result<()> {
        for entry in &index.manifests {
            if self.manifests.iter().any(|part| part.manifest.digest == entry.digest) {
                continue;
            }
            match part(store, entry) {
                Err(Error::Store(content_store::Error::Missing { .. })) => {
                    let platform =
                        index.rootfs_of(entry).and_then(|rootfs| rootfs.platform.clone()).unwrap_or_default();
                    self.absent.push(Absent { digest: entry.digest, platform, entry: entry.clone() });
                }
                part => self.manifests.push(part?),
            }
        }
        Ok(())
    }

    /// Every blob that is here, documents included, with its size.
    pub(crate) fn blobs(&self) -> BTreeMap<Digest, u64> {
        let mut blobs = BTreeMap::from([(self.top.digest, self.top.size)]);
        for part in &self.manifests {
            blobs.insert(part.manifest.digest, part.manifest.size);
            blobs.extend(&part.blobs);
        }
        blobs
    }
}

/// Every blob that the document `top` (an index or a manifest) stands for, itself included, with its size.
///
/// All documents are read and verified, each once; of other blobs only presence and size are checked.
pub(super) fn blobs(store: &Store, top: &Digest) -> Result<BTreeMap<Digest, u64>> {
    let closure = Closure::read(store, top)?;
    match closure.absent.first() {
        Some(absent) => part(store, &absent.entry).map(|_| BTreeMap::new()),
        None => Ok(closure.blobs()),
    }
}

fn part(store: &Store, entry: &IndexEntry) -> Result<Part> {
    let bytes = store.read_verified(&entry.digest, format::CATALOGUE_LIMIT)?;
    let document = serde_json::from_slice(&bytes).map_err(Error::document(entry.digest))?;
    let size = bytes.len() as u64;
    let descriptor = Descriptor { media_type: entry.media_type.clone(), digest: entry.digest, size };
    Ok(Part { manifest: descriptor, blobs: manifest(store, &document)? })
}

/// What a manifest lists.
fn manifest(store: &Store, manifest: &Manifest) -> Result<BTreeMap<Digest, u64>> {
    let mut blobs = BTreeMap::new();
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
    Ok(blobs)
}

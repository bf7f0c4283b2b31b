//! Collects the blobs of a cluster image, over all its platforms or some.

use std::collections::BTreeMap;

use content_store::{Digest, Store};

use crate::documents::{Descriptor, Index, IndexEntry, Manifest, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// The blobs of an image, with their sizes.
pub(crate) type Blobs = BTreeMap<Digest, u64>;

/// Every blob that the document `top` (an index or a manifest) stands for, itself included, with its size.
///
/// Of an index, those platforms count whose manifest is here, and of them those that `platforms` names, or all when it is
/// empty: an index keeps its digest also where not everything that it lists is at hand. A platform that counts must be whole.
///
/// All documents are read and verified, each once; of other blobs only presence and size are checked.
pub(crate) fn blobs(store: &Store, top: &Digest, platforms: &[Platform]) -> Result<Blobs> {
    let (document, size) = Top::read(store, top)?;
    let mut blobs = BTreeMap::from([(*top, size)]);
    match document {
        Top::Index(index) => of_index(store, &index, platforms, top, &mut blobs)?,
        Top::Manifest(document) => of_manifest(store, &document, &mut blobs)?,
    }
    Ok(blobs)
}

fn of_index(store: &Store, index: &Index, platforms: &[Platform], top: &Digest, blobs: &mut Blobs) -> Result<()> {
    let platform = |entry: &IndexEntry| entry.platform.clone().unwrap_or_default();
    let wanted =
        |entry: &&IndexEntry| platforms.is_empty() || platforms.iter().any(|wanted| platform(entry).serves(wanted));
    let roots: Vec<&IndexEntry> = index.rootfs_entries().collect();
    let is_listed = |wanted: &&Platform| roots.iter().any(|entry| platform(entry).serves(wanted));
    if let Some(missing) = platforms.iter().find(|wanted| !is_listed(wanted)) {
        let available = roots.iter().map(|entry| platform(entry).to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::NoPlatform { name: top.to_string(), wanted: missing.to_string(), available });
    }
    let here = |entry: &IndexEntry| store.contains(&entry.digest);
    let is_one_here = roots.iter().any(|entry| here(entry));
    for root in roots.iter().copied().filter(wanted) {
        // With `platforms`, or when none is here, what is not here is missing.
        if !platforms.is_empty() || !is_one_here || here(root) {
            entry(store, root, blobs)?;
            index.artifact_of(&root.digest).map_or(Ok(()), |artifact| entry(store, artifact, blobs))?;
        }
    }
    // What other tools add, such as attestations, belongs to an image where all of it is there.
    let is_known = |entry: &IndexEntry| entry.annotations.contains_key(format::KIND_ANNOTATION);
    let others = index.manifests.iter().filter(|other| !roots.iter().any(|root| root.digest == other.digest));
    for other in others.filter(|other| platforms.is_empty() && !is_known(other) && here(other)) {
        let mut more = blobs.clone();
        if entry(store, other, &mut more).is_ok() {
            *blobs = more;
        }
    }
    Ok(())
}

fn entry(store: &Store, entry: &IndexEntry, blobs: &mut Blobs) -> Result<()> {
    if blobs.contains_key(&entry.digest) {
        return Ok(());
    }
    let bytes = store.read_verified(&entry.digest, format::CATALOGUE_LIMIT)?;
    blobs.insert(entry.digest, bytes.len() as u64);
    let document = serde_json::from_slice(&bytes).map_err(Error::document(entry.digest))?;
    of_manifest(store, &document, blobs)
}

fn of_manifest(store: &Store, manifest: &Manifest, blobs: &mut Blobs) -> Result<()> {
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

//! Collects what a cluster image consists of, over all its platforms or some, and tells what of it is not here.

use std::collections::BTreeMap;

use content_store::{DOCUMENT_LIMIT, Digest, Store};

use crate::documents::{Descriptor, Index, IndexEntry, Manifest, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// The blobs of an image, with their sizes.
pub(crate) type Blobs = BTreeMap<Digest, u64>;

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
}

/// A manifest with the blobs that it lists, by digest with their sizes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) manifest: Descriptor,
    pub(crate) blobs: Blobs,
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
                    self.absent.push(Absent { digest: entry.digest, platform });
                }
                part => self.manifests.push(part?),
            }
        }
        Ok(())
    }

    /// Every blob that is here, documents included, with its size.
    pub(crate) fn blobs(&self) -> Blobs {
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
/// Of an index, those platforms count whose manifest is here, and of them those that `platforms` names, or all when it is
/// empty: an index keeps its digest also where not everything that it lists is at hand. A platform that counts must be whole.
///
/// All documents are read and verified, each once; of other blobs only presence and size are checked.
pub(crate) fn blobs(store: &Store, top: &Digest, platforms: &[Platform]) -> Result<Blobs> {
    let (document, size) = Top::read(store, top)?;
    let mut blobs = BTreeMap::from([(*top, size)]);
    match document {
        Top::Index(index) => of_index(store, &index, platforms, top, &mut blobs)?,
        Top::Manifest(document) => blobs.extend(manifest(store, &document)?),
    }
    Ok(blobs)
}

fn of_index(store: &Store, index: &Index, platforms: &[Platform], top: &Digest, blobs: &mut Blobs) -> Result<()> {
    let platform = |entry: &IndexEntry| entry.platform.clone().unwrap_or_default();
    let wanted =
        |entry: &&IndexEntry| platforms.is_empty() || platforms.iter().any(|wanted| platform(entry).serves(wanted));
    let roots: Vec<&IndexEntry> = index.rootfs_entries().collect();
    if let Some(missing) = platforms.iter().find(|wanted| !roots.iter().any(|entry| platform(entry).serves(wanted))) {
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
    let part = part(store, entry)?;
    blobs.insert(entry.digest, part.manifest.size);
    blobs.extend(part.blobs);
    Ok(())
}

fn part(store: &Store, entry: &IndexEntry) -> Result<Part> {
    let bytes = store.read_verified(&entry.digest, DOCUMENT_LIMIT)?;
    let document = serde_json::from_slice(&bytes).map_err(Error::document(entry.digest))?;
    let size = bytes.len() as u64;
    let descriptor = Descriptor { media_type: entry.media_type.clone(), digest: entry.digest, size };
    Ok(Part { manifest: descriptor, blobs: manifest(store, &document)? })
}

/// What a manifest lists.
fn manifest(store: &Store, manifest: &Manifest) -> Result<Blobs> {
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

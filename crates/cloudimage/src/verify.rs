//! Reads everything of cluster images again and names what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use content_store::{Digest, Store};
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::documents::{Index, IndexEntry, Manifest, Top};
use crate::error::Result;
use crate::format;
use crate::images::Images;

/// What [`Images::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Verification {
    /// The images that were read.
    pub images: Vec<String>,
    /// Number of blobs, each counted once.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is damaged, by digest.
    pub damaged: Vec<Damage>,
}

/// A damaged blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Damage {
    /// The blob.
    pub digest: Digest,
    /// What is wrong with it.
    pub problem: String,
    /// The images that it is a part of.
    pub images: Vec<String>,
}

/// Hears how many bytes of how many are read; from any thread.
pub type VerifyProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The blobs of images, and what is already known to be wrong.
#[derive(Debug, Default)]
struct Expected {
    /// Each blob with the size that its image says, and the images that have it.
    blobs: BTreeMap<Digest, (Option<u64>, BTreeSet<String>)>,
    problems: BTreeMap<Digest, String>,
    documents: BTreeSet<Digest>,
}

impl Images {
    /// Reads and hashes every blob of these images, or of all images when none is named, on all processors. What is damaged
    /// is part of the answer. Platforms that are not here are no damage.
    ///
    /// A corrupt blob is removed: pulling, loading or building the image brings it again, which would otherwise take it for
    /// whole by its size. Documents stay: they say what else the image needs, and are read whenever it is pulled.
    ///
    /// # Errors
    /// [`crate::Error::UnknownImage`]; [`crate::Error::Store`] when the names cannot be read.
    pub fn verify(&self, names: &[impl AsRef<str>], progress: VerifyProgress<'_>) -> Result<Verification> {
        // Nothing that is being read may be freed meanwhile.
        let _guard = self.content().gc_guard()?;
        let mut tops = Vec::new();
        for name in names {
            let (whole, digest) = self.resolve(name.as_ref())?;
            tops.push((whole.unwrap_or_else(|| digest.to_string()), digest));
        }
        if names.is_empty() {
            for named in self.names()? {
                tops.push((named.name.clone(), Digest::try_from(named.descriptor.digest())?));
            }
        }
        let mut expected = Expected::default();
        for (name, digest) in &tops {
            expected.image(self.content(), name, digest);
        }
        let bytes = expected.read_all(self.content(), progress);
        expected.remove_corrupt(self.content());
        let Expected { blobs, problems, .. } = expected;
        let users = |digest: &Digest| blobs.get(digest).map(|(_, users)| users.iter().cloned().collect());
        let damaged = problems.into_iter();
        Ok(Verification {
            images: tops.into_iter().map(|(name, _)| name).collect(),
            blobs: blobs.len() as u64,
            bytes,
            damaged: damaged
                .map(|(digest, problem)| Damage { digest, problem, images: users(&digest).unwrap_or_default() })
                .collect(),
        })
    }
}

impl Expected {
    fn image(&mut self, store: &Store, name: &str, digest: &Digest) {
        match self.document(store, name, digest, None, Top::parse) {
            Some(Top::Index(index)) => self.index(store, name, &index),
            Some(Top::Manifest(manifest)) => self.manifest(store, name, &manifest),
            None => {}
        }
    }

    fn index(&mut self, store: &Store, name: &str, index: &Index) {
        let is_here = |entry: &IndexEntry| store.contains(&entry.digest);
        let is_one_here = index.rootfs_entries().any(is_here);
        let known = |entry: &&IndexEntry| format::is_manifest(&entry.media_type);
        for entry in index.manifests.iter().filter(known) {
            // The images that go with a rootfs must be there when that is.
            let rootfs = entry.annotations.get(format::ROOTFS_ANNOTATION).and_then(|rootfs| rootfs.parse().ok());
            let is_due = rootfs.map_or_else(|| !is_one_here || is_here(entry), |rootfs| store.contains(&rootfs));
            if is_due
                && let Some(manifest) =
                    self.document(store, name, &entry.digest, Some(entry.size), |bytes| serde_json::from_slice(bytes))
            {
                self.manifest(store, name, &manifest);
            }
        }
    }

    fn manifest(&mut self, store: &Store, name: &str, manifest: &Manifest) {
        for blob in &manifest.layers {
            self.add(name, &blob.digest, Some(blob.size));
        }
        let config = &manifest.config;
        if config.media_type != format::CONTAINER_IMAGES {
            return self.add(name, &config.digest, Some(config.size));
        }
        let catalogue: Option<Catalogue> =
            self.document(store, name, &config.digest, Some(config.size), |bytes| serde_json::from_slice(bytes));
        let listed: BTreeSet<Digest> = manifest.layers.iter().map(|blob| blob.digest).collect();
        let blobs = catalogue.iter().flat_map(|catalogue| &catalogue.images).flat_map(|image| &image.blobs);
        for blob in blobs.filter(|blob| !listed.contains(&blob.digest)) {
            self.add(name, &blob.digest, Some(blob.size));
        }
    }

    /// Notes a blob of an image.
    fn add(&mut self, name: &str, digest: &Digest, size: Option<u64>) {
        let (known, users) = self.blobs.entry(*digest).or_default();
        *known = known.or(size);
        users.insert(name.to_owned());
    }

    /// Notes a document and reads it.
    fn document<T>(
        &mut self,
        store: &Store,
        name: &str,
        digest: &Digest,
        size: Option<u64>,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Option<T> {
        self.add(name, digest, size);
        self.documents.insert(*digest);
        let read = store.read_verified(digest, format::CATALOGUE_LIMIT);
        let parsed = read
            .map_err(|error| problem(&error))
            .and_then(|bytes| parse(&bytes).map_err(|error| format!("it is no document of an image: {error}")));
        parsed.map_err(|problem| self.problems.insert(*digest, problem)).ok()
    }

    /// Removes damaged blobs that are no documents. In a store that can only be read they stay.
    fn remove_corrupt(&mut self, store: &Store) {
        let documents = &self.documents;
        for (digest, problem) in self.problems.iter_mut().filter(|(digest, _)| !documents.contains(digest)) {
            if store.remove_corrupt(digest).unwrap_or(false) {
                problem.push_str("; it was removed, so that pulling, loading or building brings it again");
            }
        }
    }

    /// Hashes every blob, and notes what is wrong. Gives the bytes that were read.
    fn read_all(&mut self, store: &Store, progress: VerifyProgress<'_>) -> u64 {
        let blobs: Vec<(Digest, Option<u64>)> = self.blobs.iter().map(|(digest, (size, _))| (*digest, *size)).collect();
        let total = blobs.iter().filter_map(|(digest, _)| store.size(digest).ok()).sum();
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let problems = Mutex::new(std::mem::take(&mut self.problems));
        let work = || {
            while let Some((digest, size)) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = store.verify(digest).map_err(|error| problem(&error)).and_then(|()| {
                    let found = store.size(digest).map_err(|error| problem(&error))?;
                    let is_right = size.is_none_or(|size| size == found);
                    let right = size.unwrap_or_default();
                    if is_right { Ok(()) } else { Err(format!("it has {found} bytes, its image says {right}")) }
                });
                if let Err(problem) = found {
                    problems.lock().unwrap_or_else(PoisonError::into_inner).entry(*digest).or_insert(problem);
                }
                let size = store.size(digest).unwrap_or_default();
                progress(done.fetch_add(size, Ordering::Relaxed) + size, total);
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8).min(blobs.len().max(1));
        std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        self.problems = problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.into_inner()
    }
}

/// What is wrong, in words for a list.
fn problem(error: &content_store::Error) -> String {
    use content_store::Error as Store;
    match error {
        Store::Missing { .. } => "it is missing".to_owned(),
        Store::Corrupt { found, .. } => format!("it is corrupt: its bytes have the digest {found}"),
        Store::File { source, .. } => format!("it cannot be read: {source}"),
        other => other.to_string(),
    }
}

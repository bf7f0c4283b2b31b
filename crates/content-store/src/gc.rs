//! Removes the blobs that no name reaches.

use crate::error::{Error, Result};
use crate::lock::Exclusive;
use crate::store::{DOCUMENT_LIMIT, PARTIAL_PREFIX};
use crate::{Blob, Digest, Named, Store, mentioned, reserve};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes the blobs that no entry of `index.json` reaches.
    ///
    /// Reached is every blob whose digest stands anywhere in a reached JSON document: indexes, manifests, catalogues and documents
    /// of kinds that do not exist yet. Blobs that are listed but not here (other platforms) are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] at once when anybody has a [`crate::GcGuard`] or writes; [`Error::Corrupt`] when a document that decides what is reached
    /// is corrupt (nothing is removed then); [`Error::File`].
    pub fn collect_garbage(&self) -> Result<Freed> {
        let alone = self.alone()?;
        let removed = alone.garbage(&BTreeSet::new())?.remove(Partials::Useless)?;
        Ok(removed.blobs)
    }

    /// Takes the store for itself: until the answer is dropped, nobody writes blobs or takes a [`crate::GcGuard`].
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] at once when anybody does; [`Error::File`].
    pub fn alone(&self) -> Result<Alone<'_>> {
        match Exclusive::attempt(&self.paths.lock)? {
            Some(lock) => Ok(Alone { store: self, _lock: lock }),
            None => Err(Error::InUse { root: self.paths.root.clone() }),
        }
    }

    /// Adds the blobs that can be reached from `roots`.
    pub(crate) fn reach(
        &self,
        stored: &BTreeMap<Digest, u64>,
        reached: &mut BTreeSet<Digest>,
        roots: impl IntoIterator<Item = Digest>,
    ) -> Result<()> {
        let mut open: Vec<Digest> = roots.into_iter().collect();
        while let Some(digest) = open.pop() {
            match stored.get(&digest) {
                Some(size) if reached.insert(digest) => {
                    open.extend(self.mentioned(&digest, *size)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the file of a blob; says whether it was there.
    fn remove_blob(&self, digest: &Digest) -> Result<bool> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::file("remove", &path, source)),
        }
    }

    /// The size of every stored blob.
    pub(crate) fn stored(&self) -> Result<BTreeMap<Digest, u64>> {
        Ok(self.blobs()?.into_iter().map(|Blob { digest, size }| (digest, size)).collect())
    }

    /// Every digest that stands in the blob as a text or as a field name, if it is a JSON document.
    fn mentioned(&self, digest: &Digest, size: u64) -> Result<Vec<Digest>> {
        if size > DOCUMENT_LIMIT {
            return Ok(Vec::new());
        }
        let mut start = [0; 64];
        let count = self
            .open_blob(digest)?
            .read(&mut start)
            .map_err(|source| Error::file("read", &self.blob_path(digest), source))?;
        let first = start[..count].iter().find(|byte| !byte.is_ascii_whitespace());
        if !matches!(first, Some(b'{' | b'[')) {
            return Ok(Vec::new());
        }
        let bytes = self.read_verified(digest, DOCUMENT_LIMIT)?;
        Ok(mentioned::digests(&bytes).unwrap_or_default())
    }

    /// Partial blobs, with their sizes.
    fn partials(&self, which: Partials) -> Result<Vec<(String, u64)>> {
        let fail = |source| Error::file("list", &self.paths.ingest, source);
        let mut partials = Vec::new();
        for entry in fs::read_dir(&self.paths.ingest).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_meant =
                name.starts_with(PARTIAL_PREFIX) && (which == Partials::All || self.is_useless_partial(&name));
            if is_meant && let Ok(metadata) = entry.metadata() {
                partials.push((name, metadata.len()));
            }
        }
        Ok(partials)
    }

    /// A partial blob of something that is here, or that nobody continued for a week.
    fn is_useless_partial(&self, name: &str) -> bool {
        const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
        let digest = name.strip_prefix(PARTIAL_PREFIX).and_then(|hex| Digest::from_hex(hex).ok());
        let modified = fs::metadata(self.paths.ingest.join(name)).and_then(|metadata| metadata.modified());
        let is_old = modified.ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > MAX_AGE);
        is_old || digest.is_none_or(|digest| self.contains(&digest))
    }
}

/// Which partial blobs a collection takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partials {
    /// Those of blobs that are here, and those that nobody continued for a week.
    Useless,
    /// All: interrupted transfers start again.
    All,
}

/// A store that nobody else writes to.
#[derive(Debug)]
#[must_use]
pub struct Alone<'a> {
    pub(crate) store: &'a Store,
    _lock: Exclusive,
}

/// The blobs that nothing reaches.
#[derive(Debug)]
pub struct Garbage<'a> {
    alone: &'a Alone<'a>,
    blobs: BTreeMap<Digest, u64>,
}

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Blobs.
    pub blobs: Freed,
    /// Partial blobs.
    pub partials: Freed,
}

impl Alone<'_> {
    /// Finds the blobs that neither an entry of `index.json` nor `keep` reaches.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when a document that decides what is reached is corrupt; [`Error::File`].
    pub fn garbage(&self, keep: &BTreeSet<Digest>) -> Result<Garbage<'_>> {
        let store = self.store;
        let mut blobs = store.stored()?;
        let mut reached = BTreeSet::new();
        let roots = store.roots(|_| true)?.into_iter().chain(store.protected()?);
        store.reach(&blobs, &mut reached, roots.chain(keep.iter().copied()))?;
        blobs.retain(|digest, _| !reached.contains(digest));
        Ok(Garbage { alone: self, blobs })
    }

    /// Removes a blob that no name reaches, although it may be protected; says whether it was one.
    ///
    /// # Errors
    ///
    /// As [`Alone::garbage`].
    pub fn remove_unnamed(&self, digest: &Digest) -> Result<bool> {
        let (stored, mut reached) = (self.store.stored()?, BTreeSet::new());
        self.store.reach(&stored, &mut reached, self.store.roots(|_| true)?)?;
        self.store.unprotect(digest)?;
        Ok(!reached.contains(digest) && self.store.remove_blob(digest)?)
    }

    /// Removes every name that `is_unwanted` accepts; returns how many.
    ///
    /// # Errors
    ///
    /// As [`Store::remove_names_where`].
    pub fn forget(&self, is_unwanted: impl FnMut(&Named) -> bool) -> Result<usize> {
        self.store.forget_names(is_unwanted)
    }
}

impl Garbage<'_> {
    /// Digests and sizes of the blobs.
    #[must_use]
    pub fn blobs(&self) -> &BTreeMap<Digest, u64> {
        &self.blobs
    }

    /// What [`Garbage::remove`] would take away.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn sizes(&self, partials: Partials) -> Result<Removed> {
        let partials = self.alone.store.partials(partials)?;
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(Freed::default(), Freed::with);
        Ok(Removed {
            blobs: sum(&mut self.blobs.values().copied()),
            partials: sum(&mut partials.iter().map(|(_, size)| *size)),
        })
    }

    /// Removes the blobs, what killed writers left, and partial blobs.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn remove(self, partials: Partials) -> Result<Removed> {
        let store = self.alone.store;
        let mut removed = Removed::default();
        // Documents first: whoever is killed meanwhile leaves none whose parts are gone.
        let is_document = |(digest, size): &(&Digest, &u64)| {
            store.mentioned(digest, **size).map_or(true, |mentioned| !mentioned.is_empty())
        };
        let (documents, others): (Vec<_>, Vec<_>) = self.blobs.iter().partition(is_document);
        for (digest, size) in documents.into_iter().chain(others) {
            if store.remove_blob(digest)? {
                removed.blobs = removed.blobs.with(*size);
            }
        }
        let unwanted: BTreeMap<String, u64> = store.partials(partials)?.into_iter().collect();
        store.remove_files(&store.paths.ingest, |name| {
            let is_kept = name.starts_with(PARTIAL_PREFIX) || store.is_live_upload(name);
            !is_kept || unwanted.contains_key(name)
        })?;
        removed.partials = unwanted.into_values().fold(Freed::default(), Freed::with);
        store.sync_blobs()?;
        reserve::keep(&store.paths.reserve);
        Ok(removed)
    }
}

impl Freed {
    fn with(self, bytes: u64) -> Self {
        Self { blobs: self.blobs + 1, bytes: self.bytes + bytes }
    }
}

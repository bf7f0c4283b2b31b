//! Removes the blobs that no name reaches.

use crate::error::{Error, Result};
use crate::lock::Exclusive;
use crate::store::{DOCUMENT_LIMIT, PARTIAL_PREFIX};
use crate::{Blob, Digest, Store, mentioned, reserve};
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
        self.collect_garbage_except(&BTreeSet::new())
    }

    /// As [`Store::collect_garbage`], keeping also what `keep` reaches.
    ///
    /// # Errors
    ///
    /// As [`Store::collect_garbage`].
    pub fn collect_garbage_except(&self, keep: &BTreeSet<Digest>) -> Result<Freed> {
        let Some(_alone) = Exclusive::attempt(&self.paths.lock)? else {
            return Err(Error::InUse { root: self.paths.root.clone() });
        };
        let stored: BTreeMap<Digest, u64> =
            self.blobs()?.into_iter().map(|Blob { digest, size }| (digest, size)).collect();
        let reached = self.reach(&stored, self.roots()?.into_iter().chain(keep.iter().copied()))?;
        let mut freed = Freed::default();
        for (digest, size) in stored.iter().filter(|(digest, _)| !reached.contains(digest)) {
            let path = self.blob_path(digest);
            match fs::remove_file(&path) {
                Ok(()) => {
                    freed.blobs += 1;
                    freed.bytes += size;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::file("remove", &path, source)),
            }
        }
        self.remove_files(&self.paths.ingest, |name| {
            !name.starts_with(PARTIAL_PREFIX) || self.is_useless_partial(name)
        })?;
        self.sync_blobs()?;
        reserve::keep(&self.paths.reserve);
        Ok(freed)
    }

    /// The blobs that can be reached from `roots`.
    fn reach(&self, stored: &BTreeMap<Digest, u64>, roots: impl Iterator<Item = Digest>) -> Result<BTreeSet<Digest>> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Digest> = roots.collect();
        while let Some(digest) = open.pop() {
            match stored.get(&digest) {
                Some(size) if reached.insert(digest) => {
                    open.extend(self.mentioned(&digest, *size)?);
                }
                _ => {}
            }
        }
        Ok(reached)
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

    /// A partial blob of something that is here, or that nobody continued for a week.
    fn is_useless_partial(&self, name: &str) -> bool {
        const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
        let digest = name.strip_prefix(PARTIAL_PREFIX).and_then(|hex| Digest::from_hex(hex).ok());
        let modified = fs::metadata(self.paths.ingest.join(name)).and_then(|metadata| metadata.modified());
        let is_old = modified.ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > MAX_AGE);
        is_old || digest.is_none_or(|digest| self.contains(&digest))
    }
}

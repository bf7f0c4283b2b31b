//! Chooses names that are given up to save space: cached images by their last use, pushed ones without a tag.

use crate::error::{Error, Result};
use crate::gc::Alone;
use crate::{Digest, NameKind, Named, References, Store};
use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, SystemTime};

/// The use of a blob is noted at most this often.
const PRECISION: Duration = Duration::from_secs(60);

impl Store {
    /// Notes that the blob, the manifest of a cached image, was asked for just now. One that is not here is no error.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the time cannot be set.
    pub fn mark_used(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        let Ok(file) = File::open(&path) else { return Ok(()) };
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < PRECISION)) {
            return Ok(());
        }
        file.set_modified(SystemTime::now()).map_err(|source| Error::file("set the time of", &path, source))
    }

    fn last_use(&self, digest: &Digest) -> SystemTime {
        let metadata = std::fs::metadata(self.blob_path(digest));
        metadata.and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Alone<'_> {
    /// Gives up the names of cached images that were used least recently, until what names reach is no larger than `limit` bytes. Their
    /// blobs are garbage then. Returns the names.
    ///
    /// # Errors
    ///
    /// As [`Alone::garbage`]; [`Error::NoSpace`].
    pub fn forget_cached(&self, limit: u64) -> Result<BTreeSet<String>> {
        let stored = self.store.stored()?;
        let names = self.store.names()?;
        let is_cached = |named: &&Named| named.kind == NameKind::CachedImage;
        let digest = |named: &Named| Digest::try_from(named.descriptor.digest());
        let mut reached = BTreeSet::new();
        let roots = self.store.roots(|named| named.kind != NameKind::CachedImage)?;
        self.store.reach(&stored, &mut reached, roots.into_iter().chain(self.store.protected()?))?;
        let mut cached: Vec<(SystemTime, Digest, &str)> = Vec::new();
        for named in names.iter().filter(is_cached) {
            let digest = digest(named)?;
            cached.push((self.store.last_use(&digest), digest, &named.name));
        }
        cached.sort_by(|one, other| other.cmp(one));
        let (mut unwanted, mut is_full) = (BTreeSet::new(), false);
        for (_, digest, name) in cached {
            if !is_full {
                self.store.reach(&stored, &mut reached, [digest])?;
                is_full = reached.iter().filter_map(|digest| stored.get(digest)).sum::<u64>() > limit;
            }
            if is_full {
                unwanted.insert(name.to_owned());
            }
        }
        self.forget(|named| named.kind == NameKind::CachedImage && unwanted.contains(&named.name))?;
        Ok(unwanted)
    }

    /// Gives up pushed manifests that have no tag, are part of nothing that has one, and refer to no subject that is kept. Returns how many.
    ///
    /// # Errors
    ///
    /// As [`Alone::garbage`]; [`Error::NoSpace`].
    pub fn forget_untagged(&self) -> Result<usize> {
        let stored = self.store.stored()?;
        let is_untagged = |named: &Named| named.kind == NameKind::PushedImage && named.name.contains('@');
        let mut reached = BTreeSet::new();
        let roots = self.store.roots(|named| !is_untagged(named))?;
        // What was pushed just now may be a part of what comes next.
        self.store.reach(&stored, &mut reached, roots.into_iter().chain(self.store.protected()?))?;
        let mut open: Vec<(Digest, Option<Digest>)> = Vec::new();
        for named in self.store.names()?.iter().filter(|named| is_untagged(named)) {
            let digest = Digest::try_from(named.descriptor.digest())?;
            let document = self.store.read_verified(&digest, crate::DOCUMENT_LIMIT);
            open.push((digest, document.ok().and_then(|bytes| References::of(&bytes)?.subject)));
        }
        // What is kept may be the subject of more.
        loop {
            let kept =
                |(_, subject): &(Digest, Option<Digest>)| subject.is_some_and(|subject| reached.contains(&subject));
            let (more, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(kept);
            open = rest;
            if more.is_empty() {
                break;
            }
            self.store.reach(&stored, &mut reached, more.into_iter().map(|(digest, _)| digest))?;
        }
        self.forget(|named| {
            is_untagged(named)
                && Digest::try_from(named.descriptor.digest()).is_ok_and(|digest| !reached.contains(&digest))
        })
    }
}

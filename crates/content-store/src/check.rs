//! Reads the whole store again: blobs with other bytes, and names whose image is not whole.

use crate::error::{Error, Result};
use crate::store::DOCUMENT_LIMIT;
use crate::{Blob, Digest, NameKind, References, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What [`Store::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The number of blobs that were read.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is wrong, by digest.
    pub problems: BTreeMap<Digest, String>,
}

impl Store {
    /// Reads every blob and compares it with its digest, on all processors; then follows the names of pushed and carried images and
    /// finds what they need and is not here. Manifests that an index lists may be missing; cached images may be partly here.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::Layout`] when the store cannot be read; what is wrong with blobs is part of the answer.
    pub fn check(&self) -> Result<Check> {
        // Nothing that is being read may be freed meanwhile.
        let _guard = self.gc_guard()?;
        let blobs = self.blobs()?;
        let mut check =
            Check { blobs: blobs.len() as u64, bytes: blobs.iter().map(|blob| blob.size).sum(), ..Check::default() };
        check.problems = self.corrupt(blobs);
        for named in self.names()? {
            if matches!(named.kind, NameKind::PushedImage | NameKind::CarriedImage) {
                self.follow(&named.name, Digest::try_from(named.descriptor.digest())?, &mut check.problems);
            }
        }
        Ok(check)
    }

    fn corrupt(&self, blobs: Vec<Blob>) -> BTreeMap<Digest, String> {
        let queue = Mutex::new(blobs);
        let problems = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some(blob) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                match self.verify(&blob.digest) {
                    // It may have been deleted meanwhile; names that need it say so.
                    Ok(()) | Err(Error::Missing { .. }) => {}
                    Err(error) => {
                        problems.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.digest, error.to_string());
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        problems.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, name: &str, top: Digest, problems: &mut BTreeMap<Digest, String>) {
        let mut missing = |digest: &Digest| {
            problems.entry(*digest).or_insert_with(|| format!("{digest} is not here, and {name} needs it"));
        };
        if !self.contains(&top) {
            missing(&top);
        }
        let (mut open, mut seen) = (vec![top], BTreeSet::new());
        while let Some(digest) = open.pop() {
            if !seen.insert(digest) {
                continue;
            }
            let Ok(bytes) = self.read_verified(&digest, DOCUMENT_LIMIT) else { continue };
            let Some(references) = References::of(&bytes) else { continue };
            references.required.iter().filter(|digest| !self.contains(digest)).for_each(&mut missing);
            open.extend(references.optional);
        }
    }
}

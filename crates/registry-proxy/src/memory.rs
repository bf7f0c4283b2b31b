//! A source in memory, the stand-in for tests.

use crate::source::{BlobStream, Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
use async_trait::async_trait;
use bytes::Bytes;
use content_store::Digest;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Manifests and blobs that live as long as the value. Repositories are told apart by registry and path.
#[derive(Debug, Default)]
pub struct MemorySource {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tags: BTreeMap<Key, BTreeMap<String, (Digest, String)>>,
    blobs: BTreeMap<Digest, Bytes>,
    is_broken: bool,
}

/// Registry and path.
type Key = (Option<String>, String);

impl MemorySource {
    /// Puts a manifest under a tag; returns its digest.
    pub fn add_manifest(
        &self,
        repository: &Repository,
        tag: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let digest = self.add_blob(bytes);
        let target = (digest, media_type.to_owned());
        self.state().tags.entry(key(repository)).or_default().insert(tag.to_owned(), target);
        digest
    }

    /// Puts a blob; returns its digest.
    pub fn add_blob(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.state().blobs.insert(digest, bytes);
        digest
    }

    /// Changes the bytes of a blob, as a faulty disk does.
    pub fn corrupt(&self, digest: &Digest) {
        self.state().blobs.insert(*digest, Bytes::from_static(b"other bytes"));
    }

    /// From now on every request fails.
    pub fn break_down(&self) {
        self.state().is_broken = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self) -> Result<MutexGuard<'_, State>, SourceError> {
        let state = self.state();
        if state.is_broken { Err(SourceError::failed("this source is broken")) } else { Ok(state) }
    }
}

impl State {
    fn verified(&self, digest: &Digest) -> Result<Option<Bytes>, SourceError> {
        match self.blobs.get(digest) {
            Some(bytes) if digest.algorithm().digest(bytes) == *digest => Ok(Some(bytes.clone())),
            Some(_) => Err(SourceError::Corrupt { digest: *digest }),
            None => Ok(None),
        }
    }
}

fn key(repository: &Repository) -> Key {
    (repository.registry.clone(), repository.path.clone())
}

#[async_trait]
impl Source for MemorySource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let state = self.working()?;
        let tagged = |tag| state.tags.get(&key(repository))?.get(tag).cloned();
        let (digest, media_type) = match reference {
            ManifestReference::Digest(digest) => (*digest, None),
            ManifestReference::Tag(tag) => match tagged(tag) {
                Some((digest, media_type)) => (digest, Some(media_type)),
                None => return Ok(None),
            },
        };
        Ok(state.verified(&digest)?.map(|bytes| Manifest::new(digest, media_type, bytes)))
    }

    async fn blob(&self, _: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        Ok(self.working()?.verified(digest)?.map(|bytes| Box::new(MemoryBlob(bytes)) as Box<dyn SourceBlob>))
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        Ok(self.working()?.tags.get(&key(repository)).map(|tags| tags.keys().cloned().collect()))
    }

    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.working()?.tags.keys().map(|(_, path)| path.clone()).collect())
    }

    /// Nothing here is about another manifest.
    async fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<Manifest>, SourceError> {
        Ok(Vec::new())
    }
}

#[derive(Debug)]
struct MemoryBlob(Bytes);

#[async_trait]
impl SourceBlob for MemoryBlob {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(self: Box<Self>, range: Range<u64>) -> Result<BlobStream, SourceError> {
        let offset = |end| usize::try_from(end).map_err(SourceError::failed);
        let bytes = self.0.slice(offset(range.start)?..offset(range.end)?);
        Ok(stream::iter([io::Result::Ok(bytes)]).boxed())
    }
}

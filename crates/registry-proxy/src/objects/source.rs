//! Answers from an object store.

use super::{Target, blob_key, repository_key};
use crate::source::{
    BlobStream, DEFAULT_REGISTRY, Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError,
};
use async_trait::async_trait;
use bytes::Bytes;
use content_store::{DOCUMENT_LIMIT, Digest, Hasher, Reference};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::{ObjectStore, Stored};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The most blobs whose verification is remembered; then it starts over.
const LIMIT: usize = 16_384;

/// Content that [`publish`](super::publish()) wrote, as a [`Source`] that keeps nothing.
///
/// A whole blob is compared with its digest while it is sent, and its last bytes follow only when it was right. The first part of a blob that is
/// asked for costs a transfer of all of it, for the comparison.
#[derive(Clone, Debug)]
pub struct ObjectSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    objects: ObjectStore,
    /// Versions of objects that have the right bytes.
    verified: Mutex<HashMap<Digest, Option<String>>>,
}

impl ObjectSource {
    /// A source over a store.
    #[must_use]
    pub fn new(objects: ObjectStore) -> Self {
        Self(Arc::new(Inner { objects, verified: Mutex::default() }))
    }
}

impl Inner {
    /// A small object, at most as large as a document may be.
    async fn document(&self, key: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(object) = self.objects.get(key, None).await.map_err(SourceError::failed)? else { return Ok(None) };
        if object.size > DOCUMENT_LIMIT {
            return Ok(None);
        }
        let bytes = object.stream.try_fold(Vec::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > DOCUMENT_LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
        });
        bytes.await.map(Some).map_err(SourceError::failed)
    }

    /// Transfers the whole object to compare it with its digest, unless this version was compared before.
    async fn verify(&self, digest: &Digest, etag: Option<&str>) -> Result<(), SourceError> {
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if known.is_some_and(|known| known.is_some() && known.as_deref() == etag) {
            return Ok(());
        }
        let gone = || SourceError::failed(format!("{digest} is gone"));
        let object = self.objects.get(&blob_key(digest), None).await.map_err(SourceError::failed)?.ok_or_else(gone)?;
        let etag = object.etag.clone();
        let hashed = object.stream.try_fold(Hasher::new(digest.algorithm()), |mut hasher, piece| async move {
            hasher.update(&piece);
            Ok(hasher)
        });
        if hashed.await.map_err(SourceError::failed)?.finish() != *digest {
            return Err(SourceError::Corrupt { digest: *digest });
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= LIMIT {
            verified.clear();
        }
        verified.insert(*digest, etag);
        Ok(())
    }
}

#[async_trait]
impl Source for ObjectSource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let (digest, media_type) = match reference {
            ManifestReference::Digest(digest) => (*digest, None),
            ManifestReference::Tag(tag) => {
                let Some(name) = named(repository, tag) else { return Ok(None) };
                let target = self.0.document(&format!("{}{tag}", repository_key(&name))).await?;
                let Some(target) = target else { return Ok(None) };
                let target: Target = serde_json::from_slice(&target).map_err(SourceError::failed)?;
                (target.digest, Some(target.media_type))
            }
        };
        let Some(bytes) = self.0.document(&blob_key(&digest)).await? else { return Ok(None) };
        match digest.matches(&bytes) {
            true => Ok(Some(Manifest::new(digest, media_type, bytes))),
            false => Err(SourceError::Corrupt { digest }),
        }
    }

    async fn blob(&self, _: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        let stored = self.0.objects.head(&blob_key(digest)).await.map_err(SourceError::failed)?;
        let blob = |stored| Box::new(ObjectBlob { source: self.0.clone(), digest: *digest, stored });
        Ok(stored.map(|stored| blob(stored) as Box<dyn SourceBlob>))
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        let Some(name) = named(repository, "latest") else { return Ok(None) };
        let prefix = repository_key(&name);
        let listed = self.0.objects.list(&prefix).await.map_err(SourceError::failed)?;
        let tags: Vec<String> =
            listed.iter().filter_map(|stored| stored.key.strip_prefix(&prefix)).map(str::to_owned).collect();
        Ok((!tags.is_empty()).then_some(tags))
    }

    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        let listed = self.0.objects.list("names/").await.map_err(SourceError::failed)?;
        let path = |stored: &Stored| {
            Some(stored.key.strip_prefix("names/")?.split_once('/')?.1.rsplit_once(':')?.0.to_owned())
        };
        let mut paths: Vec<String> = listed.iter().filter_map(path).collect();
        paths.dedup();
        Ok(paths)
    }

    /// Nothing here is about another manifest.
    async fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<Manifest>, SourceError> {
        Ok(Vec::new())
    }
}

fn named(repository: &Repository, tag: &str) -> Option<Reference> {
    Reference::new(repository.registry.as_deref().unwrap_or(DEFAULT_REGISTRY), &repository.path, tag).ok()
}

#[derive(Debug)]
struct ObjectBlob {
    source: Arc<Inner>,
    digest: Digest,
    stored: Stored,
}

#[async_trait]
impl SourceBlob for ObjectBlob {
    fn size(&self) -> u64 {
        self.stored.size
    }

    async fn read(self: Box<Self>, range: Range<u64>) -> Result<BlobStream, SourceError> {
        let (digest, key) = (self.digest, blob_key(&self.digest));
        let is_whole = range == (0..self.stored.size);
        if !is_whole {
            self.source.verify(&digest, self.stored.etag.as_deref()).await?;
            if range.is_empty() {
                return Ok(stream::empty().boxed());
            }
        }
        let part = (!is_whole).then_some(range);
        let object = self.source.objects.get(&key, part).await.map_err(SourceError::failed)?;
        let object = object.ok_or_else(|| SourceError::failed(format!("{key} is gone")))?;
        if is_whole { Ok(verified(object.stream, digest)) } else { Ok(object.stream) }
    }
}

/// The bytes one piece late, so that the last one follows only when all have the digest.
fn verified(bytes: BlobStream, digest: Digest) -> BlobStream {
    let start = (bytes, Some(Hasher::new(digest.algorithm())), Bytes::new());
    stream::try_unfold(start, move |(mut bytes, hasher, mut held)| async move {
        let Some(mut hasher) = hasher else { return Ok(None) };
        loop {
            match bytes.try_next().await? {
                Some(piece) => {
                    hasher.update(&piece);
                    let before = std::mem::replace(&mut held, piece);
                    if !before.is_empty() {
                        return Ok(Some((before, (bytes, Some(hasher), held))));
                    }
                }
                None if hasher.finish() == digest => return Ok(Some((held, (bytes, None, Bytes::new())))),
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, SourceError::Corrupt { digest })),
            }
        }
    })
    .boxed()
}

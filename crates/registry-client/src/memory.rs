//! A registry in memory, the stand-in for tests.

use crate::error::{Error, Result};
use crate::wire::{self, Object};
use crate::{BlobStream, ImageName, Manifest, Registry, name};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Any number of registries that live as long as the value.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    manifests: BTreeMap<ImageName, Manifest>,
    blobs: BTreeMap<(String, String, String), Bytes>,
    broken: BTreeSet<String>,
    asked: Vec<String>,
}

impl Memory {
    /// Puts a manifest under the name and under its digest, which is returned.
    pub fn put_manifest(&self, image: &ImageName, media_type: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = wire::digest_of(&bytes);
        let manifest = Manifest { media_type: media_type.to_owned(), digest: digest.clone(), bytes };
        let mut state = self.state();
        state.manifests.insert(image.with_reference(&digest), manifest.clone());
        state.manifests.insert(image.clone(), manifest);
        digest
    }

    /// Puts a blob into the repository of the image; returns its digest.
    pub fn put_blob(&self, image: &ImageName, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = wire::digest_of(&bytes);
        self.state().blobs.insert(key(image, &digest), bytes);
        digest
    }

    /// The next transfer of this blob breaks off in the middle.
    pub fn break_blob(&self, digest: &str) {
        self.state().broken.insert(digest.to_owned());
    }

    /// Everything that was asked for, in order, as messages call it.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for Memory {
    async fn manifest(&self, image: &ImageName, accept: &[&str]) -> Result<Manifest> {
        image.check()?;
        let mut state = self.state();
        state.asked.push(Object::Manifest(image).title());
        let found = state
            .manifests
            .get(image)
            .filter(|manifest| accept.is_empty() || accept.contains(&manifest.media_type.as_str()));
        found.cloned().ok_or_else(|| not_found(&Object::Manifest(image)))
    }

    async fn blob(&self, image: &ImageName, digest: &str, offset: u64) -> Result<BlobStream> {
        image.check()?;
        name::check_digest(digest)?;
        let object = Object::Blob(image, digest);
        let mut state = self.state();
        state.asked.push(object.title());
        let bytes = state.blobs.get(&key(image, digest)).cloned().ok_or_else(|| not_found(&object))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.slice(start..);
        let is_broken = state.broken.remove(digest);
        let end = if is_broken { rest.len() / 2 } else { rest.len() };
        let mut items: Vec<Result<Bytes>> =
            rest[..end].chunks(64 << 10).map(|chunk| Ok(rest.slice_ref(chunk))).collect();
        if is_broken {
            items.push(Err(Error::Interrupted {
                object: object.title(),
                host: image.registry.clone(),
                source: "broken on purpose".into(),
            }));
        }
        Ok(BlobStream { size: Some(bytes.len() as u64), stream: Box::pin(stream::iter(items)) })
    }

    async fn blob_exists(&self, image: &ImageName, digest: &str) -> Result<Option<u64>> {
        image.check()?;
        name::check_digest(digest)?;
        Ok(self.state().blobs.get(&key(image, digest)).map(|bytes| bytes.len() as u64))
    }
}

fn key(image: &ImageName, digest: &str) -> (String, String, String) {
    (image.registry.clone(), image.repository.clone(), digest.to_owned())
}

fn not_found(object: &Object<'_>) -> Error {
    Error::NotFound { object: object.title(), host: object.image().registry.clone() }
}

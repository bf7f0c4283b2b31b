//! A registry in memory, the stand-in for tests.

use crate::error::{Error, Result};
use crate::wire::Object;
use crate::{BlobStream, Digest, Manifest, Mount, Reference, Registry, Upload, UploadBody, UploadSession};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Any number of registries that live as long as the value.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    manifests: BTreeMap<Reference, Manifest>,
    blobs: BTreeMap<(String, String, Digest), Bytes>,
    uploads: BTreeMap<String, Vec<u8>>,
    broken: BTreeSet<Digest>,
    requested: Vec<String>,
}

impl Memory {
    /// Puts a manifest under the name and under its digest, which is returned.
    pub fn add_manifest(&self, image: &Reference, media_type: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = image.digest().copied().unwrap_or_else(|| Digest::of(&bytes));
        let manifest = Manifest { media_type: media_type.to_owned(), digest, bytes };
        let mut state = self.state();
        state.manifests.insert(image.with_digest(digest), manifest.clone());
        state.manifests.insert(image.clone(), manifest);
        digest
    }

    /// Puts a blob into the repository of the image; returns its digest.
    pub fn add_blob(&self, image: &Reference, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.add_blob_as(image, digest, bytes);
        digest
    }

    /// Puts bytes under a digest that need not be theirs, as a faulty registry does.
    pub fn add_blob_as(&self, image: &Reference, digest: Digest, bytes: impl Into<Bytes>) {
        self.state().blobs.insert(key(image, &digest), bytes.into());
    }

    /// The next transfer of this blob breaks off in the middle.
    pub fn break_blob(&self, digest: &Digest) {
        self.state().broken.insert(*digest);
    }

    /// Everything that was asked for, in order, as messages call it.
    pub fn requested(&self) -> Vec<String> {
        self.state().requested.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to an upload and gives its length; checks that nothing is skipped.
    async fn append(&self, image: &Reference, session: &UploadSession, mut body: UploadBody) -> Result<u64> {
        let object = Object::Upload(image);
        let host = image.registry().to_owned();
        let mut bytes = Vec::new();
        let mut broken = None;
        while let Some(part) = body.stream.next().await {
            match part {
                Ok(part) => bytes.extend_from_slice(&part),
                Err(source) => {
                    broken =
                        Some(Error::Interrupted { object: object.title(), host: host.clone(), source: source.into() });
                    break;
                }
            }
        }
        let mut state = self.state();
        let upload = state.uploads.get_mut(&session.location).ok_or_else(|| not_found(&object))?;
        if upload.len() as u64 != session.offset {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(Error::Answer { object: object.title(), host, status, message: String::new() });
        }
        // What arrived before a break stays, as in real registries.
        upload.extend_from_slice(&bytes);
        broken.map_or(Ok(upload.len() as u64), Err)
    }
}

#[async_trait]
impl Registry for Memory {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest> {
        let mut state = self.state();
        state.requested.push(Object::Manifest(image).title());
        // A digest decides; a tag beside it says nothing more.
        let found = match image.digest() {
            Some(digest) => state.manifests.get(&image.with_digest(*digest)),
            None => state.manifests.get(image),
        };
        let found = found.filter(|found| accept.is_empty() || accept.contains(&found.media_type.as_str()));
        found.cloned().ok_or_else(|| not_found(&Object::Manifest(image)))
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream> {
        let object = Object::Blob(image, digest);
        let mut state = self.state();
        state.requested.push(object.title());
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
                host: image.registry().to_owned(),
                source: "broken on purpose".into(),
            }));
        }
        // Gives way between chunks, as a network does.
        let stream = stream::iter(items).then(|item| async {
            tokio::task::yield_now().await;
            item
        });
        Ok(BlobStream { size: Some(bytes.len() as u64), stream: Box::pin(stream) })
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.state().blobs.get(&key(image, digest)).map(|bytes| bytes.len() as u64))
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>> {
        let state = self.state();
        let same = |name: &&Reference| (name.registry(), name.repository()) == (image.registry(), image.repository());
        let mut names = state.manifests.keys().filter(same).peekable();
        names.peek().ok_or_else(|| not_found(&Object::Tags(image)))?;
        Ok(names.filter_map(|name| name.tag().map(str::to_owned)).collect())
    }

    async fn put_manifest(&self, image: &Reference, media_type: &str, bytes: Bytes) -> Result<()> {
        if let Some(expected) = image.digest().filter(|digest| !digest.matches(&bytes)) {
            return Err(invalid_digest(&Object::Manifest(image), expected));
        }
        self.add_manifest(image, media_type, bytes);
        Ok(())
    }

    async fn start_upload(&self, image: &Reference, mount: Option<Mount<'_>>) -> Result<Upload> {
        let mut state = self.state();
        if let Some(Mount { digest, from }) = mount {
            let source = (image.registry().to_owned(), from.to_owned(), *digest);
            if let Some(bytes) = state.blobs.get(&source).cloned() {
                state.blobs.insert(key(image, digest), bytes);
                return Ok(Upload::Mounted);
            }
        }
        let location = format!("/v2/{}/blobs/uploads/{}", image.repository(), state.uploads.len());
        state.uploads.insert(location.clone(), Vec::new());
        Ok(Upload::Session(UploadSession::new(location, 0)))
    }

    async fn upload_status(&self, image: &Reference, session: &UploadSession) -> Result<UploadSession> {
        let state = self.state();
        let bytes = state.uploads.get(&session.location).ok_or_else(|| not_found(&Object::Upload(image)))?;
        Ok(UploadSession::new(session.location.clone(), bytes.len() as u64))
    }

    async fn upload(&self, image: &Reference, session: &UploadSession, body: UploadBody) -> Result<UploadSession> {
        let offset = self.append(image, session, body).await?;
        Ok(UploadSession::new(session.location.clone(), offset))
    }

    async fn finish_upload(
        &self,
        image: &Reference,
        session: &UploadSession,
        digest: &Digest,
        rest: UploadBody,
    ) -> Result<()> {
        self.append(image, session, rest).await?;
        let mut state = self.state();
        let bytes = state.uploads.remove(&session.location).unwrap_or_default();
        if !digest.matches(&bytes) {
            return Err(invalid_digest(&Object::Upload(image), digest));
        }
        state.blobs.insert(key(image, digest), bytes.into());
        Ok(())
    }
}

fn key(image: &Reference, digest: &Digest) -> (String, String, Digest) {
    (image.registry().to_owned(), image.repository().to_owned(), *digest)
}

fn not_found(object: &Object<'_>) -> Error {
    Error::NotFound { object: object.title(), host: object.image().registry().to_owned() }
}

fn invalid_digest(object: &Object<'_>, expected: &Digest) -> Error {
    let (object, host) = (object.title(), object.image().registry().to_owned());
    let message = format!("the bytes are not those of {expected}");
    Error::Answer { object, host, status: StatusCode::BAD_REQUEST, message }
}

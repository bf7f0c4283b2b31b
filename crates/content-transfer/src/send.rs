//! Sends images to registries: asks what they have, then brings what is missing, the tag last.

use crate::fetch::blocking;
use crate::sessions::Sessions;
use crate::upload::BlobUpload;
use crate::{Error, Event, Events, Placed, Result, Wanted};
use bytes::Bytes;
use content_store::{DOCUMENT_LIMIT, Digest, Reference, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::{Error as RegistryError, Registry};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Smaller blobs are sent again rather than continued.
const WORTH_REMEMBERING: u64 = 4 << 20;

/// How to send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SendOptions {
    /// The most blobs sent at a time; twice as many are asked for.
    pub parallel: usize,
    /// The most bytes of one blob that are sent in one request. What a request brought is kept by every registry that takes parts.
    pub part: u64,
    /// Ends the transfer with [`Error::Cancelled`].
    pub cancel: CancellationToken,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { parallel: 8, part: 64 << 20, cancel: CancellationToken::new() }
    }
}

/// Where an image goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Destination<'a> {
    /// The registry. It must answer for itself: what a mirror has is not there.
    pub registry: &'a dyn Registry,
    /// The name that the image gets, with a tag or its digest.
    pub image: Reference,
    /// Other repositories of this registry that may have a blob.
    pub elsewhere: BTreeMap<Digest, Vec<String>>,
}

impl<'a> Destination<'a> {
    /// A name in a registry of which nothing else is known.
    pub fn new(registry: &'a dyn Registry, image: Reference) -> Self {
        Self { registry, image, elsewhere: BTreeMap::new() }
    }
}

/// A manifest or index of the store that is sent, with the blobs that it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Config and layers; an index has none.
    pub blobs: Vec<Wanted>,
}

impl SentManifest {
    /// A manifest or index with the blobs that it lists.
    pub fn new(digest: Digest, media_type: impl Into<String>, blobs: Vec<Wanted>) -> Self {
        Self { digest, media_type: media_type.into(), blobs }
    }
}

/// What a transfer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Manifests and indexes that were put.
    pub manifests: usize,
    /// Blobs that were sent.
    pub sent_blobs: usize,
    /// Bytes that were sent, also those that were sent twice.
    pub sent_bytes: u64,
    /// Blobs that the registry took from another of its repositories.
    pub mounted_blobs: usize,
    /// Their size in bytes.
    pub mounted_bytes: u64,
    /// Blobs that were there.
    pub present_blobs: usize,
    /// Their size in bytes.
    pub present_bytes: u64,
}

impl Sent {
    fn add(&mut self, placed: Placed, size: u64, sent: u64) {
        self.sent_bytes += sent;
        match placed {
            Placed::Sent => self.sent_blobs += 1,
            Placed::Mounted => {
                self.mounted_blobs += 1;
                self.mounted_bytes += size;
            }
            Placed::Present => {
                self.present_blobs += 1;
                self.present_bytes += size;
            }
        }
    }
}

/// Sends images of one store.
#[derive(Debug)]
pub struct Sender {
    store: Store,
    sessions: PathBuf,
    options: SendOptions,
}

impl Sender {
    /// A sender of the content of `store`. Unfinished uploads are remembered in the directory `sessions`, which may be deleted at any time.
    #[must_use]
    pub fn new(store: &Store, sessions: &Path, options: SendOptions) -> Self {
        Self { store: store.clone(), sessions: sessions.to_owned(), options }
    }

    /// Sends an image: `manifests` are what it consists of, children before their parents, the last one is the image itself. Everything
    /// must be in the store, but what the registry has. `events` are told about every blob.
    ///
    /// An image that the registry has under this name costs one request, one that it has under another name of the repository two more.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first blob or manifest that cannot be sent. The name is set last: until then it is as before.
    pub async fn send(&self, to: &Destination<'_>, manifests: &[SentManifest], events: Events<'_>) -> Result<Sent> {
        let work = self.send_all(to, manifests, events);
        self.options.cancel.run_until_cancelled(work).await.unwrap_or(Err(Error::Cancelled))
    }

    async fn send_all(&self, to: &Destination<'_>, manifests: &[SentManifest], events: Events<'_>) -> Result<Sent> {
        let mut sent = Sent::default();
        let Some((top, children)) = manifests.split_last() else { return Ok(sent) };
        let present = |sent: &mut Sent, manifests: &[&SentManifest]| {
            for blob in unique(manifests.iter().copied()).into_values() {
                let size = blob.size.unwrap_or_default();
                sent.add(Placed::Present, size, 0);
                events(Event::Upload {
                    digest: blob.digest,
                    bytes: size,
                    size,
                    sent: 0,
                    placed: Some(Placed::Present),
                });
            }
        };
        let all: Vec<&SentManifest> = manifests.iter().collect();
        if manifest_digest(to, &to.image).await? == Some(top.digest) {
            present(&mut sent, &all);
            return Ok(sent);
        }
        if has(to, top).await? {
            present(&mut sent, &all);
        } else {
            // Made before they are polled: a closure in the stream would keep the whole future on one thread.
            let asked: Vec<_> = children.iter().map(|child| has(to, child)).collect();
            let known: Vec<bool> = stream::iter(asked).buffered(self.options.parallel.max(1)).try_collect().await?;
            let known = |wanted: bool| {
                children.iter().zip(&known).filter(move |(_, is)| **is == wanted).map(|(child, _)| child)
            };
            let there: Vec<&SentManifest> = known(true).collect();
            present(&mut sent, &there);
            let mut missing = unique(known(false).chain([top]));
            for digest in unique(there.into_iter()).keys() {
                missing.remove(digest);
            }
            self.blobs(to, missing.into_values(), &mut sent, events).await?;
            for child in known(false) {
                self.put(to, &to.image.with_digest(child.digest), child).await?;
                sent.manifests += 1;
            }
        }
        self.put(to, &to.image, top).await?;
        sent.manifests += 1;
        Ok(sent)
    }

    /// Asks for all blobs, then brings those that are missing, the largest first: what is longest must not begin last.
    async fn blobs(
        &self,
        to: &Destination<'_>,
        blobs: impl Iterator<Item = Wanted>,
        sent: &mut Sent,
        events: Events<'_>,
    ) -> Result<()> {
        let parallel = self.options.parallel.max(1);
        let sized: Vec<(Digest, u64)> = blobs.map(|blob| self.size(blob)).collect::<Result<_>>()?;
        let asked = stream::iter(sized).map(|(digest, size)| async move {
            let found = unless_refused(to.registry.blob_exists(&to.image, &digest).await)?.flatten();
            Ok::<_, Error>((digest, size, found == Some(size)))
        });
        let asked: Vec<_> = asked.buffer_unordered(2 * parallel).try_collect().await?;
        let mut missing = Vec::new();
        for (digest, size, is_there) in asked {
            if is_there {
                sent.add(Placed::Present, size, 0);
                events(Event::Upload { digest, bytes: size, size, sent: 0, placed: Some(Placed::Present) });
            } else {
                missing.push((digest, size));
                events(Event::Upload { digest, bytes: 0, size, sent: 0, placed: None });
            }
        }
        missing.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let directory = self.sessions.clone();
        let sessions = blocking(move || Sessions::open(&directory)).await??;
        let uploads = stream::iter(missing).map(|(digest, size)| self.blob(to, &sessions, digest, size, events));
        let mut uploads = uploads.buffer_unordered(parallel);
        while let Some((placed, size, bytes)) = uploads.try_next().await? {
            sent.add(placed, size, bytes);
        }
        Ok(())
    }

    async fn blob(
        &self,
        to: &Destination<'_>,
        sessions: &Sessions,
        digest: Digest,
        size: u64,
        events: Events<'_>,
    ) -> Result<(Placed, u64, u64)> {
        let claim = if size < WORTH_REMEMBERING {
            None
        } else {
            let (sessions, image) = (sessions.clone(), to.image.clone());
            blocking(move || sessions.claim(&image, &digest)).await??.map(Arc::new)
        };
        let upload = BlobUpload {
            store: &self.store,
            options: &self.options,
            to,
            digest,
            size,
            elsewhere: to.elsewhere.get(&digest).map_or(&[], Vec::as_slice),
            claim,
            events,
        };
        let (placed, bytes) = upload.run().await?;
        Ok((placed, size, bytes))
    }

    /// What is sent must be as long as the image says.
    fn size(&self, blob: Wanted) -> Result<(Digest, u64)> {
        let found = self.store.size(&blob.digest)?;
        match blob.size {
            Some(expected) if expected != found => Err(Error::Size { digest: blob.digest, expected, found }),
            _ => Ok((blob.digest, found)),
        }
    }

    async fn put(&self, to: &Destination<'_>, name: &Reference, manifest: &SentManifest) -> Result<()> {
        let (store, digest) = (self.store.clone(), manifest.digest);
        let bytes = blocking(move || store.read_verified(&digest, DOCUMENT_LIMIT)).await??;
        Ok(to.registry.put_manifest(name, &manifest.media_type, Bytes::from(bytes)).await?)
    }
}

/// Every blob of these manifests once.
fn unique<'a>(manifests: impl Iterator<Item = &'a SentManifest>) -> BTreeMap<Digest, Wanted> {
    manifests.flat_map(|manifest| &manifest.blobs).map(|blob| (blob.digest, *blob)).collect()
}

async fn has(to: &Destination<'_>, manifest: &SentManifest) -> Result<bool> {
    let name = to.image.with_digest(manifest.digest);
    Ok(manifest_digest(to, &name).await? == Some(manifest.digest))
}

async fn manifest_digest(to: &Destination<'_>, name: &Reference) -> Result<Option<Digest>> {
    Ok(unless_refused(to.registry.manifest_digest(name).await)?.flatten())
}

/// Some registries refuse to be asked for what is not there; whether it may be written shows when it is written.
fn unless_refused<T>(answer: registry_client::Result<T>) -> Result<Option<T>> {
    match answer {
        Err(RegistryError::Unauthorised { .. }) => Ok(None),
        answer => Ok(answer.map(Some)?),
    }
}

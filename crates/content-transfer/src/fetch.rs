//! Fetches documents and blobs from the first origin that gives them.

use crate::{Error, Event, Events, Result};
use bytes::Bytes;
use content_store::{DOCUMENT_LIMIT, Digest, PartialBlob, Reference, Store};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, FuturesUnordered};
use registry_client::Registry;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Chunks that wait for the disk.
const CHUNKS: usize = 16;

/// How to fetch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The most blobs transferred at a time.
    pub parallel: usize,
    /// Ends every fetch with [`Error::Cancelled`].
    pub cancel: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        Self { parallel: 8, cancel: CancellationToken::new() }
    }
}

/// A registry that content may come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Origin<'a> {
    /// The registry.
    pub registry: &'a dyn Registry,
    /// What is fetched, as this registry names it. For blobs only its repository counts.
    pub image: Reference,
}

impl<'a> Origin<'a> {
    /// The image of a registry.
    pub fn new(registry: &'a dyn Registry, image: Reference) -> Self {
        Self { registry, image }
    }
}

/// A blob to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, if it is known; more is refused.
    pub size: Option<u64>,
}

impl Wanted {
    /// A blob of this digest and size.
    #[must_use]
    pub fn new(digest: Digest, size: Option<u64>) -> Self {
        Self { digest, size }
    }
}

/// A manifest or index that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Its digest.
    pub digest: Digest,
    /// What it says it is, else what the registry says, else what its fields show.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What tells the kind of a document; nothing else of it is kept.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    manifests: Option<IgnoredAny>,
    media_type: Option<String>,
}

/// Fetches content into one store. Share it between all fetches that belong together.
#[derive(Debug)]
pub struct Fetcher {
    store: Store,
    options: Options,
    places: Semaphore,
    in_flight: Mutex<HashMap<Digest, Arc<Gate>>>,
}

/// Is locked by whoever transfers the blob.
type Gate = tokio::sync::Mutex<()>;

impl Fetcher {
    /// A fetcher into `store`. Hold [`Store::gc_guard`] until a name points at what was fetched.
    #[must_use]
    pub fn new(store: &Store, options: Options) -> Self {
        let places = Semaphore::new(options.parallel.max(1));
        Self { store: store.clone(), options, places, in_flight: Mutex::default() }
    }

    /// The manifest or index that the images of `origins` name, by digest or tag. One pinned by digest that is in the store is not
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn document(&self, origins: &[Origin<'_>]) -> Result<Document> {
        self.unless_cancelled(self.find_document(origins)).await
    }

    /// Brings blobs into the store, some at a time. `events` are told about every one.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first blob that cannot be had; the others are given up.
    pub async fn blobs(
        &self,
        origins: &[Origin<'_>],
        wanted: impl IntoIterator<Item = Wanted>,
        events: Events<'_>,
    ) -> Result<()> {
        let unique: BTreeMap<Digest, Wanted> = wanted.into_iter().map(|blob| (blob.digest, blob)).collect();
        let mut fetching = FuturesUnordered::new();
        for blob in unique.into_values() {
            fetching.push(self.blob(origins, blob, events));
        }
        let all = async {
            while let Some(fetched) = fetching.next().await {
                fetched?;
            }
            Ok(())
        };
        self.unless_cancelled(all).await
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.options.cancel.run_until_cancelled(work).await.unwrap_or(Err(Error::Cancelled))
    }

    async fn find_document(&self, origins: &[Origin<'_>]) -> Result<Document> {
        let mut failure = Error::NoRegistry;
        for origin in origins {
            if let Some(digest) = origin.image.digest().copied().filter(|digest| self.store.contains(digest)) {
                match self.stored_document(digest).await {
                    // One that is corrupt here is fetched again.
                    Err(Error::Store(content_store::Error::Corrupt { .. })) => {}
                    done => return done,
                }
            }
            match self.document_from(origin).await {
                Err(error) if error.is_of_origin() => failure = error,
                done => return done,
            }
        }
        Err(failure)
    }

    async fn stored_document(&self, digest: Digest) -> Result<Document> {
        let store = self.store.clone();
        let bytes = blocking(move || store.read_verified(&digest, DOCUMENT_LIMIT)).await??;
        let shape: Shape = serde_json::from_slice(&bytes).unwrap_or_default();
        let [index, manifest, ..] = registry_client::ACCEPT else { return Err(Error::NoRegistry) };
        let default = if shape.manifests.is_some() { index } else { manifest };
        let media_type = shape.media_type.unwrap_or_else(|| (*default).to_owned());
        Ok(Document { digest, media_type, bytes: bytes.into() })
    }

    async fn document_from(&self, origin: &Origin<'_>) -> Result<Document> {
        let manifest = origin.registry.manifest(&origin.image, &[]).await?;
        let (store, digest, bytes) = (self.store.clone(), manifest.digest, manifest.bytes.clone());
        let stored = move || {
            let mut writer = store.writer()?.with_algorithm(digest.algorithm());
            writer.write_all(&bytes).map_err(|error| of_store(error, digest))?;
            writer.commit(Some(&digest))
        };
        blocking(stored).await??;
        Ok(Document { digest, media_type: manifest.media_type, bytes: manifest.bytes })
    }

    /// Brings one blob, unless it is here or somebody else brings it.
    async fn blob(&self, origins: &[Origin<'_>], blob: Wanted, events: Events<'_>) -> Result<()> {
        let turn = self.turn(blob.digest);
        let _lock = turn.gate.lock().await;
        self.blob_in_turn(origins, blob, events).await
    }

    fn turn(&self, digest: Digest) -> Turn<'_> {
        let gate = self.lock_in_flight().entry(digest).or_default().clone();
        Turn { fetcher: self, digest, gate }
    }

    async fn blob_in_turn(&self, origins: &[Origin<'_>], blob: Wanted, events: Events<'_>) -> Result<()> {
        if self.is_here(blob, events) {
            return Ok(());
        }
        let _place = self.places.acquire().await.map_err(|_| Error::Cancelled)?;
        let mut failure = Error::NoOrigin { digest: blob.digest };
        for origin in origins {
            match self.blob_from(origin, blob, events).await {
                Err(error) if error.is_of_origin() => failure = error,
                done => return done,
            }
        }
        Err(failure)
    }

    fn is_here(&self, blob: Wanted, events: Events<'_>) -> bool {
        let size = self.store.size(&blob.digest);
        if let Ok(bytes) = size {
            events(Event::Blob { digest: blob.digest, bytes, fetched: 0, done: true });
        }
        size.is_ok()
    }

    async fn blob_from(&self, origin: &Origin<'_>, blob: Wanted, events: Events<'_>) -> Result<()> {
        let (store, digest) = (self.store.clone(), blob.digest);
        // Waits for another process that fetches the same blob.
        let mut partial = blocking(move || store.partial(&digest)).await??;
        if self.is_here(blob, events) {
            return Ok(());
        }
        if let Some(size) = blob.size {
            partial = partial.with_limit(size);
            if partial.offset() > size {
                partial.restart()?;
            }
        }
        let (mut bytes, mut fetched) = (partial.offset(), 0);
        events(Event::Blob { digest, bytes, fetched, done: false });
        let source = origin.registry.blob(&origin.image, &digest, bytes).await?;
        let received = |count| {
            (bytes, fetched) = (bytes + count, fetched + count);
            events(Event::Blob { digest, bytes, fetched, done: false });
        };
        receive(source.stream, partial, digest, received, |_| {}).await?;
        events(Event::Blob { digest, bytes, fetched, done: true });
        Ok(())
    }

    fn lock_in_flight(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Gate>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who transfers a blob, or waits for that. The last one removes the gate, so that nobody starts beside those who wait.
struct Turn<'a> {
    fetcher: &'a Fetcher,
    digest: Digest,
    gate: Arc<Gate>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.fetcher.lock_in_flight();
        // One is the map's, one is ours; clones are made only under this lock.
        if Arc::strong_count(&self.gate) == 2 {
            in_flight.remove(&self.digest);
        }
    }
}

/// What travels from the network to the disk.
enum Piece {
    Bytes(Bytes),
    /// The blob is complete. Without it, what arrived stays for the next attempt.
    End,
}

/// How far a blob is on its way to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Written {
    /// So many bytes are there, not verified.
    Bytes(u64),
    /// All bytes are there and have the digest.
    Verified,
}

/// Takes what is left of a blob from the network to the store. `received` is told the bytes of every piece, `written` what is on disk.
pub(crate) async fn receive(
    mut stream: BoxStream<'static, registry_client::Result<Bytes>>,
    partial: PartialBlob,
    digest: Digest,
    mut received: impl FnMut(u64),
    written: impl Fn(Written) + Send + 'static,
) -> Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let writer = spawn_blocking(move || write(partial, digest, receiver, &written));
    let mut broken = None;
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        let count = chunk.len() as u64;
        if sender.send(Piece::Bytes(chunk)).await.is_err() {
            break; // The writer failed and says why.
        }
        received(count);
    }
    if broken.is_none() {
        // When the writer failed, it says why.
        let _ = sender.send(Piece::End).await;
    }
    drop(sender);
    let written = writer.await.map_err(Error::TaskPanicked)?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(written?),
    }
}

fn write(
    mut partial: PartialBlob,
    digest: Digest,
    mut pieces: mpsc::Receiver<Piece>,
    written: &impl Fn(Written),
) -> content_store::Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => {
                partial.write_all(&bytes).map_err(|error| of_store(error, digest))?;
                written(Written::Bytes(partial.offset()));
            }
            Piece::End => {
                partial.verify()?;
                written(Written::Verified);
                partial.commit()?;
                break;
            }
        }
    }
    Ok(())
}

/// The store's own error out of an I/O error.
fn of_store(error: io::Error, digest: Digest) -> content_store::Error {
    let path = digest.to_string().into();
    error.downcast().unwrap_or_else(|source| content_store::Error::File { act: "write", path, source })
}

/// Runs what waits for the disk on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::TaskPanicked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whoever_comes_after_a_failure_waits_behind_those_who_wait() {
        let directory = tempfile::tempdir().unwrap();
        let fetcher = Fetcher::new(&Store::open(directory.path()).unwrap(), Options::default());
        let digest = Digest::of(b"blob");
        let (failed, waiting) = (fetcher.turn(digest), fetcher.turn(digest));
        drop(failed);
        let later = fetcher.turn(digest);
        assert!(Arc::ptr_eq(&waiting.gate, &later.gate));
        drop((waiting, later));
        assert!(fetcher.lock_in_flight().is_empty(), "also when a transfer is cancelled");
    }
}

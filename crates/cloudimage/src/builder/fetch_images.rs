//! Fetches the named container images from their registries, byte for byte.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use content_store::{Digest, PartialBlob, Reference, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::{ImageName, Registry};
use tokio::sync::{Mutex, mpsc};

use super::event::BuildEvent;
use crate::catalogue::{CarriedBlob, CarriedImage, Catalogue};
use crate::documents::{self, Index, Manifest};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;
use crate::source::{Unfetchable, WantedImage};

/// Images fetched at once.
const IMAGES: usize = 4;
/// Blobs of one image fetched at once.
const BLOBS: usize = 3;
/// Bytes between two events about an image.
const TELL_EVERY: u64 = 1 << 20;

/// Fetches container images for one platform.
pub(super) struct ImageFetcher<'a> {
    pub(super) store: &'a Store,
    pub(super) registry: &'a dyn Registry,
    pub(super) platform: &'a Platform,
    /// What the base image carries: used when the registry cannot be asked.
    pub(super) inherited: &'a Catalogue,
    pub(super) events: RefCell<&'a mut dyn FnMut(BuildEvent)>,
    /// Blobs being fetched: images share layers.
    pub(super) in_flight: RefCell<HashMap<Digest, Arc<Mutex<()>>>>,
}

impl ImageFetcher<'_> {
    /// Fetches all images, some at once; only blobs that are not in the store are asked for.
    pub(super) async fn fetch_all(&self, wanted: Vec<WantedImage>) -> Result<Vec<CarriedImage>> {
        let fetched = stream::iter(wanted).map(|image| self.fetch_or_inherit(image)).buffered(IMAGES);
        let mut carried = Vec::new();
        let mut failed = Vec::new();
        let outcomes: Vec<_> = fetched.try_collect().await?;
        for outcome in outcomes {
            match outcome {
                Ok(image) => carried.push(image),
                Err(unfetchable) => failed.push(unfetchable),
            }
        }
        if failed.is_empty() { Ok(carried) } else { Err(Error::Unfetchable(failed)) }
    }

    /// An image, or why it cannot be had; the outer error is one of the store, which ends the build.
    async fn fetch_or_inherit(&self, image: WantedImage) -> Result<std::result::Result<CarriedImage, Unfetchable>> {
        let reason = match self.fetch(&image).await {
            Ok(carried) => return Ok(Ok(carried)),
            // Wrong bytes are the registry's fault; everything else that the store refuses ends the build.
            Err(Error::Store(error)) if !matches!(error, content_store::Error::Mismatch { .. }) => {
                return Err(error.into());
            }
            Err(error) => chain(&error),
        };
        let reference: Reference = image.name.parse()?;
        if let Some(inherited) = self.inherited.image(&reference.to_string()) {
            let message = format!("{} is taken from the base image, because: {reason}", image.name);
            self.tell(BuildEvent::Warning { message });
            return Ok(Ok(inherited.clone()));
        }
        Ok(Err(Unfetchable { image, reason }))
    }

    async fn fetch(&self, image: &WantedImage) -> Result<CarriedImage> {
        let reference: Reference = image.name.parse()?;
        let (digest, media_type, top) = self.top_document(&reference).await?;
        let size = top.len() as u64;
        let mut blobs = vec![CarriedBlob { digest, media_type: media_type.clone(), size }];
        let manifest: Manifest = if format::is_index(&media_type) {
            let index: Index = serde_json::from_slice(&top).map_err(Error::document(&reference))?;
            let chosen = self.choose(&index, &reference)?;
            let (digest, media_type, bytes) = self.document(&reference, &chosen).await?;
            blobs.push(CarriedBlob { digest, media_type, size: bytes.len() as u64 });
            serde_json::from_slice(&bytes).map_err(Error::document(chosen))?
        } else if format::is_manifest(&media_type) {
            serde_json::from_slice(&top).map_err(Error::document(&reference))?
        } else {
            let reason = format!("its manifest has the media type {media_type}, which is not supported");
            return Err(Error::NotAnImage { document: reference.to_string(), reason });
        };
        let rest = std::iter::once(&manifest.config).chain(&manifest.layers);
        blobs.extend(rest.map(|blob| CarriedBlob {
            digest: blob.digest,
            media_type: blob.media_type.clone(),
            size: blob.size,
        }));
        self.fetch_blobs(image, &reference, &blobs).await?;
        if !format::is_index(&media_type) {
            self.check_platform(&reference, &manifest)?;
        }
        Ok(CarriedImage {
            name: image.name.clone(),
            reference: reference.to_string(),
            tag: reference.tag().map(str::to_owned),
            digest,
            media_type,
            size,
            platform: self.platform.clone(),
            source: image.source.clone(),
            blobs,
        })
    }

    /// The document that the name stands for. A name pinned by digest that is in the store needs no registry.
    async fn top_document(&self, reference: &Reference) -> Result<(Digest, String, Vec<u8>)> {
        match reference.digest() {
            Some(digest) => self.document(reference, digest).await,
            None => self.ask(reference, reference.tag().unwrap_or("latest")).await,
        }
    }

    async fn document(&self, reference: &Reference, digest: &Digest) -> Result<(Digest, String, Vec<u8>)> {
        if self.store.contains(digest) {
            let bytes = self.store.read_verified(digest, format::DOCUMENT_LIMIT)?;
            let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(Error::document(digest))?;
            let default = if value.get("manifests").is_some() { format::INDEX } else { format::MANIFEST };
            let media_type = value.get("mediaType").and_then(serde_json::Value::as_str).unwrap_or(default).to_owned();
            return Ok((*digest, media_type, bytes));
        }
        self.ask(reference, &digest.to_string()).await
    }

    async fn ask(&self, reference: &Reference, tag_or_digest: &str) -> Result<(Digest, String, Vec<u8>)> {
        let name = ImageName::new(reference.registry(), reference.repository(), tag_or_digest);
        let manifest = self.registry.manifest(&name, &[]).await?;
        let digest: Digest = manifest.digest.parse()?;
        let bytes = manifest.bytes.to_vec();
        let (store, document) = (self.store.clone(), bytes.clone());
        let stored = tokio::task::spawn_blocking(move || store.put(&document)).await.map_err(Error::TaskPanicked)??;
        if stored.digest != digest {
            let reason = format!("the registry calls it {digest}, its bytes are {}", stored.digest);
            return Err(Error::NotAnImage { document: name.to_string(), reason });
        }
        Ok((digest, manifest.media_type, bytes))
    }

    fn choose(&self, index: &Index, reference: &Reference) -> Result<Digest> {
        let entry = index
            .rootfs_entries()
            .find(|entry| entry.platform.as_ref().is_some_and(|platform| platform.serves(self.platform)));
        let entry = entry.ok_or_else(|| Error::NoPlatform {
            name: reference.familiar(),
            wanted: self.platform.to_string(),
            available: index.platforms().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        Ok(entry.digest)
    }

    /// A single manifest says only in its config for which platform it is.
    fn check_platform(&self, reference: &Reference, manifest: &Manifest) -> Result<()> {
        let is_config = matches!(
            manifest.config.media_type.as_str(),
            format::CONFIG | "application/vnd.docker.container.image.v1+json"
        );
        if !is_config {
            return Ok(()); // An artifact, such as a chart: for every platform.
        }
        let config: documents::Config = documents::read(self.store, &manifest.config.digest, format::DOCUMENT_LIMIT)?;
        let platform = Platform { os: config.os, architecture: config.architecture, variant: config.variant };
        if platform.os.is_empty() || platform.serves(self.platform) {
            return Ok(());
        }
        Err(Error::NoPlatform {
            name: reference.familiar(),
            wanted: self.platform.to_string(),
            available: platform.to_string(),
        })
    }

    async fn fetch_blobs(&self, image: &WantedImage, reference: &Reference, blobs: &[CarriedBlob]) -> Result<()> {
        let unique: BTreeMap<Digest, u64> = blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
        let total = unique.values().sum();
        let progress = RefCell::new(Progress::default());
        let advance = |here: u64, fetched: u64, done: bool| {
            let Progress { bytes, fetched, .. } = {
                let mut progress = progress.borrow_mut();
                progress.bytes += here;
                progress.fetched += fetched;
                if !done && progress.bytes < progress.told + TELL_EVERY {
                    return;
                }
                progress.told = progress.bytes;
                *progress
            };
            self.tell(BuildEvent::Image { name: image.name.clone(), bytes, total: Some(total), fetched, done });
        };
        stream::iter(unique)
            .map(|(digest, size)| self.fetch_blob(reference, digest, size, &advance))
            .buffer_unordered(BLOBS)
            .try_collect::<()>()
            .await?;
        advance(0, 0, true);
        Ok(())
    }

    async fn fetch_blob(
        &self,
        reference: &Reference,
        digest: Digest,
        size: u64,
        advance: &dyn Fn(u64, u64, bool),
    ) -> Result<()> {
        let turn = Arc::clone(self.in_flight.borrow_mut().entry(digest).or_default());
        let _turn = turn.lock().await;
        if self.store.contains(&digest) {
            advance(size, 0, false);
            return Ok(());
        }
        let store = self.store.clone();
        let partial = move || store.partial(&digest).map(|partial| partial.with_limit(size));
        let mut partial = tokio::task::spawn_blocking(partial).await.map_err(Error::TaskPanicked)??;
        if partial.offset() > size {
            partial.restart()?;
        }
        let offset = partial.offset();
        advance(offset, 0, false);
        let name = ImageName::new(reference.registry(), reference.repository(), digest.to_string());
        let mut source = self.registry.blob(&name, &digest.to_string(), offset).await?;
        let (sender, receiver) = mpsc::channel(16);
        let writer = tokio::task::spawn_blocking(move || write_blob(partial, digest, receiver));
        let mut broken = None;
        while let Some(bytes) = source.stream.next().await {
            match bytes {
                Ok(bytes) => {
                    let count = bytes.len() as u64;
                    if sender.send(Piece::Bytes(bytes)).await.is_err() {
                        break; // The writer failed and says why.
                    }
                    advance(count, count, false);
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if broken.is_none() {
            // When the writer failed, it says why.
            let _ = sender.send(Piece::End).await;
        }
        drop(sender);
        let written = writer.await.map_err(Error::TaskPanicked)?;
        match broken {
            Some(error) => Err(error.into()),
            None => written,
        }
    }

    fn tell(&self, event: BuildEvent) {
        (self.events.borrow_mut())(event);
    }
}

/// How far an image is, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Here.
    bytes: u64,
    /// Of these, fetched now.
    fetched: u64,
    /// Here when an event last told it.
    told: u64,
}

/// What travels from the network to the disk.
enum Piece {
    Bytes(Bytes),
    /// The blob is complete. Without it, what arrived stays for the next attempt.
    End,
}

fn write_blob(mut partial: PartialBlob, digest: Digest, mut pieces: mpsc::Receiver<Piece>) -> Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => partial.write_all(&bytes).map_err(Error::file("write", digest.to_string()))?,
            Piece::End => {
                partial.commit()?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

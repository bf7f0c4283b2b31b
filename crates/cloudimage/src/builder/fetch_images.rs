//! Fetches the named container images from their registries, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use content_store::{Digest, Reference, Store};
use content_transfer::{Document, Event, Fetcher, Origin, Wanted};
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::Registry;

use super::event::{BuildEvent, BuildEvents};
use crate::catalogue::{CarriedBlob, CarriedImage, Catalogue};
use crate::documents::{self, Index, Manifest};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;
use crate::source::{Unfetchable, WantedImage};

/// Images fetched at once.
const IMAGES: usize = 4;
/// Bytes between two events about an image.
const TELL_EVERY: u64 = 1 << 20;

/// Fetches container images for one platform.
pub(super) struct ImageFetcher<'a> {
    pub(super) store: &'a Store,
    /// One for all images: they share layers.
    pub(super) fetcher: Fetcher,
    pub(super) registry: &'a dyn Registry,
    pub(super) platform: &'a Platform,
    /// What the base image carries: used when the registry cannot be asked.
    pub(super) inherited: &'a Catalogue,
    pub(super) pinned: &'a PinnedNames,
    pub(super) events: BuildEvents<'a>,
}

/// What names pointed at when this build first asked: every platform of it carries the same image.
#[derive(Debug, Default)]
pub(super) struct PinnedNames(Mutex<BTreeMap<String, Digest>>);

impl PinnedNames {
    /// The name with the digest that it had, once it is known.
    fn pinned(&self, reference: &Reference) -> Reference {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&reference.to_string()).copied();
        known.map_or_else(|| reference.clone(), |digest| reference.with_digest(digest))
    }

    fn pin(&self, reference: &Reference, digest: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.to_string(), digest);
    }
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
            Err(error) => error_report::one_line(&error),
        };
        let reference: Reference = image.name.parse()?;
        if let Some(inherited) = self.inherited.image(&reference.to_string()) {
            let message = format!("{} is taken from the base image, because: {reason}", image.name);
            (self.events)(BuildEvent::Warning { message });
            return Ok(Ok(inherited.clone()));
        }
        Ok(Err(Unfetchable { image, reason }))
    }

    async fn fetch(&self, image: &WantedImage) -> Result<CarriedImage> {
        let reference: Reference = image.name.parse()?;
        let Document { digest, media_type, bytes: top, .. } = self.document(&self.pinned.pinned(&reference)).await?;
        self.pinned.pin(&reference, digest);
        let size = top.len() as u64;
        let mut blobs = vec![CarriedBlob { digest, media_type: media_type.clone(), size }];
        let manifest: Manifest = if format::is_index(&media_type) {
            let index: Index = serde_json::from_slice(&top).map_err(Error::document(&reference))?;
            let chosen = self.choose(&index, &reference)?;
            let Document { digest, media_type, bytes, .. } = self.document(&reference.with_digest(chosen)).await?;
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

    async fn document(&self, reference: &Reference) -> Result<Document> {
        Ok(self.fetcher.document(&[Origin::new(self.registry, reference.clone())]).await?)
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
        let progress = Mutex::new(Progress::default());
        let total = Some(unique.values().sum());
        let tell = |(bytes, fetched), done| {
            (self.events)(BuildEvent::Image { name: image.name.clone(), bytes, total, fetched, done });
        };
        let advance = |event: Event| {
            // Told while the lock is held, so that no number runs backwards.
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sums) = progress.add(event) {
                tell(sums, false);
            }
        };
        let origin = [Origin::new(self.registry, reference.clone())];
        let wanted = unique.iter().map(|(digest, size)| Wanted::new(*digest, Some(*size)));
        self.fetcher.blobs(&origin, wanted, &advance).await?;
        tell(progress.into_inner().unwrap_or_else(PoisonError::into_inner).sums(), true);
        Ok(())
    }
}

/// How far an image is.
#[derive(Debug, Default)]
struct Progress {
    /// Of each blob the bytes that are here, and those of them that were fetched now.
    blobs: HashMap<Digest, (u64, u64)>,
    /// Bytes here when an event last told it.
    told: u64,
}

impl Progress {
    fn sums(&self) -> (u64, u64) {
        self.blobs.values().fold((0, 0), |sum, blob| (sum.0 + blob.0, sum.1 + blob.1))
    }

    /// The sums, when it is time to tell them.
    fn add(&mut self, event: Event) -> Option<(u64, u64)> {
        let Event::Blob { digest, bytes, fetched, .. } = event else { return None };
        self.blobs.insert(digest, (bytes, fetched));
        let sums = self.sums();
        (sums.0 >= self.told + TELL_EVERY).then(|| {
            self.told = sums.0;
            sums
        })
    }
}

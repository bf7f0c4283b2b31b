//! Pushes cluster images to registries, whole: every platform that their index names.

use std::collections::BTreeMap;

use content_store::{Digest, Reference};
use content_transfer::{Destination, SendOptions, Sender, SentManifest, Wanted};
use registry_client::Registry;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::closure::{Closure, Part};
use super::event::{Teller, TransferEvent, TransferEvents};
use crate::documents::Top;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::images::Images;

/// The most other repositories that are asked for one blob.
const CANDIDATES: usize = 3;

/// How to push.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PushOptions {
    /// Ends the push with [`Error::TransferCancelled`]; the next one continues it.
    pub cancel: CancellationToken,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Pushed {
    /// The image that was pushed, as it was asked for.
    pub image: String,
    /// Its whole name in the registry.
    pub destination: String,
    /// Digest of its index.
    pub digest: Digest,
    /// Manifests that were put; none when the registry had the image under this name.
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

impl Images {
    /// Sends the image `name` (name or digest) to a registry, as `destination` or under its own name. A destination
    /// without a registry means the default one, as in [`Images::pull`].
    ///
    /// Only what the registry lacks is sent; blobs that another of its repositories has are mounted. An image that it has under that
    /// name costs one request. The name is set last. Unfinished uploads are remembered below `cache/uploads` and continued.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Partial`] for a platform of the index that is neither here nor there; [`Error::Registry`],
    /// [`Error::Store`].
    pub async fn push(
        &self,
        registry: &dyn Registry,
        name: &str,
        destination: Option<&str>,
        options: &PushOptions,
        events: TransferEvents<'_>,
    ) -> Result<Pushed> {
        let (images, asked, wanted) = (self.clone(), name.to_owned(), destination.map(str::to_owned));
        let prepare = move || Prepared::read(&images, &asked, wanted.as_deref());
        let prepared = spawn_blocking(prepare).await.map_err(Error::TaskPanicked)??;
        let Prepared { closure, reference, elsewhere } = prepared;
        let guard = self.content().gc_guard()?;
        check_absent(registry, &reference, &closure, name).await?;

        let blobs: BTreeMap<Digest, u64> =
            closure.manifests.iter().flat_map(|part| &part.blobs).map(|(digest, size)| (*digest, *size)).collect();
        let (count, bytes) = (blobs.len(), blobs.values().sum());
        let digest = closure.top.digest;
        events(TransferEvent::Image { name: reference.to_string(), digest, blobs: count, bytes });
        let mut sending = SendOptions::default();
        sending.cancel = options.cancel.clone();
        let sender = Sender::new(self.content(), &self.uploads(), sending);
        let mut to = Destination::new(registry, reference.clone());
        to.elsewhere = elsewhere;
        let teller = Teller::new(blobs.into_iter().collect(), events);
        let sent = sender.send(&to, &manifests(&closure), &|event| teller.tell(event)).await?;
        drop(guard);
        Ok(Pushed {
            image: name.to_owned(),
            destination: reference.to_string(),
            digest,
            manifests: sent.manifests,
            sent_blobs: sent.sent_blobs,
            sent_bytes: sent.sent_bytes,
            mounted_blobs: sent.mounted_blobs,
            mounted_bytes: sent.mounted_bytes,
            present_blobs: sent.present_blobs,
            present_bytes: sent.present_bytes,
        })
    }
}

/// What is read of the store before anything is sent.
struct Prepared {
    closure: Closure,
    reference: Reference,
    /// Other repositories of the registry that may have a blob.
    elsewhere: BTreeMap<Digest, Vec<String>>,
}

impl Prepared {
    fn read(images: &Images, name: &str, destination: Option<&str>) -> Result<Self> {
        let (whole, digest) = images.resolve(name)?;
        let wanted = destination.map(|name| name.strip_prefix("docker://").unwrap_or(name).to_owned()).or(whole);
        let wanted = wanted.ok_or_else(|| Error::Option {
            option: "the destination",
            value: name.to_owned(),
            expected: "a name in a registry besides the digest",
        })?;
        let reference = images.default_registry.complete(&wanted)?;
        if reference.digest().is_some_and(|pinned| *pinned != digest) {
            let reason = format!("it cannot be pushed as {reference}: its digest is {digest}");
            return Err(Error::NotAnImage { document: name.to_owned(), reason });
        }
        let closure = Closure::read(images.content(), &digest)?;
        let elsewhere = elsewhere(images, &digest, &reference)?;
        Ok(Self { closure, reference, elsewhere })
    }
}

/// In which other repositories of the registry blobs may be: those of images that have a name there, and those that carried images
/// come from.
fn elsewhere(images: &Images, digest: &Digest, to: &Reference) -> Result<BTreeMap<Digest, Vec<String>>> {
    let mut found = BTreeMap::new();
    let mut add = |blob: Digest, repository: &str| {
        let repositories: &mut Vec<String> = found.entry(blob).or_default();
        if repositories.len() < CANDIDATES && !repositories.iter().any(|known| known == repository) {
            repositories.push(repository.to_owned());
        }
    };
    let is_candidate = |name: &Reference| name.registry() == to.registry() && name.repository() != to.repository();
    for named in images.names()? {
        let Ok(name) = named.name.parse::<Reference>() else { continue };
        // One that cannot be read helps nobody.
        if is_candidate(&name)
            && let Ok(closure) = Closure::read(images.content(), &Digest::try_from(named.descriptor.digest())?)
        {
            closure.blobs().into_keys().for_each(|blob| add(blob, name.repository()));
        }
    }
    if let (Top::Index(index), _) = Top::read(images.content(), digest)? {
        for platform in index.platforms() {
            let Ok(image) = Image::read(images.content(), digest, Some(&platform), None) else { continue };
            for carried in &image.catalogue().images {
                let Ok(name) = carried.reference.parse::<Reference>() else { continue };
                if is_candidate(&name) {
                    carried.blobs.iter().for_each(|blob| add(blob.digest, name.repository()));
                }
            }
        }
    }
    Ok(found)
}

/// Refuses to send an index of which something is neither here nor there.
async fn check_absent(registry: &dyn Registry, to: &Reference, closure: &Closure, name: &str) -> Result<()> {
    for entry in &closure.absent {
        let there = match registry.manifest_digest(&to.with_digest(entry.digest)).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            there => there.ok().flatten(),
        };
        if there != Some(entry.digest) {
            let absent = entry.platform.to_string();
            return Err(Error::Partial { name: name.to_owned(), absent, digest: entry.digest, here: String::new() });
        }
    }
    Ok(())
}

/// What is sent, children before the image itself.
fn manifests(closure: &Closure) -> Vec<SentManifest> {
    let sent = |part: &Part| {
        let blobs = part.blobs.iter().map(|(digest, size)| Wanted::new(*digest, Some(*size))).collect();
        SentManifest::new(part.manifest.digest, part.manifest.media_type.clone(), blobs)
    };
    let mut all: Vec<SentManifest> = closure.manifests.iter().map(sent).collect();
    if all.iter().all(|manifest| manifest.digest != closure.top.digest) {
        all.push(SentManifest::new(closure.top.digest, closure.top.media_type.clone(), Vec::new()));
    }
    all
}

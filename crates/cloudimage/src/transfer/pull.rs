//! Pulls cluster images from registries: one platform, several or all, named only when what was asked for is whole.

use std::collections::{BTreeMap, BTreeSet};

use content_store::{Descriptor, Digest, MediaType, NameKind, Named, Reference};
use content_transfer::{Document, Fetcher, Origin, Wanted};
use registry_client::Registry;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::closure::Closure;
use super::event::{Teller, TransferEvent, TransferEvents};
use crate::builder::seal::now;
use crate::documents::{self, Index, IndexEntry, Manifest, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::image::{Image, choose};
use crate::images::Images;
use crate::platform::Platform;

/// Which platforms of an image are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platforms {
    /// The host's, or the only one that there is.
    #[default]
    Host,
    /// These.
    These(Vec<Platform>),
    /// All that the index has, and everything else that it lists.
    All,
}

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PullPolicy {
    /// Always: the name may point at another image by now.
    Always,
    /// When it is not here, or something of it is not: then that is all that is fetched, and the name stays where it is.
    #[default]
    Missing,
    /// Never.
    Never,
    /// Always, and when the registry cannot be asked or does not have it, what is here is enough.
    IfNewer,
}

/// How to pull.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Which platforms.
    pub platforms: Platforms,
    /// When the registry is asked.
    pub policy: PullPolicy,
    /// Leave out what the image carries, and name it for this process only: enough to read it, and to plan with it.
    pub without_carried: bool,
    /// Ends the pull with [`Error::TransferCancelled`]; the next one continues it.
    pub cancel: CancellationToken,
}

/// What a pull came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Pulled {
    /// The whole name.
    pub name: String,
    /// Digest of its index.
    pub digest: Digest,
    /// What the name pointed at before, when that was another image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The platforms that are here now.
    pub platforms: Vec<Platform>,
    /// Blobs that were fetched.
    pub fetched_blobs: usize,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
    /// Bytes that were here.
    pub present_bytes: u64,
    /// Bytes of carried images that were left out because that was asked for.
    pub left_out_bytes: u64,
}

/// Blobs by digest with their sizes: those to fetch, and those that are left out and not here.
struct Listed {
    blobs: BTreeMap<Digest, u64>,
    left_out: BTreeMap<Digest, u64>,
}

impl Images {
    /// Brings an image here from its registry, verified, and points its name at it when everything that was asked for is here.
    ///
    /// An image that is here and that the registry still names so costs one request. Blobs that are here are not fetched; what an
    /// interrupted pull brought is continued.
    ///
    /// # Errors
    /// [`Error::UnknownImage`] or [`Error::Partial`] when it is not here and may not be pulled; [`Error::NoPlatform`];
    /// [`Error::Registry`], [`Error::Store`]. Then no name was changed.
    pub async fn pull(
        &self,
        registry: &dyn Registry,
        name: &str,
        options: &PullOptions,
        events: TransferEvents<'_>,
    ) -> Result<Pulled> {
        let reference = self.name_to_pull(name, options.policy)?;
        let here = self.here(&reference, options).await;
        if let Ok(here) = &here
            && self.is_current(registry, &reference, here, options, events).await?
        {
            return self.keep(&reference, here.clone(), options).await;
        }
        match here {
            Err(error) if options.policy == PullPolicy::Never || !is_cured_by_pulling(&error) => Err(error),
            Err(Error::UnknownImage { .. }) => {
                self.fetch(registry, &reference, &reference, options, events).await.map_err(|error| match error {
                    Error::Registry(source) => Error::NotPulled { name: reference.familiar(), source },
                    error => error,
                })
            }
            Err(error) if options.policy == PullPolicy::Missing => {
                self.fetch_rest(registry, &reference, error, options, events).await
            }
            _ => self.fetch(registry, &reference, &reference, options, events).await,
        }
    }

    /// Brings what `lacking` says that the image here lacks. The image stays the one that the name stands for here: in the registry
    /// it may stand for another by now, or always have.
    async fn fetch_rest(
        &self,
        registry: &dyn Registry,
        name: &Reference,
        lacking: Error,
        options: &PullOptions,
        events: TransferEvents<'_>,
    ) -> Result<Pulled> {
        // The same index lists no other platforms elsewhere.
        if matches!(lacking, Error::NoPlatform { .. }) {
            return Err(lacking);
        }
        let (images, whole) = (self.clone(), name.to_string());
        let known = spawn_blocking(move || images.resolve(&whole)).await.map_err(Error::TaskPanicked)?;
        let (_, digest) = known?;
        match self.fetch(registry, name, &name.with_digest(digest), options, events).await {
            Err(Error::Registry(error)) if error.is_not_found() => Err(lacking),
            fetched => fetched,
        }
    }

    /// The name with its registry. One without means what is here under docker's name, if that is enough, else the default registry's.
    fn name_to_pull(&self, name: &str, policy: PullPolicy) -> Result<Reference> {
        if policy != PullPolicy::Always
            && let Ok((Some(whole), _)) = self.resolve(name)
        {
            return Ok(whole.parse()?);
        }
        Ok(self.default_registry.complete(name)?)
    }

    /// Whether what is here is what the policy wants.
    async fn is_current(
        &self,
        registry: &dyn Registry,
        name: &Reference,
        here: &Pulled,
        options: &PullOptions,
        events: TransferEvents<'_>,
    ) -> Result<bool> {
        if matches!(options.policy, PullPolicy::Never | PullPolicy::Missing) || name.digest().is_some() {
            return Ok(true);
        }
        let or_older = options.policy == PullPolicy::IfNewer;
        match registry.manifest_digest(name).await {
            Ok(found) => Ok(found == Some(here.digest) || (found.is_none() && or_older)),
            Err(error) if or_older => {
                let message = format!("{} is taken as it is here: {}", name.familiar(), error_report::one_line(&error));
                events(TransferEvent::Warning { message });
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The image as it is here, if these platforms of it are whole.
    async fn here(&self, name: &Reference, options: &PullOptions) -> Result<Pulled> {
        let (images, name, options) = (self.clone(), name.clone(), options.clone());
        let look = move || {
            let (_, digest) = images.resolve(&name.to_string())?;
            images.check_whole(&digest, &name, &options)
        };
        spawn_blocking(look).await.map_err(Error::TaskPanicked)?
    }

    /// Names an image that is whole here and has no name to keep it: one asked for by its digest, or under a borrowed name.
    async fn keep(&self, name: &Reference, here: Pulled, options: &PullOptions) -> Result<Pulled> {
        let (images, name, options) = (self.clone(), name.clone(), options.clone());
        let keep = move || {
            let known = images.content().resolve(NameKind::ClusterImage, &name.to_string())?;
            if known.is_some() || options.without_carried {
                return Ok(here);
            }
            let _guard = images.content().gc_guard()?;
            // Something of it may have been freed before that.
            let here = images.check_whole(&here.digest, &name, &options)?;
            images.set_pulled(&name, &here.digest)?;
            Ok(here)
        };
        spawn_blocking(keep).await.map_err(Error::TaskPanicked)?
    }

    /// Checks that everything of these platforms is in the store.
    fn check_whole(&self, digest: &Digest, name: &Reference, options: &PullOptions) -> Result<Pulled> {
        let (store, platforms) = (self.content(), &options.platforms);
        let shown = name.familiar();
        let closure = Closure::read(store, digest)?;
        if let (Top::Index(index), _) = Top::read(store, digest)? {
            let chosen = chosen(&index, platforms, &shown, |wanted| from_index(store, &index, wanted, &shown))?;
            let is_wanted = |digest| chosen.contains(digest) && !(options.without_carried && index.is_artifact(digest));
            if let Some(absent) = closure.absent.iter().find(|absent| is_wanted(&absent.digest)) {
                let absent = absent.platform.to_string();
                return Err(Error::Partial { name: shown, absent, digest: *digest, here: String::new() });
            }
        }
        let wanted = match platforms {
            Platforms::These(wanted) => wanted.iter().map(Some).collect(),
            _ => vec![None],
        };
        let read = wanted.into_iter().map(|platform| Image::read(store, digest, platform, Some(&shown)));
        let images: Vec<Image> = read.collect::<Result<_>>()?;
        let mut here = images.first().map(|image| image.platforms().to_vec()).unwrap_or_default();
        here.retain(|platform| !images.iter().any(|image| image.absent_platforms().contains(platform)));
        Ok(Pulled {
            name: name.to_string(),
            digest: *digest,
            previous: None,
            platforms: here,
            fetched_blobs: 0,
            fetched_bytes: 0,
            present_bytes: closure.blobs().values().sum(),
            left_out_bytes: 0,
        })
    }

    /// Brings the image that the registry calls `from`, and names it `name`.
    async fn fetch(
        &self,
        registry: &dyn Registry,
        name: &Reference,
        from: &Reference,
        options: &PullOptions,
        events: TransferEvents<'_>,
    ) -> Result<Pulled> {
        let guard = self.content().gc_guard()?;
        let mut fetching = content_transfer::Options::default();
        fetching.cancel = options.cancel.clone();
        let fetcher = Fetcher::new(self.content(), fetching);
        let top = fetcher.document(&[Origin::new(registry, from.clone())]).await?;
        let Listed { blobs, left_out } = self.listed(&fetcher, registry, name, &top, options).await?;
        let (count, bytes) = (blobs.len(), blobs.values().fold(0_u64, |sum, size| sum.saturating_add(*size)));
        events(TransferEvent::Image { name: name.to_string(), digest: top.digest, blobs: count, bytes });
        let teller = Teller::new(blobs.iter().map(|(digest, size)| (*digest, *size)).collect(), events);
        let wanted = blobs.iter().map(|(digest, size)| Wanted::new(*digest, Some(*size)));
        fetcher.blobs(&[Origin::new(registry, name.clone())], wanted, &|event| teller.tell(event)).await?;

        let (images, name, digest, options) = (self.clone(), name.clone(), top.digest, options.clone());
        let named = move || {
            let pulled = images.check_whole(&digest, &name, &options)?;
            if options.without_carried {
                images.borrow_name(&name.to_string(), digest, guard);
                return Ok(pulled);
            }
            let previous = images.set_pulled(&name, &digest)?;
            drop(guard);
            Ok::<_, Error>(Pulled { previous, ..pulled })
        };
        let pulled = spawn_blocking(named).await.map_err(Error::TaskPanicked)??;
        let totals = teller.totals();
        let left_out_bytes = left_out.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let (fetched_blobs, fetched_bytes) = (totals.moved_blobs, totals.moved_bytes);
        Ok(Pulled { fetched_blobs, fetched_bytes, present_bytes: totals.present_bytes, left_out_bytes, ..pulled })
    }

    /// Brings the manifests that are meant, and lists their blobs.
    async fn listed(
        &self,
        fetcher: &Fetcher,
        registry: &dyn Registry,
        name: &Reference,
        top: &Document,
        options: &PullOptions,
    ) -> Result<Listed> {
        let (mut blobs, mut left_out) = (BTreeMap::new(), BTreeMap::new());
        let index = match parse(name, &top.bytes)? {
            Top::Manifest(manifest) => {
                add_blobs(&mut blobs, &manifest);
                return Ok(Listed { blobs, left_out });
            }
            Top::Index(index) => index,
        };
        let (shown, store) = (name.familiar(), self.content());
        let wanted = chosen(&index, &options.platforms, &shown, |wanted| from_index(store, &index, wanted, &shown))?;
        for entry in index.manifests.iter().filter(|entry| wanted.contains(&entry.digest)) {
            let document = fetcher.document(&[Origin::new(registry, name.with_digest(entry.digest))]).await?;
            check_size(entry, document.bytes.len() as u64)?;
            let manifest: Manifest = serde_json::from_slice(&document.bytes).map_err(Error::document(entry.digest))?;
            if options.without_carried && index.is_artifact(&entry.digest) {
                blobs.insert(manifest.config.digest, manifest.config.size);
                let layers = manifest.layers.iter().map(|blob| (blob.digest, blob.size));
                left_out.extend(layers.filter(|(digest, _)| !store.contains(digest)));
            } else {
                add_blobs(&mut blobs, &manifest);
            }
        }
        Ok(Listed { blobs, left_out })
    }

    /// Points the name at the image. Gives what it pointed at, when that was another one.
    fn set_pulled(&self, name: &Reference, digest: &Digest) -> Result<Option<Digest>> {
        let known = self.content().resolve(NameKind::ClusterImage, &name.to_string())?;
        let known = known.map(|known| Digest::try_from(known.digest())).transpose()?;
        if known != Some(*digest) {
            let (top, size) = Top::read(self.content(), digest)?;
            let annotations = BTreeMap::from([(format::CREATED_ANNOTATION.to_owned(), now()?)]);
            let descriptor = Descriptor::new(MediaType::from(top.media_type()), size, *digest);
            let named = Named { kind: NameKind::ClusterImage, name: name.to_string(), descriptor, annotations };
            self.content().set_names(vec![named])?;
        }
        Ok(known.filter(|known| known != digest))
    }
}

/// Understands the document that a name stands for, if it is one that may be pulled.
fn parse(name: &Reference, bytes: &[u8]) -> Result<Top> {
    if bytes.len() as u64 > format::DOCUMENT_LIMIT {
        let object = format!("the index of {}", name.familiar());
        return Err(content_store::Error::TooLarge { object, limit: format::DOCUMENT_LIMIT }.into());
    }
    let top = Top::parse(bytes).map_err(Error::document(name.familiar()))?;
    match &top {
        Top::Index(index) if index.manifests.len() > format::MANIFESTS_LIMIT => Err(Error::TooManyManifests {
            name: name.familiar(),
            count: index.manifests.len(),
            limit: format::MANIFESTS_LIMIT,
        }),
        _ => Ok(top),
    }
}

/// Digests of the manifests that are meant: of each platform the rootfs and what it carries.
fn chosen<'a>(
    index: &'a Index,
    platforms: &Platforms,
    name: &str,
    choose: impl Fn(Option<&Platform>) -> Result<&'a IndexEntry>,
) -> Result<BTreeSet<Digest>> {
    let rootfs: Vec<&IndexEntry> = match platforms {
        Platforms::All => {
            if let Some(nested) = index.manifests.iter().find(|entry| !format::is_manifest(&entry.media_type)) {
                let reason = format!("{name} lists a document of the type {}", nested.media_type);
                return Err(Error::NotAnImage { document: nested.digest.to_string(), reason });
            }
            return Ok(index.manifests.iter().map(|entry| entry.digest).collect());
        }
        Platforms::Host => vec![choose(None)?],
        Platforms::These(wanted) => wanted.iter().map(|platform| choose(Some(platform))).collect::<Result<_>>()?,
    };
    let carried = rootfs.iter().filter_map(|entry| index.artifact_of(&entry.digest));
    Ok(rootfs.iter().copied().chain(carried).map(|entry| entry.digest).collect())
}

/// As [`choose`], whatever of it is here: that another platform was pulled is no reason not to pull this machine's.
fn from_index<'a>(
    store: &content_store::Store,
    index: &'a Index,
    wanted: Option<&Platform>,
    name: &str,
) -> Result<&'a IndexEntry> {
    let host = Platform::host();
    let has_host = index.platforms().iter().any(|platform| platform.serves(&host));
    choose(store, index, wanted.or(has_host.then_some(&host)), name)
}

/// Whether what is wrong with the image here is that something of it is not here, or damaged.
fn is_cured_by_pulling(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownImage { .. }
            | Error::Partial { .. }
            | Error::NoPlatform { .. }
            | Error::Store(content_store::Error::Missing { .. } | content_store::Error::Corrupt { .. })
    )
}

fn check_size(entry: &IndexEntry, found: u64) -> Result<()> {
    if found == entry.size {
        return Ok(());
    }
    let reason = format!("it has {found} bytes, its index says {}", entry.size);
    Err(Error::NotAnImage { document: entry.digest.to_string(), reason })
}

fn add_blobs(blobs: &mut BTreeMap<Digest, u64>, manifest: &Manifest) {
    let listed = std::iter::once(&manifest.config).chain(&manifest.layers);
    blobs.extend(listed.map(|documents::Descriptor { digest, size, .. }| (*digest, *size)));
}

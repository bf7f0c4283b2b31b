//! Answers from upstream registries, and from what is cached of them.

use super::blob::UpstreamBlob;
use super::cache::Cache;
use super::client::Upstream;
use super::config::{ANY, UpstreamConfig};
use super::memory::Expiring;
use crate::Options;
use crate::error::Error;
use crate::event::{Event, Reporter};
use crate::source::{DEFAULT_REGISTRY, Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
use async_trait::async_trait;
use content_store::{Digest, Reference, Store};
use content_transfer::{BlobOrigin, Downloads};
use registry_client::Registry;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The most blobs that are transferred at once.
const TRANSFERS: usize = 64;
/// How much longer than an answer from the cache a first answer may take.
pub(super) const PATIENCE: u32 = 6;

/// Upstream registries as a [`Source`].
///
/// What is asked for is fetched once, however many clients ask, and kept in a content store under names of the kind
/// [`NameKind::CachedImage`](content_store::NameKind::CachedImage). Content by digest holds for ever; a tag is asked for again when it gets old. When no upstream
/// can be asked, what is cached is answered and marked as [stale](Manifest::is_stale).
///
/// Clones share what they know.
#[derive(Clone, Debug)]
pub struct UpstreamSource(pub(super) Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    upstreams: Vec<Arc<Upstream>>,
    pub(super) cache: Cache,
    pub(super) downloads: Downloads,
    pub(super) fresh: Expiring<String, ()>,
    /// What is not there.
    pub(super) absent: Expiring<String, ()>,
    /// Why something could not be had, for those who wait for the same.
    pub(super) failed: Expiring<String, String>,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    pub(super) reporter: Reporter,
}

/// What is asked for, and who may have it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The image under its own name.
    pub(super) name: Reference,
    /// In the order in which they are asked, and how each calls it.
    pub(super) upstreams: Vec<(Arc<Upstream>, Reference)>,
}

impl UpstreamSource {
    /// A source over `upstreams` that caches in `store`. Of the options it follows [`Options::events`]. Files that the configuration names are
    /// read; nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Upstream`] for one whose configuration cannot be used.
    pub fn new(store: Store, upstreams: Vec<UpstreamConfig>, options: &Options) -> Result<Self, Error> {
        let upstreams: Result<Vec<_>, Error> =
            upstreams.into_iter().map(|config| Upstream::new(config).map(Arc::new)).collect();
        let reporter = options.reporter();
        Ok(Self(Arc::new(Shared {
            upstreams: upstreams?,
            downloads: Downloads::new(&store, TRANSFERS, move |digest, error| {
                let reason = error_report::one_line(error);
                reporter.tell(Event::Failed { request: format!("keeping {digest}"), reason });
            }),
            cache: Cache::new(store),
            fresh: Expiring::default(),
            absent: Expiring::default(),
            failed: Expiring::default(),
            turns: Mutex::default(),
            reporter: options.reporter(),
        })))
    }

    fn ask(&self, repository: &Repository, reference: &str) -> Option<Asked> {
        self.0.ask(repository, reference)
    }
}

#[async_trait]
impl Source for UpstreamSource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let text = match reference {
            ManifestReference::Tag(tag) => tag.clone(),
            ManifestReference::Digest(digest) => digest.to_string(),
        };
        let Some(asked) = self.ask(repository, &text) else { return Ok(None) };
        self.0.manifest(&asked, reference).await
    }

    async fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        let Some(asked) = self.ask(repository, &digest.to_string()) else { return Ok(None) };
        let Some(size) = self.0.blob_size(&asked, digest).await? else { return Ok(None) };
        Ok(Some(Box::new(UpstreamBlob { shared: self.0.clone(), asked, digest: *digest, size })))
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        let Some(asked) = self.ask(repository, "latest") else { return Ok(None) };
        let listed = self.0.first(&asked, |registry, image| async move { found(registry.tags(&image).await) }).await;
        let cached = self.0.cache.tags(&asked.name).await?;
        match listed {
            Ok(None) if cached.is_empty() => Ok(None),
            Ok(tags) => Ok(Some(tags.unwrap_or(cached))),
            Err(reason) if cached.is_empty() => Err(SourceError::failed(reason)),
            Err(reason) => {
                self.0.tell_stale(&asked, reason);
                Ok(Some(cached))
            }
        }
    }

    /// Upstreams are not listed.
    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    /// They are not asked what is about a manifest.
    async fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<Manifest>, SourceError> {
        Ok(Vec::new())
    }

    fn is_upstream(&self) -> bool {
        true
    }
}

impl Shared {
    /// The upstreams for a repository: those of its registry, else those for any. A path may begin with the registry. A name without a registry
    /// is Docker Hub's, where that has an upstream of its own.
    fn ask(&self, repository: &Repository, reference: &str) -> Option<Asked> {
        if repository.registry.is_none()
            && let Some((host, path)) = repository.path.split_once('/')
            && (host.contains('.') || self.upstreams.iter().any(|upstream| upstream.config.registry == host))
        {
            return self.ask(&Repository::new(Some(host), path), reference);
        }
        let registry = repository.registry.as_deref().unwrap_or(DEFAULT_REGISTRY);
        let of =
            |name: &str| self.upstreams.iter().filter(|upstream| upstream.config.registry == name).cloned().collect();
        let mut upstreams: Vec<Arc<Upstream>> = of(registry);
        if upstreams.is_empty() && repository.registry.is_some() {
            upstreams = of(ANY);
            upstreams.retain(|upstream| upstream.config.url.is_some() || !is_inner(registry));
        }
        let name = Reference::new(registry, &repository.path, reference).ok()?;
        let admitted = upstreams.into_iter().filter(|upstream| upstream.config.admits(name.repository()));
        let known = admitted.filter_map(|upstream| {
            let image = upstream.image(registry, name.repository(), reference)?;
            Some((upstream, image))
        });
        let upstreams: Vec<_> = known.collect();
        (!upstreams.is_empty()).then_some(Asked { name, upstreams })
    }

    /// Asks the upstreams in turn until one has it; `None` when all of those that could be asked do not.
    ///
    /// The error says why, when one could not be asked and no other has it.
    pub(super) async fn first<T, F>(
        &self,
        asked: &Asked,
        ask: impl Fn(Arc<dyn Registry>, Reference) -> F,
    ) -> Result<Option<T>, String>
    where
        F: Future<Output = registry_client::Result<Option<T>>>,
    {
        let mut failure = None;
        for (upstream, image) in &asked.upstreams {
            match self.once(upstream, image, PATIENCE, ask(upstream.registry.clone(), image.clone())).await {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) => {}
                Err(reason) => failure = Some(reason),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// One question to one upstream, unless it is left alone at the moment.
    pub(super) async fn once<T>(
        &self,
        upstream: &Upstream,
        image: &Reference,
        patience: u32,
        ask: impl Future<Output = registry_client::Result<Option<T>>>,
    ) -> Result<Option<T>, String> {
        let longest = upstream.timeout() * patience;
        if upstream.rests(image).is_none() {
            upstream.turn(longest).await?;
        }
        if let Some(reason) = upstream.rests(image) {
            return Err(reason);
        }
        let reason = match tokio::time::timeout(longest, ask).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                upstream.note(image, &error);
                error_report::one_line(&error)
            }
            Err(_) => upstream.note_silence(image),
        };
        self.reporter.tell(Event::Upstream { upstream: upstream.title.clone(), reason: reason.clone() });
        Err(reason)
    }

    /// Waits for those who ask for the same. Keep the answer until the question is answered.
    pub(super) async fn turn(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() > 1024 {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            match turns.get(key).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::default();
                    turns.insert(key.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }

    /// Where a blob may come from now; an error with the reason when all of them rest.
    pub(super) fn origins(&self, asked: &Asked) -> Result<Vec<BlobOrigin>, String> {
        let (mut usable, mut resting) = (Vec::new(), None);
        for (upstream, image) in &asked.upstreams {
            match upstream.rests(image) {
                None => usable.push(BlobOrigin { registry: upstream.registry.clone(), image: image.clone() }),
                reason => resting = reason,
            }
        }
        resting.filter(|_| usable.is_empty()).map_or(Ok(usable), Err)
    }

    pub(super) fn tell_stale(&self, asked: &Asked, reason: String) {
        self.reporter.tell(Event::Stale { image: asked.name.to_string(), reason });
    }

    pub(super) fn negative_ttl(asked: &Asked) -> Duration {
        let ttl = asked.upstreams.iter().map(|(upstream, _)| upstream.config.negative_ttl_seconds).min();
        Duration::from_secs(ttl.unwrap_or_default())
    }

    pub(super) fn rest(asked: &Asked) -> Duration {
        let rest = asked.upstreams.iter().map(|(upstream, _)| upstream.config.rest_seconds).min();
        Duration::from_secs(rest.unwrap_or_default())
    }
}

/// Whether this is a host that only this machine, or its link, reaches. Clients may not send requests there through `*`.
fn is_inner(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local() || address.octets()[0] == 0,
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local(),
        Err(_) => {
            // Clients of HTTP take `127.1` and `0x7f000001` for addresses, too.
            let last = host.rsplit('.').next().unwrap_or_default();
            let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
            is_number || last == "localhost"
        }
    }
}

/// An answer, or none when the registry does not have it.
pub(super) fn found<T>(answer: registry_client::Result<T>) -> registry_client::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_hosts_are_known_however_they_are_written() {
        for inner in [
            "localhost",
            "localhost:5000",
            "a.localhost.",
            "127.0.0.1:80",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0.0.0.0:1",
            "169.254.169.254",
            "[::1]:5000",
            "[::]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]:5000",
        ] {
            assert!(is_inner(inner), "{inner}");
        }
        for outer in [
            "quay.io",
            "10.0.0.1:5000",
            "192.168.1.1",
            "[fd00::1]:5000",
            "[2001:db8::1]",
            "localhost.example:5000",
            "0x.example",
        ] {
            assert!(!is_inner(outer), "{outer}");
        }
    }
}

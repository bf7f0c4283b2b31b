//! Answers with manifests: from the cache while they hold, else from upstream, else with what is cached all the same.

use super::client::Upstream;
use super::source::{Asked, Shared, found};
use crate::event::Event;
use crate::source::{Manifest, ManifestReference, SourceError};
use content_store::Digest;
use std::time::Duration;

type Answer = Result<Option<Manifest>, SourceError>;

impl Shared {
    pub(super) async fn manifest(&self, asked: &Asked, reference: &ManifestReference) -> Answer {
        let key = asked.name.to_string();
        if let Some(answer) = self.known(asked, reference, &key).await? {
            return Ok(answer);
        }
        // Of many who ask for the same, one asks upstream.
        let _turn = self.turn(&key).await;
        if let Some(answer) = self.known(asked, reference, &key).await? {
            return Ok(answer);
        }
        let cached = match reference {
            ManifestReference::Tag(_) => self.cache.named(&asked.name).await?,
            ManifestReference::Digest(_) => None,
        };
        let found = match self.failed.get(&key) {
            Some(reason) => Err(reason),
            None => self.look(asked, cached.as_ref()).await,
        };
        match (found, cached) {
            (Ok(Some(manifest)), _) => Ok(Some(manifest)),
            (Ok(None), _) => {
                self.absent.insert(key, (), Self::negative_ttl(asked));
                Ok(None)
            }
            (Err(reason), cached) => {
                self.failed.insert(key, reason.clone(), Self::rest(asked));
                let Some(manifest) = cached else { return Err(SourceError::failed(reason)) };
                self.tell_stale(asked, reason);
                self.cache.learn(&asked.name, &manifest);
                Ok(Some(manifest.stale()))
            }
        }
    }

    /// What is answered without asking anybody; the inner `None` for what is known not to be there.
    async fn known(
        &self,
        asked: &Asked,
        reference: &ManifestReference,
        key: &String,
    ) -> Result<Option<Option<Manifest>>, SourceError> {
        let cached = match reference {
            ManifestReference::Digest(digest) => self.cache.pinned(*digest).await?,
            ManifestReference::Tag(_) if self.fresh.get(key).is_some() => self.cache.named(&asked.name).await?,
            ManifestReference::Tag(_) => None,
        };
        if let Some(manifest) = cached {
            self.cache.learn(&asked.name, &manifest);
            return Ok(Some(Some(manifest)));
        }
        Ok(self.absent.get(key).map(|()| None))
    }

    /// Asks the upstreams in turn. What is cached is only compared, by its digest.
    async fn look(&self, asked: &Asked, cached: Option<&Manifest>) -> Result<Option<Manifest>, String> {
        let mut failure = None;
        for (upstream, image) in &asked.upstreams {
            let current = match cached {
                None => None,
                Some(_) => match self.once(upstream, image, 1, upstream.registry.manifest_digest(image)).await {
                    Ok(Some(digest)) => Some(digest),
                    Ok(None) => continue,
                    Err(reason) => {
                        failure = Some(reason);
                        continue;
                    }
                },
            };
            if let Some(manifest) = cached.filter(|manifest| current == Some(manifest.digest)) {
                self.hold(asked, upstream);
                self.cache.learn(&asked.name, manifest);
                return Ok(Some(manifest.clone().from_upstream(&upstream.title)));
            }
            let fetch = async { found(upstream.registry.manifest(image, &[]).await) };
            match self.once(upstream, image, super::source::PATIENCE, fetch).await {
                Ok(Some(fetched)) => {
                    let manifest = Manifest::new(fetched.digest, Some(fetched.media_type), fetched.bytes);
                    let manifest = manifest.from_upstream(&upstream.title);
                    return Ok(Some(self.keep(asked, upstream, cached.map(|old| old.digest), manifest).await));
                }
                Ok(None) => {}
                Err(reason) => failure = Some(reason),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Caches what came. A full disk keeps nobody from getting it.
    async fn keep(&self, asked: &Asked, upstream: &Upstream, old: Option<Digest>, manifest: Manifest) -> Manifest {
        match self.cache.keep(&asked.name, &manifest).await {
            Ok(()) => self.hold(asked, upstream),
            Err(error) => self.reporter.tell(Event::Failed {
                request: format!("caching {}", asked.name),
                reason: error_report::one_line(&error),
            }),
        }
        if let Some(from) = old.filter(|from| *from != manifest.digest) {
            let (image, to) = (asked.name.to_string(), manifest.digest);
            self.reporter.tell(Event::Moved { image, upstream: upstream.title.clone(), from, to });
        }
        manifest
    }

    fn hold(&self, asked: &Asked, upstream: &Upstream) {
        let key = asked.name.to_string();
        self.absent.remove(&key);
        self.fresh.insert(key, (), Duration::from_secs(upstream.config.tag_ttl_seconds));
    }
}

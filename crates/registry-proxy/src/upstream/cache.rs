//! Keeps manifests of upstreams in the content store, under names of their own kind.

use super::memory::Expiring;
use crate::document;
use crate::source::{Manifest, SourceError};
use bytes::Bytes;
use content_store::{
    DOCUMENT_LIMIT, Descriptor, Digest, Error as ContentError, FileVersion, NameKind, Reference, Store,
};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long sizes of blobs are remembered.
const SIZES: Duration = Duration::from_secs(24 * 3600);

/// What is cached, and what manifests said of it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub(super) store: Store,
    names: Arc<Mutex<Option<Known>>>,
    sizes: Arc<Expiring<(String, Digest), u64>>,
}

/// The names, and the version of the store's that they are of.
type Known = (FileVersion, Arc<Names>);

/// What names point at.
type Names = HashMap<String, Target>;

#[derive(Clone, Debug)]
struct Target {
    digest: Digest,
    media_type: String,
}

/// What a manifest or index refers to.
#[derive(Default, Deserialize)]
struct Children {
    config: Option<Child>,
    #[serde(default)]
    layers: Vec<Child>,
    #[serde(default)]
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
    size: u64,
}

impl Cache {
    pub(super) fn new(store: Store) -> Self {
        Self { store, names: Arc::default(), sizes: Arc::default() }
    }

    /// The manifest that was cached under this name, if it is still here and intact.
    pub(super) async fn named(&self, name: &Reference) -> Result<Option<Manifest>, SourceError> {
        let (cache, name) = (self.clone(), name.to_string());
        blocking(move || {
            let Some(target) = cache.names()?.get(&name).cloned() else { return Ok(None) };
            Ok(cache.read(&target.digest)?.map(|bytes| Manifest::new(target.digest, Some(target.media_type), bytes)))
        })
        .await
    }

    /// The manifest with this digest, if it is here and intact.
    pub(super) async fn pinned(&self, digest: Digest) -> Result<Option<Manifest>, SourceError> {
        let cache = self.clone();
        blocking(move || Ok(cache.read(&digest)?.map(|bytes| Manifest::new(digest, None, bytes)))).await
    }

    /// Keeps a manifest. One that was asked for by its digest gets a name only when nothing refers to it, so that it stays.
    pub(super) async fn keep(&self, name: &Reference, manifest: &Manifest) -> Result<(), SourceError> {
        self.learn(name, manifest);
        let is_child = name.digest().is_some_and(|digest| self.size(name, digest).is_some());
        let (cache, name, manifest) = (self.clone(), name.to_string(), manifest.clone());
        blocking(move || {
            let (store, digest) = (&cache.store, manifest.digest);
            let _until_it_has_a_name = store.gc_guard()?;
            let mut writer = store.writer()?.with_algorithm(digest.algorithm());
            writer.write_all(&manifest.bytes).map_err(|error| unwritten(error, &name))?;
            writer.commit(Some(&digest))?;
            if is_child {
                return Ok(());
            }
            let stored_as = manifest.media_type.as_deref();
            let kind = document::media_type(&manifest.bytes, stored_as).or(stored_as).unwrap_or_default();
            let descriptor = Descriptor::new(kind.into(), manifest.bytes.len() as u64, digest);
            store.set_name(NameKind::CachedImage, &name, &descriptor)
        })
        .await
    }

    /// Remembers the sizes that a manifest names, so that its blobs need not be asked for twice.
    pub(super) fn learn(&self, name: &Reference, manifest: &Manifest) {
        let children: Children = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        for child in children.config.into_iter().chain(children.layers).chain(children.manifests) {
            if let Ok(digest) = child.digest.parse() {
                self.learn_size(name, digest, child.size);
            }
        }
    }

    pub(super) fn learn_size(&self, name: &Reference, digest: Digest, size: u64) {
        self.sizes.insert((repository(name), digest), size, SIZES);
    }

    /// The size of a blob, when a manifest of the repository named it.
    pub(super) fn size(&self, name: &Reference, digest: &Digest) -> Option<u64> {
        self.sizes.get(&(repository(name), *digest))
    }

    /// The tags of a repository that are cached.
    pub(super) async fn tags(&self, name: &Reference) -> Result<Vec<String>, SourceError> {
        let (cache, prefix) = (self.clone(), format!("{}:", repository(name)));
        let is_tag =
            move |name: &String| name.strip_prefix(&prefix).filter(|tag| !tag.contains(['/', '@'])).map(str::to_owned);
        blocking(move || Ok(cache.names()?.keys().filter_map(is_tag).collect())).await
    }

    /// The names as they are now. Blocks.
    fn names(&self) -> content_store::Result<Arc<Names>> {
        let version = self.store.names_version()?;
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, names)) = &*known
            && *seen == version
        {
            return Ok(names.clone());
        }
        let cached = self.store.names()?.into_iter().filter(|named| named.kind == NameKind::CachedImage);
        let target = |descriptor: &Descriptor| {
            let digest = Digest::try_from(descriptor.digest()).ok()?;
            Some(Target { digest, media_type: descriptor.media_type().to_string() })
        };
        let names = cached.filter_map(|named| target(&named.descriptor).map(|target| (named.name, target)));
        let names = Arc::new(names.collect::<Names>());
        *known = Some((version, names.clone()));
        Ok(names)
    }

    fn read(&self, digest: &Digest) -> content_store::Result<Option<Bytes>> {
        match self.store.read_verified(digest, DOCUMENT_LIMIT) {
            Ok(bytes) => {
                // What is cached is given up by its last use; that it cannot be noted keeps nobody from it.
                let _ = self.store.mark_used(digest);
                Ok(Some(bytes.into()))
            }
            // One that is corrupt is fetched again.
            Err(ContentError::Missing { .. } | ContentError::TooLarge { .. } | ContentError::Corrupt { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn repository(name: &Reference) -> String {
    format!("{}/{}", name.registry(), name.repository())
}

fn unwritten(error: std::io::Error, name: &str) -> ContentError {
    error.downcast().unwrap_or_else(|source| ContentError::File { act: "write", path: name.into(), source })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> content_store::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    crate::content::blocking(work).await.map_err(SourceError::failed)
}

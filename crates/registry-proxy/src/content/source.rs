//! Answers from a content store.

use super::blob::{Keeper, StoredBlob};
use super::integrity::Integrity;
use super::names::{Names, Table};
use crate::event::Reporter;
use crate::source::{Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
use crate::{Event, Options};
use async_trait::async_trait;
use content_store::{DOCUMENT_LIMIT, Digest, Error as ContentError, Store};
use std::sync::Arc;

/// The most bytes of manifests that one list is made of.
const REFERRERS_LIMIT: usize = 64 << 20;

/// A content store as a [`Source`]: its carried images under their original names, and its cluster images.
///
/// A blob is compared with its digest before it is first served, and again when it is sent whole an hour later. A corrupt one is told as
/// [`Event::Corrupt`] and from then on not served, until its file is replaced. Clones share what they know of blobs.
#[derive(Clone, Debug)]
pub struct ContentSource(Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    names: Names,
    pub(super) integrity: Integrity,
    pub(super) clients_verify: bool,
    pub(super) reporter: Reporter,
}

impl ContentSource {
    /// A source over `store`. Of the options it follows [`Options::clients_verify`] and [`Options::events`].
    #[must_use]
    pub fn new(store: Store, options: &Options) -> Self {
        Self(Arc::new(Shared {
            names: Names::new(store.clone()),
            store,
            integrity: Integrity::default(),
            clients_verify: options.clients_verify,
            reporter: options.reporter(),
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Does work that blocks where it may.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(SourceError::failed)?
    }
}

#[async_trait]
impl Source for ContentSource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.blocking(move |shared| shared.manifest(&repository, &reference)).await
    }

    async fn blob(&self, _: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        let digest = *digest;
        self.blocking(move |shared| Ok(shared.open(&digest)?.map(|blob| Box::new(blob) as Box<dyn SourceBlob>))).await
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        let repository = repository.clone();
        self.blocking(move |shared| Ok(shared.table()?.tags(&repository))).await
    }

    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        self.blocking(|shared| Ok(shared.table()?.repositories())).await
    }

    async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Manifest>, SourceError> {
        let (repository, subject) = (repository.clone(), *subject);
        self.blocking(move |shared| {
            let (mut found, mut total) = (Vec::new(), 0);
            for target in shared.table()?.referrers(&repository, &subject) {
                // One that is gone or corrupt refers to nothing.
                if let Ok(bytes) = shared.store.read_verified(&target.digest, DOCUMENT_LIMIT) {
                    total += bytes.len();
                    if total > REFERRERS_LIMIT {
                        let request = format!("listing what is about {}@{subject}", repository.path);
                        let reason = format!("it is more than {REFERRERS_LIMIT} bytes; the rest is left out");
                        shared.reporter.tell(Event::Failed { request, reason });
                        break;
                    }
                    found.push(Manifest::new(target.digest, Some(target.media_type), bytes));
                }
            }
            Ok(found)
        })
        .await
    }
}

impl Shared {
    fn table(&self) -> Result<Arc<Table>, SourceError> {
        self.names.table().map_err(SourceError::failed)
    }

    fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let (digest, media_type) = match reference {
            ManifestReference::Digest(digest) => (*digest, None),
            ManifestReference::Tag(tag) => match self.table()?.resolve(repository, tag) {
                Some(target) => (target.digest, Some(target.media_type.clone())),
                None => return Ok(None),
            },
        };
        match self.store.read_verified(&digest, DOCUMENT_LIMIT) {
            Ok(bytes) => {
                if self.table()?.is_cached(&digest) {
                    // What is cached is given up by its last use; that it cannot be noted keeps nobody from it.
                    let _ = self.store.mark_used(&digest);
                }
                Ok(Some(Manifest::new(digest, media_type, bytes)))
            }
            Err(ContentError::Missing { .. } | ContentError::TooLarge { .. }) => Ok(None),
            Err(ContentError::Corrupt { .. }) => Err(self.corrupt(digest)),
            Err(error) => Err(SourceError::failed(error)),
        }
    }

    fn open(self: &Arc<Self>, digest: &Digest) -> Result<Option<StoredBlob>, SourceError> {
        match self.store.open_blob(digest) {
            Ok(file) if self.integrity.get(&file) == Some(false) => Err(SourceError::Corrupt { digest: *digest }),
            Ok(file) => Ok(Some(StoredBlob { keeper: self.clone(), file })),
            Err(ContentError::Missing { .. }) => Ok(None),
            Err(error) => Err(SourceError::failed(error)),
        }
    }
}

impl Keeper for Shared {
    fn integrity(&self) -> &Integrity {
        &self.integrity
    }

    fn verifies_late(&self) -> bool {
        self.clients_verify
    }

    fn corrupt(&self, digest: Digest) -> SourceError {
        self.reporter.tell(Event::Corrupt { digest, path: self.store.blob_path(&digest) });
        SourceError::Corrupt { digest }
    }
}

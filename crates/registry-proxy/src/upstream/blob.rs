//! Answers with blobs: their size first, their bytes while they come from upstream.

use super::source::{Asked, Shared};
use crate::event::Event;
use crate::source::{BlobStream, SourceBlob, SourceError};
use async_trait::async_trait;
use content_store::Digest;
use futures_util::{StreamExt, TryStreamExt};
use std::ops::Range;
use std::sync::Arc;

/// A blob that an upstream has. Nothing is transferred before it is read.
#[derive(Debug)]
pub(super) struct UpstreamBlob {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: Asked,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

#[async_trait]
impl SourceBlob for UpstreamBlob {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(self: Box<Self>, range: Range<u64>) -> Result<BlobStream, SourceError> {
        let Self { shared, asked, digest, size } = *self;
        let origins = shared.origins(&asked).map_err(SourceError::failed)?;
        let download = match shared.downloads.open(digest, origins).await {
            Ok(download) => download,
            Err(error) => {
                if let content_transfer::Error::Registry(cause) = &*error {
                    match asked.upstreams.last() {
                        Some(_) if cause.is_not_found() => {
                            shared.absent.insert(key(&asked), (), Shared::negative_ttl(&asked));
                        }
                        Some((upstream, image)) => upstream.note(image, cause),
                        None => {}
                    }
                }
                return Err(SourceError::failed(error));
            }
        };
        if download.size() != size {
            let found = download.size();
            return Err(SourceError::failed(format!("{} has {found} bytes, and its manifest says {size}", asked.name)));
        }
        // A client only sees that the answer breaks off.
        let tell = move |error: &std::io::Error| {
            let request = format!("fetching {}", asked.name);
            shared.reporter.tell(Event::Failed { request, reason: error_report::one_line(error) });
        };
        Ok(download.read(range).inspect_err(tell).boxed())
    }
}

/// A manifest may have the same digest, and be there.
fn key(asked: &Asked) -> String {
    format!("blob {}", asked.name)
}

impl Shared {
    /// The size of a blob: what a manifest said, else what an upstream says; `None` when it is not there.
    pub(super) async fn blob_size(&self, asked: &Asked, digest: &Digest) -> Result<Option<u64>, SourceError> {
        let key = key(asked);
        if self.absent.get(&key).is_some() {
            return Ok(None);
        }
        if let Some(size) = self.cache.size(&asked.name, digest) {
            return Ok(Some(size));
        }
        let _turn = self.turn(&key).await;
        if let Some(size) = self.cache.size(&asked.name, digest) {
            return Ok(Some(size));
        }
        let digest = *digest;
        let sizes = self.first(asked, |registry, image| async move { registry.blob_exists(&image, &digest).await });
        let size = sizes.await.map_err(SourceError::failed)?;
        match size {
            Some(size) => self.cache.learn_size(&asked.name, digest, size),
            None => self.absent.insert(key, (), Self::negative_ttl(asked)),
        }
        Ok(size)
    }
}

//! Collects garbage and keeps the store within its quota, while it is served.

use super::source::{ContentSource, Shared};
use crate::Event;
use crate::source::SourceError;
use content_store::{Alone, Error as ContentError, Freed, Partials};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Writers hold a collection off; it is tried again this often, with such a pause.
const ATTEMPTS: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

impl ContentSource {
    /// Removes what no name reaches. With a quota in bytes cached images are given up first, those that were used least recently, until
    /// the rest fits. With `untagged`, so are pushed manifests without a tag that are part of nothing that has one. Uploads and fresh blobs
    /// are protected. Writers wait meanwhile, readers do not.
    ///
    /// # Errors
    ///
    /// [`SourceError::Failed`] when writers leave no gap for half a minute, a document that says what is needed is corrupt, or the disk fails.
    pub async fn collect(&self, quota: Option<u64>, untagged: bool) -> Result<Freed, SourceError> {
        self.alone(move |alone| {
            if untagged {
                alone.forget_untagged()?;
            }
            if let Some(quota) = quota {
                alone.forget_cached(quota)?;
            }
            Ok(alone.garbage(&BTreeSet::new())?.remove(Partials::Useless)?.blobs)
        })
        .await
    }

    /// Collects again and again; what fails is told, and tried again after the next pause.
    pub(crate) async fn maintain(self, quota: Option<u64>, untagged: bool, interval: Duration) {
        loop {
            match self.collect(quota, untagged).await {
                Ok(Freed { blobs: 0, .. }) => {}
                Ok(Freed { blobs, bytes }) => self.shared().reporter.tell(Event::Collected { blobs, bytes }),
                Err(error) => {
                    let reason = error_report::one_line(&error);
                    self.shared().reporter.tell(Event::Failed { request: "collecting garbage".to_owned(), reason });
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Does work for which nobody else may write, when nobody does.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        work: impl Fn(&Alone<'_>) -> content_store::Result<T> + Send + Sync + 'static,
    ) -> Result<T, SourceError> {
        let work = Arc::new(work);
        let mut attempts = 0;
        loop {
            let work = work.clone();
            let done = move |shared: &Arc<Shared>| match shared.store.alone() {
                Ok(alone) => work(&alone).map(Some).map_err(SourceError::failed),
                Err(ContentError::InUse { .. }) if attempts < ATTEMPTS => Ok(None),
                Err(error) => Err(SourceError::failed(error)),
            };
            if let Some(done) = self.blocking(done).await? {
                return Ok(done);
            }
            attempts += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

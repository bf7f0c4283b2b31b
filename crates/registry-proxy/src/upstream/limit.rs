//! Slows requests and transfers down to what an upstream allows.

use async_trait::async_trait;
use futures_util::StreamExt;
use registry_client::{BlobStream, Digest, Manifest, Reference, Registry, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A registry whose blobs come no faster than so many requests and bytes a second. Who asks for anything else waits for the turn before.
#[derive(Debug)]
pub(super) struct Limited<R> {
    registry: R,
    requests: Option<Arc<Pace>>,
    bytes: Option<Arc<Pace>>,
}

/// Lets so many units a second pass, those of one second at once.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// When all that was let pass would have passed evenly.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the turn of so many units; `false`, at once, when it comes later than `longest` from now.
    pub(super) async fn pass(&self, units: u64, longest: Duration) -> bool {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_second);
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let (turn, now) = (*next, Instant::now());
            if turn.saturating_duration_since(now) > longest {
                return false;
            }
            // Who was idle may make up for one second.
            let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(turn);
            *next = turn.max(earliest) + time;
            turn
        };
        tokio::time::sleep_until(turn).await;
        true
    }
}

impl<R> Limited<R> {
    pub(super) fn new(registry: R, requests: Option<Arc<Pace>>, bytes: Option<u64>) -> Self {
        Self { registry, requests, bytes: bytes.map(|count| Arc::new(Pace::new(count))) }
    }
}

#[async_trait]
impl<R: Registry> Registry for Limited<R> {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest> {
        self.registry.manifest(image, accept).await
    }

    async fn manifest_digest(&self, image: &Reference) -> Result<Option<Digest>> {
        self.registry.manifest_digest(image).await
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream> {
        if let Some(pace) = &self.requests {
            pace.pass(1, Duration::MAX).await;
        }
        let BlobStream { size, stream, .. } = self.registry.blob(image, digest, offset).await?;
        let Some(pace) = self.bytes.clone() else { return Ok(BlobStream::new(size, stream)) };
        let slowed = stream.then(move |piece| {
            let pace = pace.clone();
            async move {
                if let Ok(bytes) = &piece {
                    pace.pass(bytes.len() as u64, Duration::MAX).await;
                }
                piece
            }
        });
        Ok(BlobStream::new(size, slowed.boxed()))
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>> {
        self.registry.blob_exists(image, digest).await
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>> {
        self.registry.tags(image).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept_and_the_idle_may_catch_up_one_second() {
        let start = Instant::now();
        let pace = Pace::new(10);
        for _ in 0..30 {
            pace.pass(1, Duration::MAX).await;
        }
        let first = start.elapsed();
        assert!((Duration::from_millis(2800)..=Duration::from_millis(3000)).contains(&first), "{first:?}");
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..20 {
            pace.pass(1, Duration::MAX).await;
        }
        let second = start.elapsed();
        assert!(!pace.pass(1, Duration::from_millis(1)).await, "what comes too late takes no turn");
        assert!((Duration::from_millis(800)..=Duration::from_millis(1100)).contains(&second), "{second:?}");
    }
}

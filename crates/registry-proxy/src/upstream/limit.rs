//! Slows requests and transfers down to what an upstream allows.

use async_trait::async_trait;
use futures_util::StreamExt;
use registry_client::{BlobStream, Digest, Manifest, Reference, Registry, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A registry that is asked no faster than so many requests and bytes a second.
#[derive(Debug)]
pub(super) struct Limited<R> {
    registry: R,
    requests: Option<Pace>,
    bytes: Option<Arc<Pace>>,
}

/// Lets so many units a second pass, those of one second at once.
#[derive(Debug)]
struct Pace {
    per_second: u64,
    /// When all that was let pass would have passed evenly.
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    async fn pass(&self, units: u64) {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_second);
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = *next;
            // Who was idle may make up for one second.
            let earliest = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(turn);
            *next = turn.max(earliest) + time;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

impl<R> Limited<R> {
    pub(super) fn new(registry: R, requests: Option<u32>, bytes: Option<u64>) -> Self {
        let requests = requests.map(|count| Pace::new(count.into()));
        Self { registry, requests, bytes: bytes.map(|count| Arc::new(Pace::new(count))) }
    }

    async fn turn(&self) {
        if let Some(pace) = &self.requests {
            pace.pass(1).await;
        }
    }
}

#[async_trait]
impl<R: Registry> Registry for Limited<R> {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest> {
        self.turn().await;
        self.registry.manifest(image, accept).await
    }

    async fn manifest_digest(&self, image: &Reference) -> Result<Option<Digest>> {
        self.turn().await;
        self.registry.manifest_digest(image).await
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream> {
        self.turn().await;
        let BlobStream { size, stream, .. } = self.registry.blob(image, digest, offset).await?;
        let Some(pace) = self.bytes.clone() else { return Ok(BlobStream::new(size, stream)) };
        let slowed = stream.then(move |piece| {
            let pace = pace.clone();
            async move {
                if let Ok(bytes) = &piece {
                    pace.pass(bytes.len() as u64).await;
                }
                piece
            }
        });
        Ok(BlobStream::new(size, slowed.boxed()))
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>> {
        self.turn().await;
        self.registry.blob_exists(image, digest).await
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>> {
        self.turn().await;
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
            pace.pass(1).await;
        }
        let first = start.elapsed();
        assert!((Duration::from_millis(2800)..=Duration::from_millis(3000)).contains(&first), "{first:?}");
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..20 {
            pace.pass(1).await;
        }
        let second = start.elapsed();
        assert!((Duration::from_millis(800)..=Duration::from_millis(1100)).contains(&second), "{second:?}");
    }
}

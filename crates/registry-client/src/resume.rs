//! Resumes interrupted transfers.

use crate::BlobStream;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::time::Duration;

/// Attempts in a row that may fail before giving up.
pub(crate) const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The wait after the given number of failures in a row: it doubles each time.
pub(crate) fn wait(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_WAIT)
}

/// A transfer is opened again at most this often, however little each attempt brought.
const REOPEN_LIMIT: u32 = 100;

/// Opens the same blob at an offset.
pub(crate) type Open = Box<dyn Fn(u64) -> BoxFuture<'static, Result<BlobStream>> + Send + Sync>;

/// The blob that `first` started at `offset`, opened again with `open` where it breaks off or ends too early.
pub(crate) fn resuming(
    first: BlobStream,
    offset: u64,
    open: Open,
    broken: impl Fn() -> Error + Send + 'static,
) -> BlobStream {
    let size = first.size;
    let start = Transfer { stream: Some(first.stream), position: offset, size, failures: 0, reopened: 0, open, broken };
    BlobStream { size, stream: Box::pin(stream::try_unfold(start, Transfer::next)) }
}

struct Transfer<F> {
    stream: Option<BoxStream<'static, Result<Bytes>>>,
    position: u64,
    size: Option<u64>,
    failures: u32,
    reopened: u32,
    open: Open,
    broken: F,
}

impl<F: Fn() -> Error> Transfer<F> {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let error = match self.stream.as_mut() {
                Some(stream) => match stream.next().await {
                    Some(Ok(bytes)) if self.size.is_some_and(|size| self.position + bytes.len() as u64 > size) => {
                        return Err((self.broken)());
                    }
                    Some(Ok(bytes)) => {
                        self.position += bytes.len() as u64;
                        self.failures = 0;
                        return Ok(Some((bytes, self)));
                    }
                    Some(Err(error)) => error,
                    None if self.size.is_some_and(|size| self.position < size) => (self.broken)(),
                    None => return Ok(None),
                },
                None => match (self.open)(self.position).await {
                    Ok(blob) => {
                        self.stream = Some(blob.stream);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            self.stream = None;
            self.failures += 1;
            self.reopened += 1;
            if !error.is_transient() || self.failures >= ATTEMPTS || self.reopened >= REOPEN_LIMIT {
                return Err(error);
            }
            tokio::time::sleep(wait(self.failures)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn broken() -> Error {
        Error::Interrupted { object: "blob".to_owned(), host: "host".to_owned(), source: "gone".into() }
    }

    /// Gives two bytes of `hello` at a time, then breaks off; `opened` counts.
    fn flaky(opened: Arc<AtomicU32>, gain: usize) -> Open {
        Box::new(move |offset| {
            opened.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let rest = &b"hello"[usize::try_from(offset).unwrap()..];
                let some = Bytes::copy_from_slice(&rest[..gain.min(rest.len())]);
                let end = (gain < rest.len()).then(|| Err(broken()));
                let items = (!some.is_empty()).then_some(Ok(some)).into_iter().chain(end);
                Ok(BlobStream { size: Some(5), stream: Box::pin(stream::iter(items.collect::<Vec<_>>())) })
            })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_goes_on_where_it_broke() {
        let opened = Arc::new(AtomicU32::new(0));
        let first = flaky(opened.clone(), 2)(0).await.unwrap();
        let blob = resuming(first, 0, flaky(opened.clone(), 2), broken);
        let bytes = crate::wire::collect(blob.stream, 100).await.unwrap().unwrap();
        assert_eq!(&bytes[..], b"hello");
        assert_eq!(opened.load(Ordering::SeqCst), 3, "0..2, 2..4, 4..5");
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_without_progress_ends() {
        let opened = Arc::new(AtomicU32::new(0));
        let first = flaky(opened.clone(), 0)(0).await.unwrap();
        let blob = resuming(first, 0, flaky(opened.clone(), 0), broken);
        assert!(matches!(crate::wire::collect(blob.stream, 100).await, Err(Error::Interrupted { .. })));
        assert_eq!(opened.load(Ordering::SeqCst), ATTEMPTS);
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_end_is_an_interruption_and_an_overrun_an_error() {
        let short = || BlobStream { size: Some(5), stream: Box::pin(stream::iter([Ok(Bytes::from_static(b"he"))])) };
        let open: Open = Box::new(|offset| {
            Box::pin(async move {
                Ok(BlobStream {
                    size: Some(5),
                    stream: Box::pin(stream::iter([Ok(Bytes::copy_from_slice(
                        &b"hello"[usize::try_from(offset).unwrap()..],
                    ))])),
                })
            })
        });
        let blob = resuming(short(), 0, open, broken);
        assert_eq!(&crate::wire::collect(blob.stream, 100).await.unwrap().unwrap()[..], b"hello");

        let long = BlobStream { size: Some(3), stream: Box::pin(stream::iter([Ok(Bytes::from_static(b"hello"))])) };
        let never: Open = Box::new(|_| Box::pin(async { Err(broken()) }));
        assert!(crate::wire::collect(resuming(long, 0, never, broken).stream, 100).await.is_err());
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=40).map(|failures| u64::try_from(wait(failures).as_millis()).unwrap()).collect();
        assert_eq!(waits[..6], [200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(waits[39], 5000);
    }
}

//! Ends answers that the peer does not take.

use super::files::is_filler;
use super::limits::{Client, Place};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A peer that takes nothing of an answer for this long gets no more of it.
const STALLED: Duration = Duration::from_secs(30);
/// The same while others have to wait.
const STALLED_CROWDED: Duration = Duration::from_millis(500);
/// What is handed to a connection at once: small, so that it is seen whether the peer takes it.
const PIECE: usize = 16 << 10;
/// How often an answer under way is looked at, and how often it is looked whether there is one.
const TICKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

tokio::task_local! {
    /// The answer that the running task sends.
    static PROGRESS: Arc<Progress>;
}

/// Since when the peer has not taken what was handed out last, and whose connection it is; none when we are to hand out.
#[derive(Debug, Default)]
struct Progress(Mutex<Option<(Instant, Arc<Client>)>>);

impl Progress {
    fn set(&self, handed: Option<(Instant, Arc<Client>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handed;
    }

    fn state(&self) -> Option<bool> {
        let handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, client) = handed.as_ref()?;
        let waited = since.elapsed();
        Some(waited >= STALLED || (waited >= STALLED_CROWDED && client.is_crowded()))
    }

    /// Ready when the peer takes nothing for too long.
    async fn stalled(&self) {
        loop {
            match self.state() {
                Some(true) => return,
                Some(false) => sleep(TICKS.0).await,
                None => sleep(TICKS.1).await,
            }
        }
    }
}

/// Tells that the peer took something of the answer that the running task sends.
pub(super) fn taken() {
    let _ = PROGRESS.try_with(|progress| {
        if let Some((since, _)) = &mut *progress.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *since = Instant::now();
        }
    });
}

/// Runs what sends answers, an HTTP/1 connection or one stream of HTTP/2; none when the peer stops taking them.
pub(crate) async fn sending<F: Future>(task: F) -> Option<F::Output> {
    let progress = Arc::<Progress>::default();
    tokio::select! {
        output = PROGRESS.scope(progress.clone(), task) => Some(output),
        () = progress.stalled() => None,
    }
}

/// Spawns the streams of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(sending(stream));
    }
}

/// The body of an answer, in small pieces; keeps the place of its request.
pub(crate) struct Answer {
    body: Body,
    /// What was read of the body and not handed out.
    rest: Bytes,
    progress: Option<Arc<Progress>>,
    place: Place,
}

impl Answer {
    pub(super) fn new(body: Body, place: Place) -> Self {
        Self { body, rest: Bytes::new(), progress: PROGRESS.try_with(Arc::clone).ok(), place }
    }

    fn tell(&self, handed: Option<Instant>) {
        if let Some(progress) = &self.progress {
            progress.set(handed.map(|since| (since, self.place.client.clone())));
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.tell(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = if is_filler(&self.rest) {
            // Of a file nothing waits in the connection, which tells itself what the peer takes.
            std::mem::take(&mut self.rest)
        } else {
            let length = self.rest.len().min(PIECE);
            // A copy: what waits in a connection must not keep the whole chunk.
            Bytes::copy_from_slice(&self.rest.split_to(length))
        };
        self.tell(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.tell(None);
    }
}

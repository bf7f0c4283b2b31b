//! A registry at the other end of a byte stream: the same API over one HTTP/2 connection.

use crate::error::{Cause, Error, Result};
use crate::wire::{self, Object};
use crate::{BlobStream, Digest, Manifest, Reference, Registry};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ACCEPT, RANGE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

/// How many bytes of one blob may be on the way: enough for 1 Gbit/s at 60 ms.
pub(crate) const STREAM_WINDOW: u32 = 8 << 20;
/// How many bytes of all blobs together may be on the way.
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME: u32 = 1 << 20;
/// A peer that is silent for twice this long while something is asked of it is gone.
const TIMEOUT: Duration = Duration::from_secs(30);
const PEER: &str = "the other end of the stream";

/// A [`Registry`] spoken to over any byte stream, for example the standard input and output of a process. It does not reconnect.
#[derive(Debug)]
pub struct Http2Stream {
    sender: SendRequest<Empty<Bytes>>,
    connection: AbortHandle,
}

impl Http2Stream {
    /// Opens the connection. Must be called within a tokio runtime; the connection ends when the value is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when the other end does not speak HTTP/2.
    pub async fn new<S>(io: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .keep_alive_interval(TIMEOUT)
            .keep_alive_timeout(TIMEOUT)
            .handshake(TokioIo::new(io))
            .await;
        let (sender, connection) =
            handshake.map_err(|error| Error::Unreachable { host: PEER.to_owned(), source: error.into() })?;
        let connection = tokio::spawn(async move {
            // A failure of the connection reaches every request that is under way.
            let _ = connection.await;
        });
        Ok(Self { sender, connection: connection.abort_handle() })
    }

    async fn send(
        &self,
        method: Method,
        object: &Object<'_>,
        path: &str,
        offset: u64,
        accept: &[&str],
    ) -> Result<Response<Incoming>> {
        let interrupted = |source: Cause| Error::Interrupted { object: object.title(), host: PEER.to_owned(), source };
        // The authority is required by HTTP and means nothing here.
        let mut request = Request::builder().method(method).uri(format!("http://content.invalid{path}"));
        if matches!(object, Object::Manifest(_)) {
            request = request.header(ACCEPT, wire::accept(accept));
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let request = request.body(Empty::new()).map_err(|error| interrupted(error.into()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|error| interrupted(error.into()))?;
        sender.send_request(request).await.map_err(|error| interrupted(error.into()))
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[async_trait]
impl Registry for Http2Stream {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest> {
        let object = Object::Manifest(image);
        let (head, body) = self.send(Method::GET, &object, &object.path(true), 0, accept).await?.into_parts();
        let bytes = document(&object, head.status, body).await?;
        wire::manifest(image, PEER, &head.headers, bytes)
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream> {
        let object = Object::Blob(image, digest);
        let (head, body) = self.send(Method::GET, &object, &object.path(true), offset, &[]).await?.into_parts();
        if !(head.status.is_success() || head.status == StatusCode::RANGE_NOT_SATISFIABLE) {
            return Err(refusal(&object, head.status, body).await);
        }
        let body = data(body, object.title());
        wire::blob(head.status, &head.headers, offset, body)
            .ok_or_else(|| wire::refusal(&object, PEER, head.status, b""))
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>> {
        let object = Object::Blob(image, digest);
        let (head, body) = self.send(Method::HEAD, &object, &object.path(true), 0, &[]).await?.into_parts();
        match head.status {
            StatusCode::OK => Ok(wire::length(&head.headers)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refusal(&object, status, body).await),
        }
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>> {
        let object = Object::Tags(image);
        let (mut tags, mut next) = (Vec::new(), Some(object.path(true)));
        while let Some(path) = next {
            let (head, body) = self.send(Method::GET, &object, &path, 0, &[]).await?.into_parts();
            let page = document(&object, head.status, body).await?;
            next = wire::add_tags(&mut tags, PEER, &head.headers, &page)?;
        }
        Ok(tags)
    }
}

/// The whole body of a successful answer.
async fn document(object: &Object<'_>, status: StatusCode, body: Incoming) -> Result<Bytes> {
    if status != StatusCode::OK {
        return Err(refusal(object, status, body).await);
    }
    let bytes = wire::collect(data(body, object.title()), wire::MANIFEST_LIMIT).await?;
    bytes.ok_or_else(|| Error::TooLarge { object: object.title(), host: PEER.to_owned(), limit: wire::MANIFEST_LIMIT })
}

fn data(body: Incoming, object: String) -> impl futures_util::Stream<Item = Result<Bytes>> + Send + 'static {
    body.into_data_stream().map(move |item| {
        item.map_err(|source| Error::Interrupted {
            object: object.clone(),
            host: PEER.to_owned(),
            source: source.into(),
        })
    })
}

async fn refusal(object: &Object<'_>, status: StatusCode, body: Incoming) -> Error {
    let body = wire::collect(body.into_data_stream(), wire::REFUSAL_LIMIT).await.ok().flatten().unwrap_or_default();
    wire::refusal(object, PEER, status, &body)
}

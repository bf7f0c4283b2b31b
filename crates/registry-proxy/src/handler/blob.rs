//! Answers requests for blobs, whole or in part.

use super::response::{self, Answer, Failure};
use super::service::Handler;
use crate::blob::{self, Blob};
use crate::integrity::FileVersion;
use crate::range::{self, Part};
use crate::route::Refusal;
use axum::body::Body;
use bytes::Bytes;
use content_store::{Digest, Error as ContentError};
use futures_util::{Stream, StreamExt};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use std::io;
use std::sync::Arc;

impl Handler {
    pub(super) async fn blob(self: Arc<Self>, digest: Digest, is_head: bool, headers: &HeaderMap) -> Answer {
        let this = self.clone();
        let unknown = || refusal(&digest, "not here");
        let blob = response::blocking(move || this.open(digest)).await??.ok_or_else(unknown)?;
        if self.integrity.get(&digest, blob.version) == Some(false) {
            return Err(refusal(&digest, "damaged here").into());
        }
        let (etag, size) = (format!("\"{digest}\""), blob.size);
        if range::is_known(headers, &etag) {
            return response::finish(response::described(StatusCode::NOT_MODIFIED, &digest, &etag), Body::empty());
        }
        let part = range::part(headers, &etag, size);
        let (status, start, end) = match part {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Range { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
            Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        let mut response = response::described(status, &digest, &etag)
            .header(ACCEPT_RANGES, "bytes")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, end - start);
        match part {
            Part::Whole => {}
            Part::Range { .. } => {
                response = response.header(CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1))
            }
            Part::Unsatisfiable => response = response.header(CONTENT_RANGE, format!("bytes */{size}")),
        }
        if is_head || part == Part::Unsatisfiable {
            return response::finish(response, Body::empty());
        }
        response::finish(response, self.body(blob, start, end).await?)
    }

    async fn body(self: Arc<Self>, blob: Blob, start: u64, end: u64) -> Result<Body, Failure> {
        let place = self.transfers.clone().acquire_owned().await.map_err(|error| Failure::caused_by(&error))?;
        let is_whole = (start, end) == (0, blob.size);
        if is_whole && self.options.clients_verify {
            return Ok(body(self.watched(blob), place));
        }
        let blob = self.check(blob).await?;
        if is_whole {
            return Ok(body(self.watched(blob), place));
        }
        let bytes = blob::section(blob, start, end).map_err(|error| Failure::caused_by(&error))?;
        Ok(body(bytes, place))
    }

    /// Lets only sound blobs pass: what was once sent cannot be taken back, and clients that keep the first half of a damaged blob
    /// for the next attempt would never get a whole one.
    async fn check(&self, blob: Blob) -> Result<Blob, Failure> {
        let digest = blob.digest;
        let checked = self.integrity.check(blob).await.map_err(|error| Failure::caused_by(&error))?;
        if checked.is_intact {
            return Ok(checked.blob);
        }
        if checked.is_news {
            self.report_corrupt(digest);
        }
        Err(refusal(&digest, "damaged here").into())
    }

    /// The whole blob, compared with its digest once more on its way.
    fn watched(self: Arc<Self>, blob: Blob) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let integrity = self.integrity.clone();
        blob::whole(blob, integrity, Arc::new(move |digest| self.report_corrupt(digest)))
    }

    fn open(&self, digest: Digest) -> Result<Option<Blob>, Failure> {
        let file = match self.content.open_blob(&digest) {
            Ok(file) => file,
            Err(ContentError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(Failure::caused_by(&error)),
        };
        let metadata = file.metadata().map_err(|error| Failure::caused_by(&error))?;
        Ok(Some(Blob { digest, size: metadata.len(), version: FileVersion::from(&metadata), file }))
    }
}

/// A body that keeps its place among the transfers until it is dropped.
fn body<P: Send + 'static>(bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static, place: P) -> Body {
    Body::from_stream(bytes.inspect(move |_| {
        let _ = &place;
    }))
}

fn refusal(digest: &Digest, reason: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("{digest} is {reason}"))
}

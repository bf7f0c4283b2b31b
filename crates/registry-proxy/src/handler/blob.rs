//! Answers requests for blobs, whole or in part.

use super::response::{self, Answer, Failure};
use super::service::Handler;
use crate::range::{self, Part};
use crate::serve::Files;
use crate::source::{Repository, SourceBlob, SourceError};
use axum::body::Body;
use content_store::Digest;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

impl Handler {
    pub(super) async fn blob(&self, repository: &Repository, digest: &Digest, head: &Parts) -> Answer {
        let is_before_push = self.is_before_push(repository, head);
        if is_before_push {
            self.keep(digest).await;
        }
        let mut misses = self.misses(head);
        // What is about to be pushed is nothing that other registries should hear of, and nothing that has to wait for them.
        for source in self.sources.iter().filter(|source| !(is_before_push && source.is_upstream())) {
            let Some(blob) = misses.of(source.blob(repository, digest).await).flatten() else { continue };
            if let Some(answer) = misses.of(self.send(blob, digest, head).await) {
                return answer;
            }
        }
        Err(misses.failure("BLOB_UNKNOWN", &digest.to_string(), false))
    }

    /// Answers with the blob; an error when its source cannot give its bytes after all.
    async fn send(&self, blob: Box<dyn SourceBlob>, digest: &Digest, head: &Parts) -> Result<Answer, SourceError> {
        let (etag, size) = (format!("\"{digest}\""), blob.size());
        if range::is_known(&head.headers, &etag) {
            let response = response::described(StatusCode::NOT_MODIFIED, digest, &etag);
            return Ok(response::finish(response, Body::empty()));
        }
        let part = range::part(&head.headers, &etag, size);
        let (status, start, end) = match part {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Range { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
            Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        let mut response = response::described(status, digest, &etag)
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
        if head.method == Method::HEAD || part == Part::Unsatisfiable {
            return Ok(response::finish(response, Body::empty()));
        }
        let place = match self.transfers.clone().acquire_owned().await {
            Ok(place) => place,
            Err(error) => return Ok(Err(Failure::caused_by(&error))),
        };
        let file = head.extensions.get::<Files>().and_then(|files| Some((files, blob.verified_file(start..end)?)));
        let body = match file {
            Some((files, part)) => held(files.body(part), place),
            None => held(Body::from_stream(blob.read(start..end).await?), place),
        };
        Ok(response::finish(response, body))
    }
}

/// A body that keeps its place among the transfers until it is dropped.
fn held<P: Send + Unpin + 'static>(body: Body, place: P) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _ = &place;
        frame
    }))
}

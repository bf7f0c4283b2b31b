//! Answers requests for manifests and indexes.

use super::response::{self, Answer};
use super::service::Handler;
use crate::document;
use crate::range;
use crate::source::{Manifest, ManifestReference, Repository};
use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, WARNING};
use http::request::Parts;
use http::{Method, StatusCode};

/// No upstream could be asked (RFC 7234, section 5.5.1).
const STALE: &str = "110 - \"Response is Stale\"";

impl Handler {
    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
        head: &Parts,
    ) -> Answer {
        let mut misses = self.misses(head);
        for source in &self.sources {
            let Some(manifest) = misses.of(source.manifest(repository, reference).await).flatten() else { continue };
            if let Some(media_type) = document::media_type(&manifest.bytes, manifest.media_type.as_deref()) {
                return respond(manifest, media_type, head);
            }
        }
        // A push goes on without the upstreams.
        let is_push = self.is_before_push(repository, head);
        Err(misses.failure("MANIFEST_UNKNOWN", &format!("{}{reference}", repository.path), is_push))
    }
}

fn respond(manifest: Manifest, media_type: &str, head: &Parts) -> Answer {
    let digest = &manifest.digest;
    let etag = format!("\"{digest}\"");
    if range::is_known(&head.headers, &etag) {
        return response::finish(response::described(StatusCode::NOT_MODIFIED, digest, &etag), Body::empty());
    }
    let response = response::described(StatusCode::OK, digest, &etag);
    let response = response.header(CONTENT_TYPE, media_type).header(CONTENT_LENGTH, manifest.bytes.len());
    let response = if manifest.is_stale { response.header(WARNING, STALE) } else { response };
    response::finish(response, if head.method == Method::HEAD { Body::empty() } else { manifest.bytes.into() })
}

//! Takes manifests and indexes with their tags, and deletes them.

use super::response::{self, Answer, Failure};
use super::service::Handler;
use super::upload::BODY_TIMEOUT;
use crate::content::{Deleted, Pushed};
use crate::document;
use crate::route::Refusal;
use crate::source::{ManifestReference, Repository, SourceError};
use axum::body::Body;
use content_store::{DOCUMENT_LIMIT, Digest, References};
use futures_util::StreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;

impl Handler {
    /// Stores a manifest whose blobs are here, and points its tags at it.
    pub(super) async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
        tags: Vec<String>,
        head: &Parts,
        body: Body,
    ) -> Answer {
        let content = self.pusher(repository)?;
        let Ok(_turn) = self.documents.acquire().await else { return Err(Failure::Internal("it ends".to_owned())) };
        let late =
            |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "MANIFEST_INVALID", "it did not come within half a minute");
        let bytes = tokio::time::timeout(BODY_TIMEOUT, document(body)).await.map_err(late)??;
        let pushed = understand(reference, tags, head, bytes)?;
        let _guard = content.guard().await?;
        for digest in content.missing(pushed.references.required.clone()).await? {
            let mut misses = self.misses(head);
            let mut is_here = false;
            for source in &self.sources {
                is_here = is_here || misses.of(source.blob(repository, &digest).await).flatten().is_some();
            }
            if !is_here {
                let message = format!("the manifest needs {digest}, which is not here: push it first");
                return Err(Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message).into());
            }
        }
        let (digest, subject, tags) = (pushed.digest, pushed.references.subject, pushed.tags.join(", "));
        let by_digest = pushed.is_pinned;
        content.put_manifest(repository, pushed).await?;
        let mut response = response::created(&digest, &format!("/v2/{}/manifests/{digest}", repository.path));
        if let Some(subject) = subject {
            response = response.header("oci-subject", subject.to_string());
        }
        if by_digest && !tags.is_empty() {
            response = response.header("oci-tag", tags);
        }
        response::finish(response, Body::empty())
    }

    /// Deletes a tag, or a manifest with its tags.
    pub(super) async fn delete_manifest(&self, repository: &Repository, reference: &ManifestReference) -> Answer {
        let done = self.deleter(repository)?.delete_manifest(repository, reference).await;
        let object = format!("{}{reference}", repository.path);
        let unknown = Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("{object} is not here"));
        deleted(done, unknown, &object)
    }
}

/// The whole document of a request.
async fn document(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut pieces = body.into_data_stream();
    let mut document = Vec::new();
    let wrong = |status, message: &str| Refusal::new(status, "MANIFEST_INVALID", message);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| wrong(StatusCode::BAD_REQUEST, "the request broke off"))?;
        document.extend_from_slice(&piece);
        if document.len() as u64 > DOCUMENT_LIMIT {
            let message = format!("a manifest of more than {DOCUMENT_LIMIT} bytes is not taken");
            return Err(wrong(StatusCode::PAYLOAD_TOO_LARGE, &message));
        }
    }
    Ok(document)
}

/// The answer to a deletion.
pub(super) fn deleted(done: Result<Deleted, SourceError>, unknown: Refusal, object: &str) -> Answer {
    match done {
        Ok(Deleted::Done) => response::finish(response::response(StatusCode::ACCEPTED), Body::empty()),
        Ok(Deleted::NotHere) => Err(unknown.into()),
        Ok(Deleted::InUse) => {
            let message = format!("{object} is part of an image that has a name here; delete that first");
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).into())
        }
        Err(SourceError::Failed(error)) if matches!(error.downcast_ref(), Some(content_store::Error::InUse { .. })) => {
            let message = format!("{object} cannot be deleted while others write; try again later");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).into())
        }
        Err(error) => Err(Failure::caused_by(&error)),
    }
}

fn understand(
    reference: &ManifestReference,
    mut tags: Vec<String>,
    head: &Parts,
    bytes: Vec<u8>,
) -> Result<Pushed, Refusal> {
    let wrong = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message);
    let declared = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = declared.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let media_type = document::media_type(&bytes, declared)
        .ok_or_else(|| wrong("this is neither an image manifest nor an index, of OCI or of docker's schema 2"))?;
    if declared.is_some_and(|declared| declared != media_type) {
        return Err(wrong("Content-Type is not what the document is"));
    }
    let references = References::of(&bytes).ok_or_else(|| wrong("a descriptor has no digest of sha256 or sha512"))?;
    let digest = match reference {
        ManifestReference::Digest(digest) if !digest.matches(&bytes) => {
            let message = "the manifest has another digest than the path says";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
        }
        ManifestReference::Digest(digest) => *digest,
        ManifestReference::Tag(tag) => {
            tags.push(tag.clone());
            Digest::of(&bytes)
        }
    };
    let is_pinned = matches!(reference, ManifestReference::Digest(_));
    Ok(Pushed { bytes, digest, media_type, references, tags, is_pinned })
}

//! Takes blobs: in one request, in pieces, continued after an interruption, or mounted from what is here.

use super::response::{self, Answer, Failure};
use super::service::Handler;
use crate::content::{blocking, failed};
use crate::route::Refusal;
use crate::source::Repository;
use axum::body::Body;
use bytes::Bytes;
use content_store::{Digest, Error as ContentError, Upload};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::request::Parts;
use http::{Method, StatusCode};
use std::io::Write;
use std::time::Duration;

/// Small pieces of a request are gathered up to this many bytes.
const CHUNK: usize = 128 << 10;
/// A client that sends nothing for this long has gone; it may continue with another request.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl Handler {
    /// Mounts the blob, takes all of it, or starts an upload.
    pub(super) async fn start_upload(
        &self,
        repository: &Repository,
        digest: Option<Digest>,
        mount: Option<Digest>,
        body: Body,
    ) -> Answer {
        let content = self.pusher(repository)?;
        if let Some(mount) = mount {
            let _guard = content.guard().await?;
            if content.adopt(mount).await? {
                return created(repository, &mount);
            }
        }
        let (id, mut upload) = content.start_upload().await?;
        if let Some(digest) = digest {
            upload = match self.append(upload, body).await {
                Ok(upload) => upload,
                Err(failure) => {
                    // Nobody knows its identifier, so nobody continues it.
                    if let Some(upload) = content.upload(id).await? {
                        blocking(move || upload.cancel()).await?;
                    }
                    return Err(failure);
                }
            };
            return finish(repository, upload, digest).await;
        }
        status(StatusCode::ACCEPTED, repository, &id, &upload)
    }

    /// Answers how far an upload is, continues, ends or cancels it.
    pub(super) async fn upload(
        &self,
        repository: &Repository,
        id: &str,
        digest: Option<Digest>,
        head: &Parts,
        body: Body,
    ) -> Answer {
        let content = self.pusher(repository)?;
        let unknown =
            || Refusal::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "this upload is not here; start it again");
        let upload = content.upload(id.to_owned()).await?.ok_or_else(unknown)?;
        match head.method {
            Method::DELETE => {
                blocking(move || upload.cancel()).await?;
                return response::finish(response::response(StatusCode::NO_CONTENT), Body::empty());
            }
            Method::PATCH | Method::PUT => {}
            _ => return status(StatusCode::NO_CONTENT, repository, id, &upload),
        }
        if !continues(head, upload.offset())? {
            return status(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, &upload);
        }
        if head.method == Method::PUT && digest.is_none() {
            let message = "the parameter digest is missing";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message).into());
        }
        let upload = self.append(upload, body).await?;
        match digest {
            Some(digest) if head.method == Method::PUT => finish(repository, upload, digest).await,
            _ => status(StatusCode::ACCEPTED, repository, id, &upload),
        }
    }

    /// Writes what comes. What came before an interruption is kept.
    async fn append(&self, mut upload: Upload, body: Body) -> Result<Upload, Failure> {
        let mut pieces = body.into_data_stream();
        let mut gathered: Vec<u8> = Vec::new();
        let broken = |message| Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message);
        loop {
            let piece = tokio::time::timeout(BODY_TIMEOUT, pieces.next()).await;
            let (piece, end) = match piece {
                Ok(Some(Ok(piece))) => (piece, None),
                Ok(None) => (Bytes::new(), Some(None)),
                Ok(Some(Err(_))) => (Bytes::new(), Some(Some(broken("the request broke off")))),
                Err(_) => (Bytes::new(), Some(Some(broken("nothing came for half a minute")))),
            };
            self.metrics.received(piece.len());
            gathered.extend_from_slice(&piece);
            if gathered.len() >= CHUNK || (end.is_some() && !gathered.is_empty()) {
                upload = write(upload, std::mem::take(&mut gathered)).await?;
            }
            match end {
                None => {}
                Some(None) => return Ok(upload),
                Some(Some(refusal)) => return Err(refusal.into()),
            }
        }
    }

    /// Deletes a blob that no image needs.
    pub(super) async fn delete_blob(&self, repository: &Repository, digest: Digest) -> Answer {
        let deleted = self.deleter(repository)?.delete_blob(digest).await;
        let unknown = Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("{digest} is not here"));
        super::put::deleted(deleted, unknown, &digest.to_string())
    }
}

async fn write(mut upload: Upload, bytes: Vec<u8>) -> Result<Upload, ContentError> {
    blocking(move || match upload.write_all(&bytes).map_err(failed) {
        Ok(()) => Ok(upload),
        // What cannot be finished must not keep the disk full.
        Err(error @ ContentError::NoSpace { .. }) => upload.cancel().and(Err(error)),
        Err(error) => Err(error),
    })
    .await
}

async fn finish(repository: &Repository, upload: Upload, digest: Digest) -> Answer {
    blocking(move || upload.commit(&digest)).await?;
    created(repository, &digest)
}

fn created(repository: &Repository, digest: &Digest) -> Answer {
    let location = format!("/v2/{}/blobs/{digest}", repository.path);
    response::finish(response::created(digest, &location), Body::empty())
}

fn status(status: StatusCode, repository: &Repository, id: &str, upload: &Upload) -> Answer {
    let response = response::response(status)
        .header(LOCATION, format!("/v2/{}/blobs/uploads/{id}", repository.path))
        .header(RANGE, format!("0-{}", upload.offset().saturating_sub(1)))
        .header("docker-upload-uuid", id);
    response::finish(response, Body::empty())
}

/// Whether the request continues at `offset`; one without a range does.
fn continues(head: &Parts, offset: u64) -> Result<bool, Refusal> {
    let wrong = |message| Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message);
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(CONTENT_RANGE) else { return Ok(true) };
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let ends =
        range.split_once('-').and_then(|(start, end)| Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?)));
    let Some((start, end)) = ends.filter(|(start, end)| start <= end) else {
        return Err(wrong("Content-Range is not `start-end`"));
    };
    if text(CONTENT_LENGTH).is_some_and(|length| length.parse() != Ok(u128::from(end) - u128::from(start) + 1)) {
        return Err(wrong("Content-Range and Content-Length differ"));
    }
    Ok(start == offset)
}

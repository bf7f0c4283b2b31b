//! The HTTPS client as a [`Registry`]. What is read may come from mirrors; what is written never goes there.

use super::{Call, Endpoint, Https, Shared};
use crate::error::{Error, Result};
use crate::resume;
use crate::wire::{self, Object};
use crate::{BlobStream, Digest, Manifest, Mount, Reference, Registry, Upload, UploadBody, UploadSession};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

#[async_trait]
impl Registry for Https {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest> {
        let object = Object::Manifest(image);
        let accept = wire::accept(accept);
        self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.manifest(endpoint, image, &accept))).await
    }

    async fn manifest_digest(&self, image: &Reference) -> Result<Option<Digest>> {
        let object = Object::Manifest(image);
        let found = self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.manifest_digest(endpoint, image)));
        match found.await {
            Err(error) if error.is_not_found() => Ok(None),
            done => done.map(Some),
        }
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream> {
        let (image, digest) = (image.clone(), *digest);
        let first = self.clone().open_blob(image.clone(), digest, offset).await?;
        let (object, host) = (Object::Blob(&image, &digest).title(), image.registry().to_owned());
        let broken = move || Error::Interrupted {
            object: object.clone(),
            host: host.clone(),
            source: "it ended at the wrong place".into(),
        };
        let again = self.clone();
        let open: resume::Open =
            Box::new(move |offset| Box::pin(again.clone().open_blob(image.clone(), digest, offset)));
        Ok(resume::resuming(first, offset, open, broken))
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>> {
        let object = Object::Blob(image, digest);
        let found = self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.size(endpoint, object))).await;
        match found {
            Err(error) if error.is_not_found() => Ok(None),
            done => done,
        }
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>> {
        let object = Object::Tags(image);
        self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.tags(endpoint, object))).await
    }

    async fn put_manifest(&self, image: &Reference, media_type: &str, bytes: Bytes) -> Result<()> {
        let (endpoint, object) = (self.shared.own(image), Object::Manifest(image));
        let call = Call { method: Method::PUT, body: Some(bytes), ..Call::get(&endpoint, &object) };
        self.shared.send(&endpoint, &call.header(CONTENT_TYPE, media_type)).await.map(drop)
    }

    async fn start_upload(&self, image: &Reference, mount: Option<Mount<'_>>) -> Result<Upload> {
        let (endpoint, object) = (self.shared.own(image), Object::Upload(image));
        let mut call = Call { method: Method::POST, body: Some(Bytes::new()), ..Call::get(&endpoint, &object) };
        if let Some(Mount { digest, from }) = mount {
            call.mounts_from = Some(from.to_owned());
            let from = utf8_percent_encode(from, NON_ALPHANUMERIC);
            call.path.push_str(&format!("?mount={digest}&from={from}"));
        }
        let response = self.shared.send(&endpoint, &call).await?;
        if mount.is_some() && response.status() == StatusCode::CREATED {
            return Ok(Upload::Mounted);
        }
        let session = UploadSession::new(String::new(), 0);
        Ok(Upload::Session(self.shared.next(&endpoint, &object, &session, response.headers(), 0)?))
    }

    async fn upload_status(&self, image: &Reference, session: &UploadSession) -> Result<UploadSession> {
        let (endpoint, object) = (self.shared.own(image), Object::Upload(image));
        let call = Call { path: session.location.clone(), ..Call::get(&endpoint, &object) };
        let response = self.shared.send(&endpoint, &call).await?;
        let offset = response.headers().get(RANGE).and_then(|value| value.to_str().ok()).map_or(Some(0), received);
        let offset = offset.ok_or_else(|| wire::unexpected(&object, &endpoint.host, "its range is not one"))?;
        self.shared.next(&endpoint, &object, session, response.headers(), offset)
    }

    async fn upload(&self, image: &Reference, session: &UploadSession, body: UploadBody) -> Result<UploadSession> {
        let (endpoint, object) = (self.shared.own(image), Object::Upload(image));
        let end = session.offset + body.size;
        let call = Call { method: Method::PATCH, path: session.location.clone(), ..Call::get(&endpoint, &object) };
        let range = format!("{}-{}", session.offset, end.saturating_sub(1));
        let response = self.shared.send_body(&endpoint, call.header(CONTENT_RANGE, &range), body).await?;
        self.shared.next(&endpoint, &object, session, response.headers(), end)
    }

    async fn finish_upload(
        &self,
        image: &Reference,
        session: &UploadSession,
        digest: &Digest,
        rest: UploadBody,
    ) -> Result<()> {
        let (endpoint, object) = (self.shared.own(image), Object::Upload(image));
        let mark = if session.location.contains('?') { '&' } else { '?' };
        let path = format!("{}{mark}digest={digest}", session.location);
        let call = Call { method: Method::PUT, path, ..Call::get(&endpoint, &object) };
        self.shared.send_body(&endpoint, call, rest).await.map(drop)
    }
}

impl Https {
    async fn open_blob(self, image: Reference, digest: Digest, offset: u64) -> Result<BlobStream> {
        let object = Object::Blob(&image, &digest);
        self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.blob(endpoint, object, offset))).await
    }
}

impl Shared {
    /// Sends a body that can be read only once. After a refused token the next call gets a new one.
    async fn send_body(&self, endpoint: &Endpoint, call: Call<'_>, body: UploadBody) -> Result<reqwest::Response> {
        let call = call.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, &body.size.to_string());
        let bytes = reqwest::Body::wrap_stream(body.stream);
        let response = self.send_once(endpoint, &call, Some(bytes)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(endpoint, call.object, response).await.0)
    }

    /// The session as the answer describes it; without a new location the old one stays.
    fn next(
        &self,
        endpoint: &Endpoint,
        object: &Object<'_>,
        session: &UploadSession,
        headers: &HeaderMap,
        offset: u64,
    ) -> Result<UploadSession> {
        let told = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = told.unwrap_or(&session.location);
        if location.starts_with('/') || location.starts_with("https://") || location.starts_with("http://") {
            return Ok(UploadSession::new(location, offset));
        }
        Err(wire::unexpected(object, &endpoint.host, "it names no place for the bytes"))
    }

    fn own(&self, image: &Reference) -> Endpoint {
        self.endpoints.of(image.registry()).1
    }
}

/// The number of bytes from `0-9`. Registries write `0-0` for none and for one; none is safe, a repeated byte is found by its digest.
fn received(range: &str) -> Option<u64> {
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?.1.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::received;

    #[test]
    fn ranges_of_uploads_count_bytes() {
        for (text, expected) in [("0-9", Some(10)), ("bytes=0-99", Some(100)), ("0-0", Some(0)), ("x", None)] {
            assert_eq!(received(text), expected, "{text}");
        }
    }
}

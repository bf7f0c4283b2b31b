//! The write half of the HTTPS client: manifests and upload sessions. Mirrors are never written to.

use super::{Call, Endpoint, Shared};
use crate::error::Result;
use crate::wire::{self, Object};
use crate::{Digest, Mount, Reference, Upload, UploadBody, UploadSession};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

impl Shared {
    pub(super) async fn put_manifest(&self, image: &Reference, media_type: &str, bytes: Bytes) -> Result<()> {
        let (endpoint, object) = (self.own(image), Object::Manifest(image));
        let call = Call { method: Method::PUT, body: Some(bytes), ..Call::get(&endpoint, &object) };
        self.send(&endpoint, &call.header(CONTENT_TYPE, media_type)).await.map(drop)
    }

    pub(super) async fn start_upload(&self, image: &Reference, mount: Option<Mount<'_>>) -> Result<Upload> {
        let (endpoint, object) = (self.own(image), Object::Upload(image));
        let mut call = Call { method: Method::POST, body: Some(Bytes::new()), ..Call::get(&endpoint, &object) };
        if let Some(Mount { digest, from }) = mount {
            call.mounts_from = Some(from.to_owned());
            let from = utf8_percent_encode(from, NON_ALPHANUMERIC);
            call.path.push_str(&format!("?mount={digest}&from={from}"));
        }
        let response = self.send(&endpoint, &call).await?;
        if mount.is_some() && response.status() == StatusCode::CREATED {
            return Ok(Upload::Mounted);
        }
        let session = UploadSession::new(String::new(), 0);
        Ok(Upload::Session(self.next(&endpoint, &object, &session, response.headers(), 0)?))
    }

    pub(super) async fn upload_status(&self, image: &Reference, session: &UploadSession) -> Result<UploadSession> {
        let (endpoint, object) = (self.own(image), Object::Upload(image));
        let call = Call { path: session.location.clone(), ..Call::get(&endpoint, &object) };
        let response = self.send(&endpoint, &call).await?;
        let offset = response.headers().get(RANGE).and_then(|value| value.to_str().ok()).map_or(Some(0), received);
        let offset = offset.ok_or_else(|| wire::unexpected(&object, &endpoint.host, "its range is not one"))?;
        self.next(&endpoint, &object, session, response.headers(), offset)
    }

    pub(super) async fn upload(
        &self,
        image: &Reference,
        session: &UploadSession,
        body: UploadBody,
    ) -> Result<UploadSession> {
        let (endpoint, object) = (self.own(image), Object::Upload(image));
        let end = session.offset + body.size;
        let call = Call { method: Method::PATCH, path: session.location.clone(), ..Call::get(&endpoint, &object) };
        let range = format!("{}-{}", session.offset, end.saturating_sub(1));
        let response = self.send_body(&endpoint, call.header(CONTENT_RANGE, &range), body).await?;
        self.next(&endpoint, &object, session, response.headers(), end)
    }

    pub(super) async fn finish_upload(
        &self,
        image: &Reference,
        session: &UploadSession,
        digest: &Digest,
        rest: UploadBody,
    ) -> Result<()> {
        let (endpoint, object) = (self.own(image), Object::Upload(image));
        let mark = if session.location.contains('?') { '&' } else { '?' };
        let path = format!("{}{mark}digest={digest}", session.location);
        let call = Call { method: Method::PUT, path, ..Call::get(&endpoint, &object) };
        self.send_body(&endpoint, call, rest).await.map(drop)
    }

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

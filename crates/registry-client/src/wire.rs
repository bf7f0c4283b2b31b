//! Requests and answers of the OCI distribution API, independent of the transport.

use crate::error::{Error, Result, shorten};
use crate::{BlobStream, Manifest};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, future, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK};
use http::{HeaderMap, StatusCode};
use oci_reference::{Digest, Reference};
use serde_json::Value;

/// The largest manifest or index that is read, in bytes.
pub const MANIFEST_LIMIT: usize = 8 << 20;

/// Every kind of manifest and index, for the `Accept` header.
pub const ACCEPT: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The largest error answer that is looked at, in bytes.
pub(crate) const REFUSAL_LIMIT: usize = 64 << 10;
/// How many tags are asked for at once.
const TAG_PAGE: usize = 1000;
/// The most tags of one repository that are read.
const TAG_LIMIT: usize = 1_000_000;

/// What is asked for, for paths and for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Object<'a> {
    Manifest(&'a Reference),
    Blob(&'a Reference, &'a Digest),
    Tags(&'a Reference),
    Upload(&'a Reference),
}

impl Object<'_> {
    pub(crate) fn image(&self) -> &Reference {
        match self {
            Self::Manifest(image) | Self::Blob(image, _) | Self::Tags(image) | Self::Upload(image) => image,
        }
    }

    /// Path and query of the request; `namespace` tells a mirror which registry is meant.
    pub(crate) fn path(&self, namespace: bool) -> String {
        let (rest, query) = match self {
            Self::Manifest(image) => (format!("manifests/{}", image.tag_or_digest()), None),
            Self::Blob(_, digest) => (format!("blobs/{digest}"), None),
            Self::Tags(_) => ("tags/list".to_owned(), Some(format!("n={TAG_PAGE}"))),
            Self::Upload(_) => ("blobs/uploads/".to_owned(), None),
        };
        let namespace = namespace.then(|| format!("ns={}", self.image().registry()));
        let query: Vec<String> = [namespace, query].into_iter().flatten().collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/v2/{}/{rest}{mark}{}", self.image().repository(), query.join("&"))
    }

    /// How messages call it.
    pub(crate) fn title(&self) -> String {
        let repository = || format!("{}/{}", self.image().registry(), self.image().repository());
        match self {
            Self::Manifest(image) => format!("image {image}"),
            Self::Blob(_, digest) => format!("blob {digest} of {}", repository()),
            Self::Tags(_) => format!("the tags of {}", repository()),
            Self::Upload(_) => format!("an upload to {}", repository()),
        }
    }
}

/// Adds a page of tags; the path of the next page, if there is one.
pub(crate) fn add_tags(tags: &mut Vec<String>, host: &str, headers: &HeaderMap, page: &[u8]) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Page {
        tags: Option<Vec<String>>,
    }
    let fail = |message: String| Error::Answer {
        object: "a list of tags".to_owned(),
        host: host.to_owned(),
        status: StatusCode::OK,
        message,
    };
    let page: Page = serde_json::from_slice(page).map_err(|error| fail(error.to_string()))?;
    let before = tags.len();
    tags.extend(page.tags.unwrap_or_default());
    if tags.len() > TAG_LIMIT {
        return Err(fail(format!("more than {TAG_LIMIT} tags")));
    }
    // A page without tags is the last one: a list that never ends must not be followed for ever.
    if tags.len() == before {
        return Ok(None);
    }
    let link = headers.get(LINK).and_then(|value| value.to_str().ok());
    let next = link.and_then(|text| text.split_once('<')?.1.split_once('>')).filter(|(_, rest)| rest.contains("next"));
    // Only the path and query count: the next page is on the same host.
    let path = next.and_then(|(target, _)| match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|slash| rest[slash..].to_owned()),
        None => target.starts_with('/').then(|| target.to_owned()),
    });
    Ok(path)
}

/// The value of the `Accept` header.
pub(crate) fn accept(wanted: &[&str]) -> String {
    if wanted.is_empty() { ACCEPT } else { wanted }.join(", ")
}

/// An answer that succeeds and yet is none.
pub(crate) fn unexpected(object: &Object<'_>, host: &str, message: &str) -> Error {
    let (object, host, message) = (object.title(), host.to_owned(), message.to_owned());
    Error::Answer { object, host, status: StatusCode::OK, message }
}

/// Turns an answer other than success into an error that says what it means.
pub(crate) fn refusal(object: &Object<'_>, host: &str, status: StatusCode, body: &[u8]) -> Error {
    let (object, host) = (object.title(), host.to_owned());
    let message = message(body);
    match status {
        StatusCode::NOT_FOUND => Error::NotFound { object, host },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let reason = if message.is_empty() { status.to_string() } else { message };
            Error::Unauthorised { object, host, reason }
        }
        StatusCode::TOO_MANY_REQUESTS => Error::TooManyRequests { object, host, retry_after: None },
        _ => Error::Answer { object, host, status, message },
    }
}

/// The messages of a registry's JSON error form, else the start of the text.
fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let errors = parsed.as_ref().and_then(|value| value.get("errors")).and_then(Value::as_array);
    let text = |error: &Value| {
        let field = |name| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        field("message").or(field("code")).map(str::to_owned)
    };
    let joined = match errors {
        Some(errors) => errors.iter().filter_map(text).collect::<Vec<_>>().join("; "),
        None => String::from_utf8_lossy(body).trim().to_owned(),
    };
    shorten(&joined, 300)
}

/// Verifies a manifest against the digest that was asked for or promised, and finds its media type.
pub(crate) fn manifest(image: &Reference, host: &str, headers: &HeaderMap, bytes: Bytes) -> Result<Manifest> {
    let promised = promised_digest(headers);
    for expected in [image.digest(), promised.as_ref()].into_iter().flatten() {
        if !expected.matches(&bytes) {
            return Err(Error::WrongContent {
                object: Object::Manifest(image).title(),
                host: host.to_owned(),
                expected: *expected,
                found: Box::new(expected.algorithm().digest(&bytes)),
            });
        }
    }
    let digest = image.digest().copied().unwrap_or_else(|| Digest::of(&bytes));
    let told = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(Manifest { media_type: media_type(&bytes, told), digest, bytes })
}

/// What the document says of itself; its digest covers that, unlike the header.
fn media_type(bytes: &[u8], told: &str) -> String {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(own) = document.get("mediaType").and_then(Value::as_str) {
        return shorten(own, 200);
    }
    let told = told.split(';').next().unwrap_or_default().trim();
    if told.starts_with("application/vnd.") {
        return shorten(told, 200);
    }
    let kind = if document.get("manifests").is_some() { ACCEPT[0] } else { ACCEPT[1] };
    kind.to_owned()
}

/// Collects a body of at most `limit` bytes; `None` when it is longer.
pub(crate) async fn collect<E>(body: impl Stream<Item = Result<Bytes, E>>, limit: usize) -> Result<Option<Bytes>, E> {
    let mut body = std::pin::pin!(body);
    let mut all = BytesMut::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        if all.len() + bytes.len() > limit {
            return Ok(None);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(Some(all.freeze()))
}

/// The digest that the answer to a request for a manifest tells.
pub(crate) fn promised_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// The size a `HEAD` answer tells.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the answer to a request for the blob from `offset` into a stream that starts there. `None` when the answer is a refusal.
pub(crate) fn blob<S>(status: StatusCode, headers: &HeaderMap, offset: u64, body: S) -> Option<BlobStream>
where
    S: Stream<Item = Result<Bytes>> + Send + 'static,
{
    match status {
        StatusCode::OK => Some(BlobStream { size: length(headers), stream: Box::pin(skip(body, offset)) }),
        StatusCode::PARTIAL_CONTENT => {
            let (start, size) = content_range(headers).unwrap_or((offset, None));
            let size = size.or_else(|| length(headers).map(|rest| start.saturating_add(rest)));
            let ahead = offset.checked_sub(start)?;
            Some(BlobStream { size, stream: Box::pin(skip(body, ahead)) })
        }
        // Nothing is left from there on.
        StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
            let size = content_range(headers).and_then(|(_, size)| size);
            Some(BlobStream { size, stream: Box::pin(stream::empty()) })
        }
        _ => None,
    }
}

/// Start and whole size from `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, size) = text.split_once('/')?;
    let start = range.split_once('-').map_or(Some(0), |(start, _)| start.parse().ok())?;
    Some((start, size.parse().ok()))
}

/// Leaves out the first `count` bytes: for servers that do not know ranges.
fn skip(
    body: impl Stream<Item = Result<Bytes>> + Send + 'static,
    count: u64,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut left = count;
    body.filter_map(move |item| {
        future::ready(match item {
            Ok(mut bytes) => {
                let cut = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                left -= cut as u64;
                let rest = bytes.split_off(cut);
                (!rest.is_empty()).then_some(Ok(rest))
            }
            Err(error) => Some(Err(error)),
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name() -> Reference {
        "nginx:1.19".parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn paths_name_what_is_asked() {
        assert_eq!(Object::Manifest(&name()).path(false), "/v2/library/nginx/manifests/1.19");
        let digest = Digest::of(b"");
        let blob = format!("/v2/library/nginx/blobs/{digest}?ns=docker.io");
        assert_eq!(Object::Blob(&name(), &digest).path(true), blob);
        assert_eq!(Object::Tags(&name()).path(false), "/v2/library/nginx/tags/list?n=1000");
    }

    #[test]
    fn a_refusal_says_what_the_registry_said() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\nway"},{"code":"X"}]}"#;
        let error = refusal(&Object::Manifest(&name()), "host", StatusCode::FORBIDDEN, body);
        assert_eq!(error.to_string(), "host refuses image docker.io/library/nginx:1.19: no way; X");
        assert!(refusal(&Object::Manifest(&name()), "host", StatusCode::NOT_FOUND, b"").is_not_found());
        let odd = refusal(&Object::Manifest(&name()), "host", StatusCode::BAD_GATEWAY, b"<html>\n");
        assert_eq!(odd.to_string(), "host answered 502 Bad Gateway for image docker.io/library/nginx:1.19: <html>");
    }

    #[test]
    fn a_manifest_must_have_the_promised_digest() {
        let bytes = Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#);
        let digest = Digest::of(&bytes);
        let promise = |digest: &Digest| headers(&[("docker-content-digest", &digest.to_string())]);
        let good = manifest(&name(), "h", &promise(&digest), bytes.clone()).unwrap();
        assert_eq!((good.digest, good.media_type.as_str()), (digest, ACCEPT[0]));
        for asked in [digest, oci_reference::Algorithm::Sha512.digest(&bytes)] {
            let found = manifest(&name().with_digest(asked), "h", &HeaderMap::new(), bytes.clone()).unwrap();
            assert_eq!(found.digest, asked);
        }
        let other = Digest::of(b"other");
        for (image, promised) in [(name(), other), (name().with_digest(other), digest)] {
            let error = manifest(&image, "h", &promise(&promised), bytes.clone()).unwrap_err();
            assert!(matches!(error, Error::WrongContent { .. }), "{error}");
        }
    }

    #[test]
    fn the_document_is_trusted_above_the_header() {
        let docker = br#"{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#;
        assert_eq!(media_type(docker, ACCEPT[1]), ACCEPT[3]);
        assert_eq!(media_type(b"{}", "application/vnd.oci.image.index.v1+json; charset=utf-8"), ACCEPT[0]);
        assert_eq!(media_type(b"{}", "text/plain"), ACCEPT[1]);
        assert_eq!(media_type(b"not json", ""), ACCEPT[1]);
    }

    #[tokio::test]
    async fn a_blob_starts_at_the_offset_whatever_the_server_does() {
        let whole = || stream::iter([Ok(Bytes::from_static(b"hel")), Ok(Bytes::from_static(b"lo"))]);
        let read = |blob: BlobStream| async move { (blob.size, collect(blob.stream, 100).await.unwrap().unwrap()) };
        let five = headers(&[("content-length", "5")]);
        let cases = [
            (StatusCode::OK, five.clone(), 0, Some(5), "hello"),
            (StatusCode::OK, five.clone(), 4, Some(5), "o"),
            (StatusCode::OK, five.clone(), 9, Some(5), ""),
            (StatusCode::PARTIAL_CONTENT, headers(&[("content-range", "bytes 2-6/7")]), 2, Some(7), "hello"),
            (
                StatusCode::PARTIAL_CONTENT,
                headers(&[("content-range", "bytes 2-6/*"), ("content-length", "5")]),
                2,
                Some(7),
                "hello",
            ),
            (StatusCode::PARTIAL_CONTENT, headers(&[("content-range", "bytes 0-4/5")]), 2, Some(5), "llo"),
            (StatusCode::RANGE_NOT_SATISFIABLE, headers(&[("content-range", "bytes */5")]), 5, Some(5), ""),
            (StatusCode::RANGE_NOT_SATISFIABLE, HeaderMap::new(), 5, None, ""),
        ];
        for (status, headers, offset, size, expected) in cases {
            let body = stream::iter(if status == StatusCode::RANGE_NOT_SATISFIABLE {
                vec![Ok(Bytes::from_static(b"{}"))]
            } else {
                whole().collect().await
            });
            let (told, bytes) = read(blob(status, &headers, offset, body).unwrap()).await;
            assert_eq!((told, &bytes[..]), (size, expected.as_bytes()), "{status} {offset}");
        }
        assert!(
            blob(StatusCode::PARTIAL_CONTENT, &headers(&[("content-range", "bytes 3-4/5")]), 2, whole()).is_none(),
            "bytes are missing"
        );
        assert!(blob(StatusCode::NOT_FOUND, &HeaderMap::new(), 2, whole()).is_none());
    }

    #[test]
    fn pages_of_tags_are_followed_on_the_same_host_until_one_is_empty() {
        let mut tags = Vec::new();
        let link = |text| headers(&[("link", text)]);
        let page = br#"{"name":"a","tags":["1","2"]}"#;
        let mut add = |headers: &HeaderMap, page: &[u8]| add_tags(&mut tags, "h", headers, page).unwrap();
        assert_eq!(
            add(&link("</v2/a/tags/list?n=2&last=2>; rel=\"next\""), page).unwrap(),
            "/v2/a/tags/list?n=2&last=2"
        );
        assert_eq!(
            add(&link("<http://other/v2/a/tags/list?last=2>; rel=\"next\""), page).unwrap(),
            "/v2/a/tags/list?last=2"
        );
        assert_eq!(add(&link("</v2/x>; rel=\"prev\""), page), None);
        assert_eq!(add(&link("</v2/x>; rel=\"next\""), br#"{"tags":null}"#), None, "an empty page is the last");
        assert!(add_tags(&mut tags, "h", &HeaderMap::new(), b"<html>").is_err());
        assert_eq!(tags.len(), 6);
    }

    #[tokio::test]
    async fn a_long_body_is_cut_off() {
        let endless = stream::repeat_with(|| Ok::<_, Error>(Bytes::from_static(&[0; 1000])));
        assert!(collect(endless, 5000).await.unwrap().is_none());
    }
}

//! Upload sessions, mounts and the bodies of uploads.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use oci_reference::Digest;
use serde::{Deserialize, Serialize};
use std::io;

/// What the registry did when an upload was started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upload {
    /// It took the blob from another repository; nothing is to be sent.
    Mounted,
    /// It waits for the bytes.
    Session(UploadSession),
}

/// An upload under way. Plain data, so that another process can continue it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UploadSession {
    /// Where the next bytes go, as the registry says: a URL or a path on its host. It may hold a secret of the session.
    pub location: String,
    /// How many bytes the registry has.
    pub offset: u64,
}

impl UploadSession {
    /// A session that was stored earlier; ask [`crate::Registry::upload_status`] before sending more.
    pub fn new(location: impl Into<String>, offset: u64) -> Self {
        Self { location: location.into(), offset }
    }
}

/// A blob that another repository of the same registry has.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Mount<'a> {
    /// The blob.
    pub digest: &'a Digest,
    /// The other repository, for example `library/nginx`.
    pub from: &'a str,
}

impl<'a> Mount<'a> {
    /// A blob of the repository `from`.
    #[must_use]
    pub fn new(digest: &'a Digest, from: &'a str) -> Self {
        Self { digest, from }
    }
}

/// Bytes on their way to a registry.
#[non_exhaustive]
pub struct UploadBody {
    /// How many bytes there are.
    pub size: u64,
    /// The bytes.
    pub stream: BoxStream<'static, io::Result<Bytes>>,
}

impl UploadBody {
    /// A stream of exactly `size` bytes.
    pub fn new(size: u64, stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self { size, stream }
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Bytes::new().into()
    }
}

impl From<Bytes> for UploadBody {
    fn from(bytes: Bytes) -> Self {
        let items = (!bytes.is_empty()).then_some(Ok(bytes.clone()));
        Self { size: bytes.len() as u64, stream: Box::pin(stream::iter(items)) }
    }
}

impl std::fmt::Debug for UploadBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UploadBody").field("size", &self.size).finish_non_exhaustive()
    }
}

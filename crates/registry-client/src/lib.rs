//! Talks to OCI registries: manifests and blobs, streamed, resumed, authenticated.
//!
//! # Steps
//!
//! 1. Make a [`Registry`]: [`Https`] for registries of the outside world, [`Http2Stream`] for one at the other end of a byte stream.
//! 2. Name what is wanted with an [`ImageName`].
//! 3. [`Registry::manifest`] gives the verified bytes of a manifest or index; parse a copy, keep the bytes.
//! 4. [`Registry::blob`] streams a blob from any offset. A part cannot be verified, so **the receiver hashes the whole**, as content stores do
//!    when they take a blob in.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use registry_client::{Https, ImageName, Options, Registry};
//!
//! # async fn example() -> registry_client::Result<()> {
//! let registry = Https::new(Options::default())?;
//! let image = ImageName::new("registry.example:5000", "library/nginx", "1.19");
//! let manifest = registry.manifest(&image, &[]).await?;
//! let mut blob = registry.blob(&image, "sha256:…", 0).await?;
//! while let Some(bytes) = blob.stream.next().await {
//!     let _bytes = bytes?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`Error`] tells apart what is not there, what is forbidden, an untrusted certificate, an unreachable host and an exceeded limit, and names host,
//! object and what to do next.

#[cfg(feature = "testing")]
pub mod contract;
mod error;
mod http2;
mod https;
#[cfg(feature = "testing")]
mod memory;
mod name;
mod resume;
mod wire;

pub use error::{Cause, Error, Result};
pub use http2::Http2Stream;
pub use https::{Https, Options};
#[cfg(feature = "testing")]
pub use memory::Memory;
pub use name::ImageName;
pub use wire::{ACCEPT, MANIFEST_LIMIT};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

/// Reads manifests and blobs of a remote registry.
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// The manifest or index that the name points at, byte for byte, verified against its digest and at most [`MANIFEST_LIMIT`] long.
    /// `accept` lists the media types wanted; empty means every kind of manifest and index.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn manifest(&self, image: &ImageName, accept: &[&str]) -> Result<Manifest>;

    /// The blob from byte `offset` on; at or past its end there is nothing. The bytes are not verified.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the stream may fail later with the same errors.
    async fn blob(&self, image: &ImageName, digest: &str, offset: u64) -> Result<BlobStream>;

    /// The size in bytes of the blob if the registry has it. `image` says in which repository; its reference does not matter.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn blob_exists(&self, image: &ImageName, digest: &str) -> Result<Option<u64>>;
}

/// A manifest or index as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type: what the document says of itself, else what the registry says.
    pub media_type: String,
    /// `sha256:` and the digest of `bytes`.
    pub digest: String,
    /// The bytes, unchanged.
    pub bytes: Bytes,
}

/// A blob on its way.
pub struct BlobStream {
    /// The size in bytes of the whole blob (not of what is left), if the registry told.
    pub size: Option<u64>,
    /// The bytes from the offset on.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BlobStream").field("size", &self.size).finish_non_exhaustive()
    }
}

//! Talks to OCI registries: manifests and blobs, streamed, resumed, authenticated.
//!
//! # Steps
//!
//! 1. Make a [`Registry`]: [`Https`] for registries of the outside world, [`Http2Stream`] for one at the other end of a byte stream.
//! 2. Name what is wanted with a [`Reference`].
//! 3. [`Registry::manifest`] gives the verified bytes of a manifest or index; parse a copy, keep the bytes.
//! 4. [`Registry::blob`] streams a blob from any offset. A part cannot be verified, so **the receiver hashes the whole**, as content stores do
//!    when they take a blob in.
//! 5. To write: [`Registry::start_upload`], [`Registry::upload`] in one or more chunks, [`Registry::finish_upload`], and when every blob is
//!    there [`Registry::put_manifest`]. An [`UploadSession`] is plain data: store it, and [`Registry::upload_status`] continues it later.
//! 6. A [`Login`] is checked with [`Https::check_login`] and kept with [`LoginFiles::store`]; [`Options::logins`] says where logins are found.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use registry_client::{Digest, Https, Options, Reference, Registry};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Https::new(Options::default())?;
//! let image: Reference = "registry.example:5000/library/nginx:1.19".parse()?;
//! let manifest = registry.manifest(&image, &[]).await?;
//! let mut blob = registry.blob(&image, &Digest::of(b"{}"), 0).await?;
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
mod login;
#[cfg(feature = "testing")]
mod memory;
mod resume;
mod upload;
mod wire;

pub use error::{Cause, Error, Result};
pub use http2::Http2Stream;
pub use https::{CheckedLogin, Https, Options};
pub use login::{Erased, Login, LoginFiles, LoginPlace, registry_host};
#[cfg(feature = "testing")]
pub use memory::Memory;
pub use oci_reference::{Digest, Reference};
pub use secret::Secret;
pub use upload::{Mount, Upload, UploadBody, UploadSession};
pub use wire::{ACCEPT, MANIFEST_LIMIT};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

/// Reads and writes manifests and blobs of a remote registry. Registries that only read keep the defaults of the write half, which answer
/// [`Error::ReadOnly`].
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// The manifest or index that the name points at, byte for byte, verified against its digest and at most [`MANIFEST_LIMIT`] long.
    /// `accept` lists the media types wanted; empty means every kind of manifest and index.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> Result<Manifest>;

    /// The digest of the manifest or index that the name points at, if the registry has it: what it says, without the bytes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn manifest_digest(&self, image: &Reference) -> Result<Option<Digest>> {
        match self.manifest(image, &[]).await {
            Ok(manifest) => Ok(Some(manifest.digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The blob from byte `offset` on; at or past its end there is nothing. The bytes are not verified.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the stream may fail later with the same errors.
    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> Result<BlobStream>;

    /// The size in bytes of the blob if the registry has it. `image` says in which repository; its tag and digest do not matter.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> Result<Option<u64>>;

    /// All tags of the repository of `image`, page by page as the registry gives them.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    async fn tags(&self, image: &Reference) -> Result<Vec<String>>;

    /// Stores a manifest or index under the tag or digest of `image`. Everything that it refers to must be there.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], and see [`Error`].
    async fn put_manifest(&self, image: &Reference, _media_type: &str, _bytes: Bytes) -> Result<()> {
        Err(Error::ReadOnly { host: image.registry().to_owned() })
    }

    /// Starts an upload to the repository of `image`. With a [`Mount`] the registry may take the blob from another of its repositories
    /// instead; whether it does is its choice.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], and see [`Error`].
    async fn start_upload(&self, image: &Reference, _mount: Option<Mount<'_>>) -> Result<Upload> {
        Err(Error::ReadOnly { host: image.registry().to_owned() })
    }

    /// How far an upload is, after a transfer was cut or the process was killed.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the registry forgot the session: start another one.
    async fn upload_status(&self, image: &Reference, _session: &UploadSession) -> Result<UploadSession> {
        Err(Error::ReadOnly { host: image.registry().to_owned() })
    }

    /// Appends bytes to an upload and returns its new state. It is not tried again, because the body can be read only once: after an
    /// error ask [`Registry::upload_status`] and send what is missing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the registry forgot the session; see [`Error`].
    async fn upload(&self, image: &Reference, _session: &UploadSession, _body: UploadBody) -> Result<UploadSession> {
        Err(Error::ReadOnly { host: image.registry().to_owned() })
    }

    /// Appends the last bytes (often [`UploadBody::empty`]) and makes the blob appear. The registry verifies it.
    ///
    /// # Errors
    ///
    /// [`Error::Answer`] when the bytes are not those of `digest`; see [`Error`].
    async fn finish_upload(
        &self,
        image: &Reference,
        _session: &UploadSession,
        _digest: &Digest,
        _rest: UploadBody,
    ) -> Result<()> {
        Err(Error::ReadOnly { host: image.registry().to_owned() })
    }
}

/// A manifest or index as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// Its media type: what the document says of itself, else what the registry says.
    pub media_type: String,
    /// The digest of `bytes`: the one asked for, else the SHA-256 one.
    pub digest: Digest,
    /// The bytes, unchanged.
    pub bytes: Bytes,
}

impl Manifest {
    /// A document, its media type and its digest, which the caller has verified.
    pub fn new(media_type: impl Into<String>, digest: Digest, bytes: impl Into<Bytes>) -> Self {
        Self { media_type: media_type.into(), digest, bytes: bytes.into() }
    }
}

/// A blob on its way.
#[non_exhaustive]
pub struct BlobStream {
    /// The size in bytes of the whole blob (not of what is left), if the registry told.
    pub size: Option<u64>,
    /// The bytes from the offset on.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

impl BlobStream {
    /// The size in bytes of the whole blob, if it is known, and its bytes from an offset on.
    pub fn new(size: Option<u64>, stream: BoxStream<'static, Result<Bytes>>) -> Self {
        Self { size, stream }
    }
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BlobStream").field("size", &self.size).finish_non_exhaustive()
    }
}

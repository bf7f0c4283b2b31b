//! The trait `Source`: where the registry takes manifests and blobs from.

use async_trait::async_trait;
use bytes::Bytes;
use content_store::Digest;
use futures_util::stream::BoxStream;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The registry of names without one, as container engines have it.
pub(crate) const DEFAULT_REGISTRY: &str = "docker.io";

/// Content that a registry can answer from: a content store, an upstream registry, an archive, an object store.
///
/// [`service`](crate::service) asks its sources in order. The first one that has a manifest or blob answers; tags and repositories
/// of all sources are united. A source that fails is reported and does not keep the next ones from answering.
///
/// Implementations pass the suite in `contract` (feature `testing`).
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// The manifest or index under a tag or digest; `None` when it is not here. One asked for by digest has that digest.
    ///
    /// # Errors
    ///
    /// [`SourceError::Corrupt`] when its bytes are not those of its digest, [`SourceError::Failed`].
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError>;

    /// The blob, opened but not read yet; `None` when it is not here. Sources may answer with content of other repositories.
    ///
    /// # Errors
    ///
    /// [`SourceError::Corrupt`] when its bytes are known not to be those of its digest, [`SourceError::Failed`].
    async fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError>;

    /// The tags of a repository, in any order; `None` when the repository is not here.
    ///
    /// # Errors
    ///
    /// [`SourceError::Failed`].
    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError>;

    /// The paths of all repositories, in any order. Sources that cannot list them return none.
    ///
    /// # Errors
    ///
    /// [`SourceError::Failed`].
    async fn repositories(&self) -> Result<Vec<String>, SourceError>;

    /// The manifests of a repository that name `subject` as what they are about, in any order.
    ///
    /// # Errors
    ///
    /// [`SourceError::Failed`].
    async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Manifest>, SourceError>;

    /// Whether it asks other registries, which then learn the names that clients look for.
    fn is_upstream(&self) -> bool {
        false
    }
}

/// An open blob of a [`Source`].
#[async_trait]
pub trait SourceBlob: Send + std::fmt::Debug {
    /// The size of the whole blob in bytes.
    fn size(&self) -> u64;

    /// Streams the bytes of `range`, which lies within the blob; `0..size` is the whole blob.
    ///
    /// A stream of the whole blob fails before its end when the bytes are not those of the digest. A part is only returned of a blob
    /// that was verified before, unless the source cannot do so without transferring all of it.
    ///
    /// # Errors
    ///
    /// [`SourceError::Corrupt`] or [`SourceError::Failed`]; the stream may fail later.
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<BlobStream, SourceError>;

    /// The file that has the bytes of `range`, where there is one and the blob was verified not long ago. It may be sent as it is.
    fn verified_file(&self, range: Range<u64>) -> Option<FilePart> {
        let _ = range;
        None
    }
}

/// A part of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FilePart {
    /// The open file.
    pub file: Arc<File>,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

impl FilePart {
    /// `length` bytes of `file` from `offset` on.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self { file, offset, length }
    }

    /// Takes the first `length` bytes away, at most all.
    pub(crate) fn split_to(&mut self, length: u64) -> Self {
        let first = Self { length: length.min(self.length), ..self.clone() };
        (self.offset, self.length) = (self.offset + first.length, self.length - first.length);
        first
    }
}

/// The bytes of a blob, in pieces of bounded size.
pub type BlobStream = BoxStream<'static, io::Result<Bytes>>;

/// A repository as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repository {
    /// The registry that the client means (`host[:port]`); `None` when it names none, or the serving registry itself.
    pub registry: Option<String>,
    /// The path within the registry, for example `library/nginx`.
    pub path: String,
}

impl Repository {
    /// The repository `path`, of this registry if one is given.
    pub fn new(registry: Option<&str>, path: impl Into<String>) -> Self {
        Self { registry: registry.map(str::to_owned), path: path.into() }
    }
}

/// Which manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestReference {
    /// The one that a tag points at.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl std::fmt::Display for ManifestReference {
    /// As it follows the repository in an image name: `:tag` or `@digest`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => write!(formatter, ":{tag}"),
            Self::Digest(digest) => write!(formatter, "@{digest}"),
        }
    }
}

/// A manifest or index, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The media type that it was stored under, if that is known. What the document says of itself goes before it.
    pub media_type: Option<String>,
    /// The document.
    pub bytes: Bytes,
    /// Whether it is what was there the last time, because nobody can be asked whether it still is.
    pub is_stale: bool,
    /// The upstream that it came from, or that said that it still holds.
    pub upstream: Option<String>,
}

impl Manifest {
    /// A document with its digest and the media type that it was stored under.
    pub fn new(digest: Digest, media_type: Option<String>, bytes: impl Into<Bytes>) -> Self {
        Self { digest, media_type, bytes: bytes.into(), is_stale: false, upstream: None }
    }

    /// Marks it as what was there the last time.
    #[must_use]
    pub fn stale(self) -> Self {
        Self { is_stale: true, ..self }
    }

    /// Says which upstream it came from.
    #[must_use]
    pub fn from_upstream(self, title: impl Into<String>) -> Self {
        Self { upstream: Some(title.into()), ..self }
    }
}

/// Why a source has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The bytes are not those of the digest, so they are not served. The source reports it by its own means.
    #[error("{digest} is corrupt")]
    Corrupt {
        /// The manifest or blob.
        digest: Digest,
    },
    /// The source cannot be read.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl SourceError {
    /// A failure of the source, with its cause.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

//! Errors of a transfer.

use content_store::Digest;
use std::io;
use std::path::PathBuf;

/// The result of every function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why content could not be moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed, or the bytes that came are not those of the digest.
    #[error(transparent)]
    Store(#[from] content_store::Error),
    /// The last registry that was asked failed.
    #[error(transparent)]
    Registry(#[from] registry_client::Error),
    /// There is no registry to ask for something that is not in the store.
    #[error("blob {digest} is not here, and there is no registry to fetch it from")]
    NoOrigin {
        /// The blob.
        digest: Digest,
    },
    /// There is no registry to ask for a tag.
    #[error("there is no registry to ask")]
    NoRegistry,
    /// The image names a blob with another size than the one that is in the store.
    #[error(
        "blob {digest} has {found} bytes in the store, and the image says {expected}; build or pull the image again"
    )]
    Size {
        /// The blob.
        digest: Digest,
        /// The size that the image says.
        expected: u64,
        /// The size of what is in the store.
        found: u64,
    },
    /// The directory in which unfinished uploads are remembered cannot be used.
    #[error("cannot {act} {}", path.display())]
    Sessions {
        /// What was tried.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A registry takes bytes and does not have them afterwards.
    #[error(
        "{host} takes bytes of blob {digest} and then says that it does not have them; look at its log, or push again"
    )]
    Lost {
        /// The blob.
        digest: Digest,
        /// The registry.
        host: String,
    },
    /// The transfer was cancelled; what arrived is kept for the next one.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// A thread of the transfer panicked.
    #[error("a thread of the transfer panicked")]
    TaskPanicked(#[source] tokio::task::JoinError),
}

impl Error {
    /// Whether another origin may do better: not when the store itself fails.
    pub(crate) fn is_of_origin(&self) -> bool {
        matches!(
            self,
            Self::Registry(_)
                | Self::Store(content_store::Error::Mismatch { .. } | content_store::Error::TooLarge { .. })
        )
    }
}

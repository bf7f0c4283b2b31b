//! Errors of the content store, with the file or name they are about.

use crate::Digest;
use std::io;
use std::path::{Path, PathBuf};

/// The result of every function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on the content, with the object it failed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {act} {}", path.display())]
    File {
        /// What was tried, for example `read`.
        act: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file system (or its quota) is full. Nothing half-written was left behind under a digest or a name.
    #[error("no space left while writing {}; free some space there or use another root directory", path.display())]
    NoSpace {
        /// The file that could not be written.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A blob was asked for that is not in the store.
    #[error("blob {digest} is not in the store {}", root.display())]
    Missing {
        /// The blob.
        digest: Digest,
        /// The directory of the store.
        root: PathBuf,
    },
    /// The bytes of a stored blob are not those of its digest.
    #[error("blob {digest} is corrupt: {} holds other bytes ({found}); fetch or build its image again", path.display())]
    Corrupt {
        /// The digest the file is named after.
        digest: Digest,
        /// The file.
        path: PathBuf,
        /// The digest of the bytes that are there.
        found: Box<Digest>,
    },
    /// The bytes that were written are not those that were promised; they were thrown away.
    #[error("wrong content: {expected} was expected, {size} bytes with digest {found} came")]
    Mismatch {
        /// The digest that was promised.
        expected: Digest,
        /// The digest of what came.
        found: Box<Digest>,
        /// The number of bytes that came.
        size: u64,
    },
    /// Something is larger than it may be.
    #[error("{object} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        object: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// `index.json` or `oci-layout` cannot be understood. It is never overwritten in this state.
    #[error("{} is not a valid part of an OCI image layout: {reason}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Garbage cannot be collected because blobs are being written.
    #[error("the store {} is being written to by this or another process; try again when it has finished", root.display())]
    InUse {
        /// The directory of the store.
        root: PathBuf,
    },
    /// An upload is being written by another request.
    #[error("{} is being written to by somebody else; try again when that has finished", path.display())]
    Busy {
        /// The file of the upload.
        path: PathBuf,
    },
    /// A text is not a digest or not an image name.
    #[error(transparent)]
    Reference(#[from] oci_reference::Error),
}

impl Error {
    /// Turns a failed file operation into the variant that says most. An error of this crate that travelled inside an
    /// [`io::Error`] (through [`io::Read`] or [`io::Write`]) comes out as it was.
    pub(crate) fn file(act: &'static str, path: &Path, source: io::Error) -> Self {
        let source = match source.downcast::<Self>() {
            Ok(error) => return error,
            Err(source) => source,
        };
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path, source },
            _ => Self::File { act, path, source },
        }
    }
}

/// For [`io::Read`] and [`io::Write`]: the error stays inside and can be taken out with [`io::Error::downcast`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::File { source, .. } | Error::NoSpace { source, .. } => source.kind(),
            Error::Corrupt { .. } | Error::Mismatch { .. } => io::ErrorKind::InvalidData,
            Error::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Error::Missing { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

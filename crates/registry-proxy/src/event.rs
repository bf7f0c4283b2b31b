//! Events for whoever runs the registry.

use content_store::Digest;
use std::path::PathBuf;

/// Something that whoever runs the registry should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A blob does not have the bytes of its digest; it is not served any more.
    Corrupt {
        /// The blob.
        digest: Digest,
        /// Its file.
        path: PathBuf,
    },
    /// A request failed for a reason that lies here, not with the client.
    Failed {
        /// Method and path of the request.
        request: String,
        /// The reason with its causes.
        reason: String,
    },
}

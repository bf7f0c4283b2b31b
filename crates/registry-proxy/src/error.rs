//! Errors of serving.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The result of the serving functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a registry cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The certificate or key cannot be used.
    #[error("cannot use the {object} for TLS: {reason}")]
    Tls {
        /// `certificate` or `key`.
        object: &'static str,
        /// What is wrong with it. Never contains the key.
        reason: String,
    },
    /// The file of users cannot be used.
    #[error("line {line} of the htpasswd file {reason}")]
    Htpasswd {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it. Never contains a hash.
        reason: &'static str,
    },
    /// An upstream cannot be used as it is configured.
    #[error("cannot use the upstream {upstream}: {reason}")]
    Upstream {
        /// Which one.
        upstream: String,
        /// What is wrong. Never contains a password.
        reason: String,
    },
    /// The configuration cannot be used.
    #[error("the configuration is wrong: {reason}")]
    Config {
        /// What is wrong, and where.
        reason: String,
    },
    /// A file that the configuration names cannot be used.
    #[error("cannot {act} {}", path.display())]
    File {
        /// What was tried, for example `read`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// What is at the path cannot be served.
    #[error("cannot serve {}: {reason}", path.display())]
    Store {
        /// The archive or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An object store failed.
    #[error(transparent)]
    Objects(#[from] object_store::Error),
    /// A content store failed.
    #[error(transparent)]
    Content(#[from] content_store::Error),
    /// Garbage cannot be collected.
    #[error("cannot collect garbage")]
    Collect {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No further connection can be accepted.
    #[error("cannot accept connections on {address}")]
    Accept {
        /// The address of the listener.
        address: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The HTTP/2 connection over the stream ended with an error.
    #[error("the HTTP/2 connection over the stream broke")]
    Stream {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Names the file that something was tried on.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { act, path: path.to_path_buf(), source }
    }
}

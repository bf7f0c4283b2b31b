//! Errors of serving.

use std::io;

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

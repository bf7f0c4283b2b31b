//! Errors of an object store, with the bucket and the object.

use http::StatusCode;

/// The result of every function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause as another library gave it.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option cannot be used.
    #[error("cannot use the {option} of the object store: {reason}")]
    Option {
        /// Which one.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request could not be signed.
    #[error("cannot sign the request for {object}; check the access key")]
    Sign {
        /// Bucket and object.
        object: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// The store cannot be reached, or broke off.
    #[error("cannot reach the store of {object}; check its endpoint and the network")]
    Transport {
        /// Bucket and object.
        object: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// The store refuses.
    #[error("the store answered {status} for {object}: {message}")]
    Refused {
        /// Bucket and object.
        object: String,
        /// The HTTP status.
        status: StatusCode,
        /// What it said (shortened).
        message: String,
    },
    /// The store answered something that cannot be understood.
    #[error("cannot understand what the store answered for {object}: {reason}")]
    Answer {
        /// Bucket and object.
        object: String,
        /// Why not.
        reason: String,
    },
    /// What was to be stored could not be read, or is not as long as was said.
    #[error("cannot read what is to be stored as {object}")]
    Input {
        /// Bucket and object.
        object: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same request may succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }
}

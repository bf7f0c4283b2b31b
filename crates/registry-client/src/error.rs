//! Errors of a registry, with the host, the object and the next step.

use http::StatusCode;
use oci_reference::Digest;
use std::time::Duration;

/// The result of every function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause as another library gave it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed request, with the host and the object it was about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry does not have it.
    #[error("{object} is not on {host}; check the name and whether it was pushed there")]
    NotFound {
        /// What was asked for, for example `manifest library/nginx:1.19`.
        object: String,
        /// The host that was asked.
        host: String,
    },
    /// The registry wants another login, or any.
    #[error("{host} refuses {object}: {reason}")]
    Unauthorised {
        /// What was asked for.
        object: String,
        /// The host that refused.
        host: String,
        /// What it said, and what can be done.
        reason: String,
    },
    /// No trust could be established.
    #[error("cannot trust {host}; give its CA certificate, or name it as an insecure registry")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong with its certificate or protocol.
        #[source]
        source: Cause,
    },
    /// The host cannot be reached.
    #[error("cannot reach {host}; check its name, the network, or use a mirror")]
    Unreachable {
        /// The host.
        host: String,
        /// Name resolution, connection or time-out.
        #[source]
        source: Cause,
    },
    /// The host answered, then the transfer broke off, and trying again did not help.
    #[error("the transfer of {object} from {host} broke off; run the same command again to continue")]
    Interrupted {
        /// What was being transferred.
        object: String,
        /// The host.
        host: String,
        /// How it broke off.
        #[source]
        source: Cause,
    },
    /// The host limits how often it may be asked.
    #[error("{host} refuses {object} because it was asked too often; log in, use a mirror, or try later")]
    TooManyRequests {
        /// What was asked for.
        object: String,
        /// The host.
        host: String,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// The host answered something that a registry does not answer.
    #[error("{host} answered {status} for {object}{}", explain(message))]
    Answer {
        /// What was asked for.
        object: String,
        /// The host.
        host: String,
        /// The HTTP status.
        status: StatusCode,
        /// What it said about it (shortened).
        message: String,
    },
    /// The bytes are not those of the digest.
    #[error("{host} sent wrong content for {object}: {found} instead of {expected}")]
    WrongContent {
        /// What was asked for.
        object: String,
        /// The host.
        host: String,
        /// The digest asked for or promised.
        expected: Digest,
        /// The digest of what came.
        found: Box<Digest>,
    },
    /// A document is larger than it may be.
    #[error("{object} on {host} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        object: String,
        /// The host.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// Mirrors and the registry itself all failed.
    #[error("cannot get {object} from {host}, nor from its mirrors ({mirrors})")]
    Everywhere {
        /// What was asked for.
        object: String,
        /// The registry itself, whose error is the source.
        host: String,
        /// Each mirror and its failure.
        mirrors: String,
        /// The failure of the registry itself.
        #[source]
        source: Box<Error>,
    },
    /// The registry cannot be written to this way.
    #[error("{host} takes no uploads; push to another registry")]
    ReadOnly {
        /// The host.
        host: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read the logins in {}: {reason}", path.display())]
    DockerConfig {
        /// The file.
        path: std::path::PathBuf,
        /// Why not; never a secret.
        reason: String,
    },
    /// A login cannot be kept.
    #[error("cannot {act} the logins in {}", path.display())]
    LoginFile {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program that keeps logins failed.
    #[error("{program} cannot {act}: {reason}; call it by hand to see more")]
    CredentialHelper {
        /// The program, for example `docker-credential-pass`.
        program: String,
        /// What it was to do.
        act: &'static str,
        /// How it failed; never a secret.
        reason: String,
    },
    /// An option cannot be used.
    #[error("cannot use the registry option {option}: {reason}")]
    InvalidOption {
        /// Which option.
        option: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// Whether the registry said that it does not have the object (anywhere it was looked for).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Everywhere { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::TooManyRequests { .. } => true,
            Self::Answer { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            _ => false,
        }
    }
}

fn explain(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// At most `limit` characters of a text from outside, on one line.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let mut short: String =
        text.chars().take(limit).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

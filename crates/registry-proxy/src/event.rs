//! Events for whoever runs the registry.

use content_store::Digest;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// The forward proxy accepts connections.
    Forwarding {
        /// Where.
        address: SocketAddr,
    },
    /// No upstream could be asked about an image, so what is cached was answered.
    Stale {
        /// The image.
        image: String,
        /// The reason with its causes.
        reason: String,
    },
    /// A tag points at something else than before.
    Moved {
        /// The image.
        image: String,
        /// The upstream that said so.
        upstream: String,
        /// What it pointed at.
        from: Digest,
        /// What it points at.
        to: Digest,
    },
    /// An upstream gave no answer.
    Upstream {
        /// Which one.
        upstream: String,
        /// The reason with its causes.
        reason: String,
    },
    /// A source could not answer a request, for a reason that lies here, not with the client. Another source may have answered it.
    Failed {
        /// Method and path of the request.
        request: String,
        /// The reason with its causes.
        reason: String,
    },
    /// Connections are accepted.
    Serving {
        /// The address that is listened on.
        address: SocketAddr,
    },
    /// A request was answered, or broken off.
    Request(Access),
    /// Garbage was removed.
    Collected {
        /// The number of blobs.
        blobs: u64,
        /// Their size in bytes.
        bytes: u64,
    },
}

/// One request, for the access log. Passwords and tokens are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// The address of the client, if it is known.
    pub peer: Option<IpAddr>,
    /// The user, if one logged in.
    pub user: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of its body that were sent.
    pub sent: u64,
    /// From the head of the request to the end of the answer.
    pub duration: Duration,
    /// What the client says it is.
    pub agent: Option<String>,
}

/// Is told what happens; must return quickly.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Tells events to whoever wants to know.
#[derive(Clone, Default)]
pub(crate) struct Reporter(pub(crate) Option<Events>);

impl Reporter {
    pub(crate) fn tell(&self, event: Event) {
        if let Some(events) = &self.0 {
            events(event);
        }
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Reporter")
    }
}

//! Events for whoever runs the registry.

use content_store::Digest;
use std::path::PathBuf;
use std::sync::Arc;

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

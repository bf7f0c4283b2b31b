//! Moves images between registries and the content store: only what is missing, verified, resumed, coalesced.
//!
//! # Steps
//!
//! 1. Make a [`Fetcher`] over a [`Store`](content_store::Store); use the same one for everything that is fetched together.
//! 2. Say where content may come from with [`Origin`]s; they are asked in order.
//! 3. [`Fetcher::document`] brings a manifest or index by tag or digest, [`Fetcher::blobs`] the blobs that it lists.
//! 4. [`Downloads`] brings blobs that are read while they arrive.
//! 5. The other way, a [`Sender`] brings what the store has to a [`Destination`].
//!
//! ```no_run
//! use content_store::Store;
//! use content_transfer::{Fetcher, Options, Origin, Wanted};
//!
//! # async fn example(registry: &dyn registry_client::Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("/var/lib/sealer/content".as_ref())?;
//! let _guard = store.gc_guard()?; // Until a name points at what was fetched.
//! let fetcher = Fetcher::new(&store, Options::default());
//! let origin = [Origin::new(registry, "registry.example:5000/team/app:1".parse()?)];
//! let manifest = fetcher.document(&origin).await?;
//! # let (layer, size) = (manifest.digest, 5);
//! fetcher.blobs(&origin, [Wanted::new(layer, Some(size))], &|_event| {}).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - A blob that is in the store is not asked for.
//! - A blob appears in the store only when all its bytes match its digest.
//! - A transfer that is cut, cancelled or killed leaves its bytes as a partial blob; the next one continues there, from any origin.
//! - Fetches of one blob at the same time, in this process or another, transfer it once.
//! - At most [`Options::parallel`] blobs are transferred at a time.
//!
//! And of sending:
//! - A blob that the registry has is not sent; one that another of its repositories has is mounted where the registry does that.
//! - An upload that is cut or killed is continued from where the registry says it is, also by another process. A registry that forgot it
//!   gets that blob from its beginning, and nothing else again.
//! - The last byte of a blob is not sent before all its bytes were found to be those of its digest.
//! - Children are there before their parents, and the name is set last.
//! - What is told of a blob never goes back, also when it has to be sent again.
//!
//! # Errors
//!
//! [`Error`] is the failure of the last origin that was asked, or of the store.

mod body;
mod error;
mod fetch;
mod send;
mod sessions;
mod stream;
mod upload;

pub use error::{Error, Result};
pub use fetch::{Document, Fetcher, Options, Origin, Wanted};
pub use send::{Destination, SendOptions, Sender, Sent, SentManifest};
pub use stream::{BlobOrigin, Download, Downloads};

use content_store::Digest;

/// What a transfer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// How far one blob is.
    Blob {
        /// The blob.
        digest: Digest,
        /// How many of its bytes are in the store, whole or partial.
        bytes: u64,
        /// How many of these were transferred by this fetch.
        fetched: u64,
        /// Whether the blob is whole.
        done: bool,
    },
    /// How far one blob is on its way to a registry.
    Upload {
        /// The blob.
        digest: Digest,
        /// How many of its bytes the registry has, or was handed. It never goes back.
        bytes: u64,
        /// Its size in bytes.
        size: u64,
        /// How many bytes were sent, also those that were sent twice.
        sent: u64,
        /// How the registry got it, once it has it.
        placed: Option<Placed>,
    },
}

/// How a registry got a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placed {
    /// It was sent.
    Sent,
    /// It was taken from another repository of the registry.
    Mounted,
    /// It was there.
    Present,
}

/// Is told what happens; must return quickly.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

//! Serves a content store to container engines as an OCI registry.
//!
//! # Steps
//!
//! 1. [`service`] makes an [`axum::Router`] over a [`content_store::Store`].
//! 2. Serve it with [`serve_tls`] or [`serve_plain`] on a listener, or with [`serve_http2_stream`] on any byte stream.
//!
//! ```no_run
//! use registry_proxy::{Options, service, serve_plain};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let content = content_store::Store::open("/var/lib/sealer/content".as_ref())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//! serve_plain(listener, service(content, Options::default()), std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is answered
//!
//! The read side of the OCI distribution specification: `GET` and `HEAD` of `/v2/`, manifests, blobs (with single ranges), `tags/list` and
//! `_catalog`. The query `ns=` of containerd's mirrors says which registry is meant; without it Docker Hub is tried, then any registry that alone
//! has the repository. Content by digest is answered in every repository.
//!
//! A blob is compared with its digest before it is first served, and again whenever it is sent whole; a transfer during which it turns
//! out damaged is broken off before its end. [`Event::Corrupt`] is told, and from then on the blob is not found, so that clients turn to
//! another registry, until its file is replaced.

mod blob;
mod document;
mod error;
mod event;
mod handler;
mod integrity;
mod names;
mod range;
mod route;
mod serve;
mod tls;

pub use error::{Error, Result};
pub use event::Event;
pub use handler::service;
pub use serve::{serve_http2_stream, serve_plain, serve_tls};
pub use tls::Tls;

use std::sync::Arc;

/// What a registry may be told. The default answers only for other registries' names and tells nobody anything.
#[derive(Clone, Default)]
pub struct Options {
    /// Names of this registry itself (`host[:port]`): a request that means one of them is answered as one that means no registry in particular.
    pub own_names: Vec<String>,
    /// Clients throw away what does not match its digest, as sealer's own do. Blobs are then compared only while they are sent, which
    /// saves the first reading.
    pub clients_verify: bool,
    /// Is told what happens; must return quickly.
    pub events: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Options").field("own_names", &self.own_names).finish_non_exhaustive()
    }
}

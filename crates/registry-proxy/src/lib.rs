//! Serves manifests and blobs to container engines as an OCI registry, from a content store and any further sources.
//!
//! # Steps
//!
//! 1. Make the [`Source`]s: [`ContentSource`] is a [`content_store::Store`], [`ReadOnlySource`] an archive or directory, [`ObjectSource`] a bucket,
//!    [`UpstreamSource`] other registries; a [`Recorder`] around one tells what was asked for. Others are implementations of the trait.
//! 2. [`service`] makes an [`axum::Router`] over them. They are asked in order: the first that has a manifest or blob answers.
//! 3. Serve the router with [`serve_tls`] or [`serve_plain`] on a listener, or with [`serve_http2_stream`] on any byte stream.
//!
//! Or let [`serve()`] do all of it, as a [`Config`] says that people write in YAML: with pushes, deletions and collections of garbage. A
//! [`ForwardProxy`] in front of the router answers clients that reach registries through `HTTPS_PROXY`.
//!
//! ```
//! use content_store::{Descriptor, MediaType, NameKind, Store};
//! use registry_proxy::{ContentSource, Options, serve_plain, service};
//! use std::sync::Arc;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//!
//! let store = Store::open(root)?;
//! let index = store.put(br#"{"schemaVersion":2,"manifests":[]}"#)?;
//! let descriptor = Descriptor::new(MediaType::ImageIndex, index.size, index.digest);
//! store.set_name(NameKind::CarriedImage, "quay.io/team/app:1", &descriptor)?;
//!
//! let options = Options::default();
//! let router = service(vec![Arc::new(ContentSource::new(store, &options))], options);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(serve_plain(listener, router, std::future::pending()));
//!
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! let request = "GET /v2/team/app/tags/list?ns=quay.io HTTP/1.0\r\nhost: localhost\r\n\r\n";
//! client.write_all(request.as_bytes()).await?;
//! let mut response = String::new();
//! client.read_to_string(&mut response).await?;
//! assert!(response.ends_with(r#"{"name":"team/app","tags":["1"]}"#), "{response}");
//! # Ok(())
//! # }
//! ```
//!
//! # What is answered
//!
//! The OCI distribution specification 1.1: `GET` and `HEAD` of `/v2/`, manifests, blobs (with single ranges), `tags/list`, `referrers` and
//! `_catalog`; with [`Options::push`] uploads and manifests are taken, with [`Options::delete`] tags, manifests and blobs are deleted. Also
//! `/healthz` and `/metrics`. The query `ns=` of containerd's mirrors says which registry is meant; without it a content store tries Docker Hub, then
//! any registry that alone has the repository. A content store answers content by digest in every repository.
//!
//! A stored blob is compared with its digest before it is first served, and again whenever it is sent whole; a transfer during which it
//! turns out corrupt is broken off before its end. [`Event::Corrupt`] is told, and from then on the blob is not found, so that clients turn
//! to another registry, until its file is replaced.
//!
//! With [`Options::htpasswd`] every request needs the login of one of its users. A login is compared by bcrypt once; those that follow with
//! the same one cost a digest.
//!
//! # Features
//!
//! `testing`: `MemorySource`, the stand-in for tests, and `contract`, the suite that every [`Source`] passes.
//!
//! # Errors
//!
//! [`Error`] is about certificates, files of users and connections. What goes wrong with one request is answered to the client in the form of the
//! specification, and told as [`Event::Failed`] when the cause lies on this side.

mod assemble;
mod authenticator;
mod config;
mod content;
#[cfg(feature = "testing")]
pub mod contract;
mod document;
mod error;
mod event;
mod forward;
mod handler;
mod htpasswd;
#[cfg(feature = "testing")]
mod memory;
mod metrics;
mod objects;
mod range;
mod record;
mod route;
mod serve;
mod source;
mod tls;
mod token;
mod upstream;

pub use config::{Config, TlsConfig};
pub use content::{ContentSource, ReadOnlySource};
pub use error::{Error, Result};
pub use event::{Access, Event, Events};
pub use forward::{ForwardConfig, ForwardProxy, serve_forward};
pub use handler::service;
pub use htpasswd::Htpasswd;
#[cfg(feature = "testing")]
pub use memory::MemorySource;
pub use object_store;
pub use objects::{ObjectSource, ObjectStoreConfig, ObjectStoreKind, Published, publish};
pub use record::{Recorded, Recorder, Recording};
pub use serve::{Content, serve, serve_http2_stream, serve_plain, serve_tls};
pub use source::{BlobStream, FilePart, Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
pub use tls::Tls;
pub use upstream::{UpstreamConfig, UpstreamSource};

use event::Reporter;

/// What a registry may be told. The default answers only for other registries' names and tells nobody anything.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Names of this registry itself (`host[:port]`): a request that means one of them is answered as one that means no registry in particular.
    pub own_names: Vec<String>,
    /// Clients throw away what does not match its digest, as sealer's own do. Stored blobs are then compared only while they are sent,
    /// which saves the first reading.
    pub clients_verify: bool,
    /// Who may ask; everybody, when it is not set. Logins are sent as HTTP Basic authentication.
    pub htpasswd: Option<Htpasswd>,
    /// Whether everybody may pull although there are users; pushes and deletions then need a login.
    pub anonymous_pull: bool,
    /// Takes what clients push; the same content must be among the sources. None may push when it is not set.
    pub push: Option<ContentSource>,
    /// Deletes what clients want deleted; none may when it is not set.
    pub delete: Option<ContentSource>,
    /// Whether clients reach the router over TLS: it is part of the addresses that they are told.
    pub is_tls: bool,
    /// Whether [`Event::Request`] tells of each request.
    pub access_log: bool,
    /// Is told what happens.
    pub events: Option<Events>,
}

impl Options {
    fn reporter(&self) -> Reporter {
        Reporter(self.events.clone())
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Options").field("own_names", &self.own_names).finish_non_exhaustive()
    }
}

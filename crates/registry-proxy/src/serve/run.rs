//! Runs a whole registry: content, requests, maintenance, shutdown.

use super::{serve_plain, serve_tls};
use crate::error::{Error, Result};
use crate::handler::service;
use crate::{Config, ContentSource, Event, Events, Options, Source, assemble, forward};
use content_store::Store;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// What a registry serves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Content {
    /// The store that is answered from first, pushed to, and collected.
    pub store: Option<Store>,
    /// Further sources, asked in order.
    pub sources: Vec<Arc<dyn Source>>,
}

impl Content {
    /// A content store and nothing else.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store: Some(store), sources: Vec::new() }
    }
}

/// Serves `content` as `config` says until `shutdown` is ready; running transfers then have a few seconds to finish. [`Event::Serving`] tells
/// the address once connections are accepted.
///
/// # Errors
///
/// [`Error::Listen`] when the address cannot be bound, and what [`Config::check`] finds.
pub async fn serve(config: Config, content: Content, events: Events, shutdown: impl Future<Output = ()>) -> Result<()> {
    let (tls, htpasswd) = (config.load_tls()?, config.load_htpasswd()?);
    let failed = |source| Error::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut options =
        Options { own_names: config.names.clone(), htpasswd, events: Some(events.clone()), ..Options::default() };
    (options.anonymous_pull, options.is_tls, options.access_log) =
        (config.anonymous_pull, tls.is_some(), config.access_log);
    let mut own: Option<Arc<dyn Source>> = None;
    let mut maintenance = None;
    if let Some(store) = content.store.clone() {
        let source = ContentSource::new(store, &options);
        options.push = config.push.then(|| source.clone());
        options.delete = config.delete.then(|| source.clone());
        own = Some(Arc::new(source.clone()));
        let interval = Duration::from_secs(config.collect_seconds);
        if !interval.is_zero() && (config.push || config.delete || config.quota.is_some()) {
            maintenance = Some(source.maintain(config.quota, config.collect_untagged, interval));
        }
    }
    let sources = assemble::sources(&config, content.store.as_ref(), own, content.sources, &options)?;
    let router = service(sources, options);
    let forward = match config.forward.clone() {
        Some(forward) => Some(tokio::spawn(forward::listen(forward, router.clone(), &events).await?)),
        None => None,
    };
    // Nothing fails any more that would leave it running.
    let maintenance = maintenance.map(tokio::spawn);
    events(Event::Serving { address });
    let served = match tls {
        Some(tls) => serve_tls(listener, tls, router, shutdown).await,
        None => serve_plain(listener, router, shutdown).await,
    };
    // A collection that is under way is finished by its own thread; the next command waits for it.
    for task in maintenance.into_iter().chain(forward) {
        task.abort();
    }
    served
}

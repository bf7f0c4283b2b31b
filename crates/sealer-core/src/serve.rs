//! Serves the content of a machine as a registry, and keeps it in order.

use std::future::Future;
use std::path::{Path, PathBuf};

use content_store::{Check, Freed, Store};
use registry_proxy::{Config, Content, ContentSource, Events, Options};

use crate::{Error, text_file};

/// What to serve, and where.
#[derive(Clone)]
pub struct ServeRequest {
    /// The sealer root whose content is served, for example `/var/lib/sealer`.
    pub root: PathBuf,
    /// How it is served.
    pub config: Config,
    /// Is told what happens while serving; must return quickly.
    pub events: Events,
}

impl std::fmt::Debug for ServeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeRequest").field("root", &self.root).field("config", &self.config).finish_non_exhaustive()
    }
}

/// Reads the YAML file of a registry's configuration.
///
/// # Errors
///
/// When the file cannot be read, or is wrong.
pub fn read_config(path: &Path) -> Result<Config, Error> {
    Ok(Config::parse(&text_file::read("read the configuration", path)?)?)
}

/// Serves the OCI distribution API until `shutdown` resolves. [`registry_proxy::Event::Serving`] tells the address once connections are
/// accepted.
///
/// # Errors
///
/// When the store cannot be opened, the address not be bound, or the certificate not be used.
pub async fn serve(request: &ServeRequest, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    let content = Content::new(store(&request.root)?);
    Ok(registry_proxy::serve(request.config.clone(), content, request.events.clone(), shutdown).await?)
}

/// Removes what no name reaches, also while a registry serves it. With a `quota` in bytes, cached images are given up first; with
/// `untagged`, pushed manifests that have no tag.
///
/// # Errors
///
/// [`Error::Serve`] when writers leave no gap, or a document that says what is needed is corrupt.
pub async fn collect(root: &Path, quota: Option<u64>, untagged: bool) -> Result<Freed, Error> {
    let source = ContentSource::new(store(root)?, &Options::default());
    let failed = |source: registry_proxy::SourceError| registry_proxy::Error::Collect { source: source.into() };
    Ok(source.collect(quota, untagged).await.map_err(failed)?)
}

/// Reads every blob again, and finds what images with a name need and is not here.
///
/// # Errors
///
/// When the store cannot be read; what is wrong with its content is part of the answer.
pub fn check(root: &Path) -> Result<Check, Error> {
    Ok(store(root)?.check()?)
}

fn store(root: &Path) -> Result<Store, Error> {
    Ok(Store::open(&root.join("content"))?)
}

//! Serves the content of a machine as a registry.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use content_store::Store;
use tokio::net::TcpListener;

use crate::{Error, text_file};

/// What to serve, and where.
#[derive(Clone)]
pub struct ServeRequest {
    /// The sealer root whose content is served, for example `/var/lib/sealer`.
    pub root: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Certificate chain and private key (PEM files); without them plain HTTP is spoken.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Users who may ask and the bcrypt hashes of their passwords, as `htpasswd -B` writes them; without it everybody may.
    pub htpasswd: Option<PathBuf>,
    /// Names of this registry itself (`host:port`): asked for by one of them, an image may come from any registry.
    pub names: Vec<String>,
    /// Is told what goes wrong while serving; must return quickly.
    pub events: Arc<dyn Fn(registry_proxy::Event) + Send + Sync>,
}

impl std::fmt::Debug for ServeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeRequest").field("root", &self.root).field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Serves the read side of the OCI distribution API until `shutdown` resolves.
/// `ready` is called with the bound address once connections are accepted.
///
/// # Errors
///
/// When the store cannot be opened, the address not be bound, or the certificate not be used.
pub async fn serve(
    request: &ServeRequest,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let content = Store::open(&request.root.join("content"))?;
    let tls = match &request.tls {
        Some((certificate, key)) => Some(registry_proxy::Tls::new(
            text_file::read("read the certificate", certificate)?,
            text_file::read("read the private key", key)?,
        )),
        None => None,
    };
    let htpasswd = match &request.htpasswd {
        Some(path) => Some(registry_proxy::Htpasswd::parse(&text_file::read("read the users", path)?)?),
        None => None,
    };
    let failed = |source| Error::Listen { address: request.listen, source };
    let listener = TcpListener::bind(request.listen).await.map_err(failed)?;
    ready(listener.local_addr().map_err(failed)?);
    let mut options = registry_proxy::Options::default();
    options.own_names.clone_from(&request.names);
    options.htpasswd = htpasswd;
    options.events = Some(Arc::clone(&request.events));
    let source = registry_proxy::ContentSource::new(content, &options);
    let service = registry_proxy::service(vec![Arc::new(source)], options);
    match tls {
        Some(tls) => registry_proxy::serve_tls(listener, tls, service, shutdown).await?,
        None => registry_proxy::serve_plain(listener, service, shutdown).await?,
    }
    Ok(())
}

//! Accepts the connections of a forward proxy, and opens tunnels.

use super::config::{ForwardConfig, Verdict};
use super::mint::Mint;
use super::tunnel::{self, refusal};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use axum::Router;
use axum::body::Body;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections of all clients; more wait.
const CONNECTIONS: usize = 512;
/// The longest time for the head of a request, for a TLS handshake, and for connecting.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The wait after a failure to accept, for example because there are too many open files.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);
/// The largest file with a certificate or key that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// A proxy that answers for registries. Clones share the certificates that it made.
#[derive(Clone, Debug)]
pub struct ForwardProxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ForwardConfig,
    mint: Mint,
    router: Router,
}

impl ForwardProxy {
    /// A proxy in front of `router`, as [`service`](crate::service) makes it. Reads the files of the CA.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] when the CA cannot be used.
    pub fn new(config: ForwardConfig, router: Router) -> Result<Self> {
        let certificate = read(&config.ca_cert, "certificate of the CA")?;
        let mint = Mint::new(&certificate, &read(&config.ca_key, "key of the CA")?)?;
        Ok(Self(Arc::new(Inner { config, mint, router })))
    }
}

/// Reads the files of the CA, and checks that it can sign.
pub(crate) fn check(config: &ForwardConfig) -> Result<()> {
    ForwardProxy::new(config.clone(), Router::new()).map(drop)
}

/// Binds the address; the answer serves the proxy until it is dropped. [`Event::Forwarding`] tells the address.
pub(crate) async fn listen(
    config: ForwardConfig,
    router: Router,
    events: &Events,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let address = config.listen;
    let failed = |source| Error::Listen { address, source };
    let proxy = ForwardProxy::new(config, router)?;
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    events(Event::Forwarding { address: listener.local_addr().map_err(failed)? });
    let events = events.clone();
    Ok(async move {
        if let Err(error) = serve_forward(listener, proxy, std::future::pending()).await {
            events(Event::Failed { request: "the forward proxy".to_owned(), reason: error_report::one_line(&error) });
        }
    })
}

/// Serves the proxy on the listener until `shutdown` is ready; what runs then is cut off.
///
/// # Errors
///
/// [`Error::Accept`] when the listener breaks.
pub async fn serve_forward(
    listener: TcpListener,
    proxy: ForwardProxy,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Tunnels outlive the requests that opened them, so they are tasks of their own; all end with this function.
    let tunnels = Arc::new(tokio::sync::Mutex::new(JoinSet::new()));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, Arc::new(place)))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = &mut shutdown => return Ok(()),
        };
        match accepted {
            Ok((stream, place)) => {
                let (proxy, tunnels) = (proxy.clone(), tunnels.clone());
                connections.spawn(async move {
                    let service =
                        service_fn(move |request| proxy.clone().answer(request, tunnels.clone(), place.clone()));
                    let mut builder = http1::Builder::new();
                    builder.timer(TokioTimer::new()).header_read_timeout(TIMEOUT);
                    // A client that breaks off harms only itself.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                });
            }
            Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => tokio::time::sleep(ACCEPT_WAIT).await,
            Err(source) => {
                let address =
                    listener.local_addr().map_or_else(|_| "the listener".to_owned(), |found| found.to_string());
                return Err(Error::Accept { address, source });
            }
        }
    }
}

type Tunnels = Arc<tokio::sync::Mutex<JoinSet<()>>>;

/// Runs a tunnel beside the others; what has ended is forgotten.
async fn open(tunnels: &Tunnels, tunnel: impl Future<Output = ()> + Send + 'static) {
    let mut tunnels = tunnels.lock().await;
    while tunnels.try_join_next().is_some() {}
    tunnels.spawn(tunnel);
}

impl ForwardProxy {
    async fn answer<P: Send + 'static>(
        self,
        request: Request<Incoming>,
        tunnels: Tunnels,
        place: P,
    ) -> std::io::Result<Response<Body>> {
        let default = if request.method() == Method::CONNECT { 443 } else { 80 };
        let Some((host, port)) = request.uri().authority().map(|authority| parts(authority, default)) else {
            return Ok(refusal(StatusCode::BAD_REQUEST, "this is a proxy: give it to clients as HTTPS_PROXY"));
        };
        let verdict = self.0.config.verdict(&host, port);
        if request.method() != Method::CONNECT {
            return match verdict {
                Verdict::Intercept { registry, .. } => tunnel::answer(request, registry, self.0.router.clone()).await,
                _ => Ok(refusal(StatusCode::FORBIDDEN, "this proxy passes no plain HTTP through")),
            };
        }
        match verdict {
            Verdict::Refuse => Ok(refusal(StatusCode::FORBIDDEN, "this host is neither a registry nor allowed")),
            Verdict::Pass => match timeout(TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
                Ok(Ok(mut there)) => {
                    let tunnel = async move {
                        let _place = place;
                        if let Ok(here) = hyper::upgrade::on(request).await {
                            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut there).await;
                        }
                    };
                    open(&tunnels, tunnel).await;
                    Ok(Response::new(Body::empty()))
                }
                _ => Ok(refusal(StatusCode::BAD_GATEWAY, "this host cannot be reached from the proxy")),
            },
            Verdict::Intercept { host, registry } => {
                let Ok(acceptor) = self.0.mint.acceptor(&host) else {
                    return Ok(refusal(StatusCode::BAD_REQUEST, "no certificate can be made for this host"));
                };
                let router = self.0.router.clone();
                let tunnel = async move {
                    let _place = place;
                    let Ok(here) = hyper::upgrade::on(request).await else { return };
                    if let Ok(Ok(stream)) = timeout(TIMEOUT, acceptor.accept(TokioIo::new(here))).await {
                        let _ = tunnel::answer_as(registry, stream, router).await;
                    }
                };
                open(&tunnels, tunnel).await;
                Ok(Response::new(Body::empty()))
            }
        }
    }
}

/// Host without brackets, and port.
fn parts(authority: &Authority, default: u16) -> (String, u16) {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), authority.port_u16().unwrap_or(default))
}

fn read(path: &Path, object: &'static str) -> Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(FILE_LIMIT).read_to_string(&mut text));
    read.map_err(|error| Error::Tls { object, reason: format!("{} cannot be read: {error}", path.display()) })?;
    Ok(text)
}

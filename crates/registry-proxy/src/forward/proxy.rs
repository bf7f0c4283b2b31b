//! Accepts the connections of a forward proxy, and opens tunnels.

use super::config::{ForwardConfig, Verdict};
use super::mint::Mint;
use super::tunnel::{self, refusal};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::serve::{Client, HEAD_TIMEOUT, Limited, accept_all, sending, serve_stream};
use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

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
    let connection = |stream, client| connection(proxy.clone(), stream, client);
    accept_all(listener, shutdown, connection).await?.shutdown().await;
    Ok(())
}

/// What becomes of the bytes of a connection after a request for a tunnel.
type Tunnel = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

async fn connection(proxy: ForwardProxy, stream: TcpStream, client: Arc<Client>) {
    let tunnel = Tunnel::default();
    let service = service_fn(|request| proxy.clone().answer(request, &tunnel, client.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let _ = sending(builder.serve_connection(TokioIo::new(stream), service).with_upgrades()).await;
    let opened = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(opened) = opened {
        opened.await;
    }
}

impl ForwardProxy {
    async fn answer(
        self,
        request: Request<Incoming>,
        tunnel: &Tunnel,
        client: Arc<Client>,
    ) -> std::io::Result<Response<Body>> {
        let default = if request.method() == Method::CONNECT { 443 } else { 80 };
        let Some((host, port)) = request.uri().authority().map(|authority| parts(authority, default)) else {
            return Ok(refusal(StatusCode::BAD_REQUEST, "this is a proxy: give it to clients as HTTPS_PROXY"));
        };
        let verdict = self.0.config.verdict(&host, port);
        if request.method() != Method::CONNECT {
            return match verdict {
                Verdict::Intercept { registry, .. } => {
                    let router = tunnel::router(registry, self.0.router.clone());
                    Limited::new(router, client).call(request).await.map(|response| response.map(Body::new))
                }
                _ => Ok(refusal(StatusCode::FORBIDDEN, "this proxy passes no plain HTTP through")),
            };
        }
        let opened = match verdict {
            Verdict::Refuse => {
                return Ok(refusal(StatusCode::FORBIDDEN, "this host is neither a registry nor allowed"));
            }
            Verdict::Pass => match timeout(HEAD_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
                Ok(Ok(mut there)) => async move {
                    let _place = client;
                    if let Ok(here) = hyper::upgrade::on(request).await {
                        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut there).await;
                    }
                }
                .boxed(),
                _ => return Ok(refusal(StatusCode::BAD_GATEWAY, "this host cannot be reached from the proxy")),
            },
            Verdict::Intercept { host, registry } => {
                let Ok(acceptor) = self.0.mint.acceptor(&host) else {
                    return Ok(refusal(StatusCode::BAD_REQUEST, "no certificate can be made for this host"));
                };
                let router = tunnel::router(registry, self.0.router.clone());
                async move {
                    let Ok(here) = hyper::upgrade::on(request).await else { return };
                    if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, acceptor.accept(TokioIo::new(here))).await {
                        let _ = serve_stream(stream, router, client).await;
                    }
                }
                .boxed()
            }
        };
        *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(Response::new(Body::empty()))
    }
}

/// Host without brackets, and port.
fn parts(authority: &Authority, default: u16) -> (String, u16) {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), authority.port_u16().unwrap_or(default))
}

fn read(path: &Path, object: &'static str) -> Result<String> {
    let wrong = |error| Error::Tls { object, reason: error_report::one_line(&error) };
    crate::config::read(path).map_err(wrong)
}

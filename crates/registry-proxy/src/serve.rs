//! Accepts, limits and ends connections.

mod files;
mod limits;
mod progress;
mod run;

pub(crate) use files::Files;
pub(crate) use limits::Client;
pub(crate) use progress::sending;
pub use run::{Content, serve};

use crate::error::{Error, Result};
use crate::handler::PeerAddress;
use crate::tls::Tls;
use axum::Router;
use files::FileStream;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use limits::Limits;
use progress::{Answer, Streams};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The longest time for the head of a request, the TLS handshake before the first included.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that answers no ping for this long is gone.
const PING: Duration = Duration::from_secs(30);
/// How long transfers may go on after the end was asked for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after a failure to accept, for example because there are too many open files.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);
/// The head of a request, and what of an answer waits in an HTTP/1 connection.
const HEAD_LIMIT: usize = 32 << 10;
const HEAD_LIST_LIMIT: u32 = 16 << 10;
/// Streams of one connection: the least that clients may rely on before they are told. Few of them are answered at once.
const STREAM_LIMIT: u32 = 100;
/// What peers may send that is not read yet, in a stream and in a connection: enough for pushes within one network.
const RECEIVE_WINDOW: u32 = 128 << 10;
/// What of an answer waits in a stream.
const SEND_BUFFER: usize = 32 << 10;

/// Serves HTTPS on the listener until `shutdown` is ready; running transfers then have a few seconds to finish.
///
/// # Errors
///
/// [`Error::Tls`] when certificate or key cannot be used, [`Error::Accept`] when the listener breaks.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Tls,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let acceptor = tls.acceptor()?;
    serve_all(listener, Some(acceptor), router, shutdown).await
}

/// Serves plain HTTP on the listener until `shutdown` is ready; running transfers then have a few seconds to finish.
///
/// # Errors
///
/// [`Error::Accept`] when the listener breaks.
pub async fn serve_plain(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) -> Result<()> {
    serve_all(listener, None, router, shutdown).await
}

/// Serves HTTP/2 over one byte stream until the other end closes it.
///
/// # Errors
///
/// [`Error::Stream`] when the connection breaks.
pub async fn serve_http2_stream(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
) -> Result<()> {
    let client = Client::alone().await.map_err(|source| Error::Stream { source: source.into() })?;
    let service = Limited::new(router, client);
    let served = builder().http2_only().serve_connection(TokioIo::new(io), service).into_owned().await;
    served.map_err(|source| Error::Stream { source })
}

async fn serve_all(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let graceful = GracefulShutdown::new();
    let mut connections = accept_all(listener, shutdown, |stream, client| {
        connection(stream, client, acceptor.clone(), router.clone(), graceful.watcher())
    })
    .await?;
    // Whatever is not done by then is cut off.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await;
    connections.shutdown().await;
    Ok(())
}

/// Runs a task for every connection that is admitted, until `shutdown` is ready; answers with those that still run then.
pub(crate) async fn accept_all<F: Future<Output: Send> + Send + 'static>(
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    connection: impl Fn(TcpStream, Arc<Client>) -> F,
) -> Result<JoinSet<()>> {
    let mut shutdown = std::pin::pin!(shutdown);
    let limits = Limits::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = &mut shutdown => return Ok(connections),
        };
        match accepted {
            Ok((stream, peer)) => {
                // Who gets no connection is told so by its end.
                let Some(client) = limits.admit(peer.ip()).await else { continue };
                let connection = connection(stream, client);
                connections.spawn(async move {
                    // A client that breaks off harms only itself.
                    let _ = connection.await;
                });
            }
            Err(error) if is_passing(&error) => tokio::time::sleep(ACCEPT_WAIT).await,
            Err(source) => {
                let address =
                    listener.local_addr().map_or_else(|_| "the listener".to_owned(), |address| address.to_string());
                return Err(Error::Accept { address, source });
            }
        }
    }
}

type Served = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn connection(
    stream: TcpStream,
    client: Arc<Client>,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) -> Served {
    stream.set_nodelay(true)?;
    let (builder, service) = (builder(), Limited::new(router, client.clone()));
    let served = async {
        match acceptor {
            None => {
                let files = Files::default();
                let service = service.with_files(files.clone());
                let stream = FileStream { stream, files };
                watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await
            }
            Some(acceptor) => {
                let stream = acceptor.accept(stream).await?;
                watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await
            }
        }
    };
    while_useful(&client, served).await
}

/// Serves a byte stream of a client that was admitted.
pub(crate) async fn serve_stream(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    client: Arc<Client>,
) -> Served {
    let service = Limited::new(router, client.clone());
    while_useful(&client, builder().serve_connection(TokioIo::new(io), service).into_owned()).await
}

/// Runs a connection until it ends, nobody asks anything, or its peer takes no answer.
async fn while_useful(client: &Client, connection: impl Future<Output = Served>) -> Served {
    tokio::select! {
        served = sending(connection) => served.unwrap_or_else(|| Err("the peer takes no answer".into())),
        () = client.idle(HEAD_TIMEOUT) => Err("no request came".into()),
    }
}

/// Answers requests when it is the turn of their connection.
#[derive(Clone)]
pub(crate) struct Limited {
    service: TowerToHyperService<Router>,
    client: Arc<Client>,
    /// What the connection sends in place of fillers, if it can.
    files: Option<Files>,
}

impl Limited {
    pub(crate) fn new(router: Router, client: Arc<Client>) -> Self {
        Self { service: TowerToHyperService::new(router), client, files: None }
    }

    fn with_files(self, files: Files) -> Self {
        Self { files: Some(files), ..self }
    }
}

impl Service<Request<Incoming>> for Limited {
    type Response = Response<Answer>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { service, client, files } = self.clone();
        Box::pin(async move {
            let place = client.place().await?;
            let mut request = request;
            request.extensions_mut().insert(PeerAddress(client.address()));
            if let Some(files) = files.filter(|_| request.version() <= Version::HTTP_11) {
                request.extensions_mut().insert(files);
            }
            let response = service.call(request).await.unwrap_or_else(|never| match never {});
            Ok(response.map(|body| Answer::new(body, place)))
        })
    }
}

fn builder() -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAM_LIMIT)
        .initial_stream_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_LIST_LIMIT)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Failures of one connection, or of a moment.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}

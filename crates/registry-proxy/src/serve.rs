//! Accepts, limits and ends connections.

use crate::error::{Error, Result};
use crate::tls::Tls;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// More clients wait until others have finished.
const CONNECTION_LIMIT: usize = 1024;
/// The longest time for the head of a request, the TLS handshake before the first included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that answers no ping for this long is gone.
const PING: Duration = Duration::from_secs(30);
/// How long transfers may go on after the end was asked for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after a failure to accept, for example because there are too many open files.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);
const HEADER_LIMIT: usize = 32 << 10;
const HEADER_LIST_LIMIT: u32 = 32 << 10;
const STREAM_LIMIT: u32 = 128;
const FRAME: u32 = 1 << 20;
const SEND_BUFFER: usize = 2 << 20;

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
    serve(listener, Some(acceptor), router, shutdown).await
}

/// Serves plain HTTP on the listener until `shutdown` is ready; running transfers then have a few seconds to finish.
///
/// # Errors
///
/// [`Error::Accept`] when the listener breaks.
pub async fn serve_plain(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) -> Result<()> {
    serve(listener, None, router, shutdown).await
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
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAM_LIMIT)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST_LIMIT)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(router))
        .await
        .map_err(|source| Error::Stream { source })
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    let places = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
                connections.spawn(async move {
                    // A client that breaks off harms only itself.
                    let _ = connection(stream, acceptor, router, watcher).await;
                    drop(place);
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
    drop(listener);
    // Whatever is not done by then is cut off.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await;
    connections.shutdown().await;
    Ok(())
}

/// Waits until there is room for another connection, then for the connection.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let service = Watched { service: TowerToHyperService::new(router), begun: Arc::default() };
    let begun = service.begun.clone();
    let builder = builder();
    let served = async {
        match acceptor {
            None => watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await,
            Some(acceptor) => {
                let stream = acceptor.accept(stream).await?;
                watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await
            }
        }
    };
    tokio::select! {
        served = served => served,
        () = stalled(&begun) => Err("no request came".into()),
    }
}

/// Ready when no request has begun in time; never when one has.
async fn stalled(begun: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if begun.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Remembers that a request has come.
#[derive(Clone)]
struct Watched {
    service: TowerToHyperService<Router>,
    begun: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Watched {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.begun.store(true, Ordering::Relaxed);
        self.service.call(request)
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEADER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAM_LIMIT)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST_LIMIT)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Failures of one connection, or of a moment.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}

//! Servers that the probes are tried on.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server on loopback; gone when dropped, like a process that was killed.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves each raw connection, numbered from 0.
    pub(crate) async fn raw(serve: impl Fn(TcpStream, usize) -> Serving + Send + 'static) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), serve).await
    }

    pub(crate) async fn at(address: SocketAddr, serve: impl Fn(TcpStream, usize) -> Serving + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serving.spawn(serve(stream, counter.fetch_add(1, Ordering::SeqCst)));
                while serving.try_join_next().is_some() {}
            }
        });
        Self { address, connections, accepting }
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(crate) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::raw(move |stream, _| Box::pin(answer_all(stream, bytes.clone()))).await
    }

    /// Answers the first request with these bytes and closes the connection.
    pub(crate) async fn closing(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::raw(move |mut stream, _| {
            let bytes = bytes.clone();
            Box::pin(async move {
                request(&mut stream).await;
                let _ = stream.write_all(&bytes).await;
            })
        })
        .await
    }

    /// Answers 200 over TLS.
    pub(crate) async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::raw(move |stream, _| {
            let acceptor = acceptor.clone();
            Box::pin(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_all(stream, OK.to_vec()).await;
                }
            })
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Dies at once; the address stays free for another server.
    pub(crate) async fn kill(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads one request without a body; false when the client has gone.
pub(crate) async fn request(stream: &mut impl Stream) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return false,
        }
    }
    true
}

pub(crate) async fn answer_all(mut stream: impl Stream, bytes: Vec<u8>) {
    while request(&mut stream).await {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Ends when the client has closed the connection.
pub(crate) async fn until_closed(stream: &mut impl Stream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

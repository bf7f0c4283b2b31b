//! Checks whether a server accepts TCP connections.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::pool::{Connection, ConnectionPool};
use super::{Probe, Unhealthy, port};

/// A kept connection older than this is replaced by a newer one.
const REFRESH_AFTER: Duration = Duration::from_secs(30);
/// A server that sends more than this unrequested is not listened to any more.
const MAX_UNREQUESTED: u64 = 64 * 1024;

/// Asks servers whether they accept TCP connections; nothing is sent.
///
/// Each check opens a connection. One is left open for as long as the server bears it: when the server dies, its
/// kernel closes it, and [`Probe::alarm`] ends.
#[derive(Debug, Default)]
pub struct TcpProbe {
    pool: ConnectionPool<()>,
}

impl TcpProbe {
    /// A probe without any connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Probe for TcpProbe {
    async fn check(&self, server: SocketAddr) -> Result<(), Unhealthy> {
        let stream = port::connect(server).await?;
        let kept = self.pool.take(server, REFRESH_AFTER);
        self.pool.keep(server, kept.unwrap_or_else(|| Connection::open((), until_closed(stream))));
        Ok(())
    }

    async fn alarm(&self, server: SocketAddr) {
        self.pool.closed(server).await;
    }
}

/// Reads until the server closes the connection; false when it says too much.
async fn until_closed(stream: TcpStream) -> bool {
    let mut limited = stream.take(MAX_UNREQUESTED);
    // A failure to read is an end, too.
    let _ = tokio::io::copy(&mut limited, &mut tokio::io::sink()).await;
    limited.limit() > 0
}

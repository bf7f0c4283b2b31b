//! Does a server accept TCP connections?

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::connection::Connection;
use super::kept::Kept;
use super::{Probe, Unhealthy};

/// A kept connection older than this is replaced by a newer one.
const REFRESH_AFTER: Duration = Duration::from_secs(30);

/// Asks servers whether they accept TCP connections; nothing is sent.
///
/// Each check opens a connection. One is left open for as long as the server bears it: when the server dies, its
/// kernel closes it, and [`Probe::alarm`] ends.
#[derive(Debug, Default)]
pub struct TcpProbe {
    kept: Kept,
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
        let seat = self.kept.seat(server);
        match Connection::open(server, None).await {
            Ok(connection) => {
                seat.alive_afresh();
                if seat.is_watched() && !seat.has(REFRESH_AFTER) {
                    seat.keep(connection);
                }
                Ok(())
            }
            Err(unhealthy) => {
                seat.dead();
                Err(unhealthy)
            }
        }
    }

    async fn alarm(&self, server: SocketAddr) {
        self.kept.seat(server).alarm().await;
    }

    fn forget(&self, server: SocketAddr) {
        self.kept.forget(server);
    }
}

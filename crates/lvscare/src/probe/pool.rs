//! Keeps one open connection per server between checks, and tells when the server closes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::metered::Allowance;

/// What asks a server over one connection; nothing does where the connection is all that is wanted.
type Asker = Option<(SendRequest<Full<Bytes>>, Request<Full<Bytes>>)>;

/// The connections kept between checks.
#[derive(Debug, Default)]
pub(super) struct ConnectionPool(Mutex<BTreeMap<SocketAddr, Connection>>);

/// An open connection; closed when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) asker: Asker,
    pub(super) allowance: Allowance,
    opened: Instant,
    closed_by_server: watch::Receiver<bool>,
    /// What reads from the connection and notices its end.
    task: AbortOnDropHandle<()>,
}

impl Connection {
    /// A connection whose end `running` waits for; it returns whether the server ended it, and not this side.
    pub(super) fn open(
        asker: Asker,
        allowance: Allowance,
        running: impl Future<Output = bool> + Send + 'static,
    ) -> Self {
        let (closed, closed_by_server) = watch::channel(false);
        let task = tokio::spawn(async move {
            closed.send_replace(running.await);
        });
        let task = AbortOnDropHandle::new(task);
        Self { asker, allowance, opened: Instant::now(), closed_by_server, task }
    }
}

impl ConnectionPool {
    /// Takes the connection to this server for a check, if there is one younger than `oldest`.
    pub(super) fn take(&self, server: SocketAddr, oldest: Duration) -> Option<Connection> {
        let kept = self.connections().remove(&server);
        kept.filter(|kept| kept.opened.elapsed() < oldest && !kept.task.is_finished())
    }

    /// Keeps a connection on which the server answered, until the next check.
    pub(super) fn keep(&self, server: SocketAddr, connection: Connection) {
        self.connections().insert(server, connection);
    }

    /// Ends when the server has closed the connection that is kept for it now, once.
    pub(super) async fn closed(&self, server: SocketAddr) {
        let kept = self.connections().get(&server).map(|kept| kept.closed_by_server.clone());
        if let Some(mut closed) = kept
            && closed.wait_for(|closed| *closed).await.is_ok()
        {
            self.connections().remove(&server);
            return;
        }
        std::future::pending().await
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_are_replaced_in_time() {
        let pool = ConnectionPool::default();
        let server = SocketAddr::from(([10, 0, 0, 1], 6443));
        let oldest = Duration::from_secs(30);
        pool.keep(server, Connection::open(None, Allowance::default(), std::future::pending()));
        tokio::time::sleep(Duration::from_secs(29)).await;
        let kept = pool.take(server, oldest).expect("it is young enough");
        assert!(pool.take(server, oldest).is_none(), "it was taken");
        pool.keep(server, kept);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(pool.take(server, oldest).is_none(), "it is too old");
    }
}

//! Keeps one open connection per server between checks, and tells when the server closes it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A server that closed its connection and was found healthy right afterwards closes idle connections: its closing says
/// nothing for so long.
const MUTED: Duration = Duration::from_secs(60);

/// The connections kept between checks; `C` is what a request is sent with.
#[derive(Debug)]
pub(super) struct ConnectionPool<C>(Mutex<HashMap<SocketAddr, Slot<C>>>);

/// What is known of one server.
#[derive(Debug)]
struct Slot<C> {
    kept: Option<Connection<C>>,
    /// The closing of its connection raised an alarm, and it was not asked since.
    alarmed: bool,
    muted_until: Option<Instant>,
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub(super) struct Connection<C> {
    pub(super) sender: C,
    opened: Instant,
    closed_by_server: watch::Receiver<bool>,
    /// What reads from the connection and notices its end.
    task: AbortOnDropHandle<()>,
}

impl<C> Connection<C> {
    /// A connection whose end `running` waits for; it returns whether the server ended it, and not this side.
    pub(super) fn open(sender: C, running: impl Future<Output = bool> + Send + 'static) -> Self {
        let (closed, closed_by_server) = watch::channel(false);
        let task = tokio::spawn(async move {
            closed.send_replace(running.await);
        });
        Self { sender, opened: Instant::now(), closed_by_server, task: AbortOnDropHandle::new(task) }
    }

    fn is_usable(&self, oldest: Duration) -> bool {
        self.opened.elapsed() < oldest && !self.task.is_finished()
    }
}

impl<C> Default for ConnectionPool<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> ConnectionPool<C> {
    /// Takes the connection to this server for a check, if there is one younger than `oldest`.
    pub(super) fn take(&self, server: SocketAddr, oldest: Duration) -> Option<Connection<C>> {
        self.with(server, |slot| slot.kept.take().filter(|kept| kept.is_usable(oldest)))
    }

    /// Keeps a connection on which the server answered, until the next check.
    pub(super) fn keep(&self, server: SocketAddr, connection: Connection<C>) {
        self.with(server, |slot| slot.kept = Some(connection));
    }

    /// The server answered a check, or failed it. When it closed its connection before, that meant something only if it
    /// fails now.
    pub(super) fn checked(&self, server: SocketAddr, answered: bool) {
        self.with(server, |slot| {
            if std::mem::take(&mut slot.alarmed) && answered {
                slot.muted_until = Some(Instant::now() + MUTED);
            }
        });
    }

    /// Ends when the server has closed the connection that is kept for it now.
    pub(super) async fn closed(&self, server: SocketAddr) {
        let kept = self.with(server, |slot| {
            let muted = slot.muted_until.is_some_and(|until| Instant::now() < until);
            slot.kept.as_ref().filter(|_| !muted).map(|kept| kept.closed_by_server.clone())
        });
        if let Some(mut closed) = kept
            && closed.wait_for(|closed| *closed).await.is_ok()
        {
            self.with(server, |slot| (slot.kept, slot.alarmed) = (None, true));
            return;
        }
        std::future::pending().await
    }

    /// Closes what is kept for this server.
    pub(super) fn forget(&self, server: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
    }

    fn with<T>(&self, server: SocketAddr, act: impl FnOnce(&mut Slot<C>) -> T) -> T {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(slots.entry(server).or_insert_with(|| Slot { kept: None, alarmed: false, muted_until: None }))
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
        pool.keep(server, Connection::open((), std::future::pending()));
        tokio::time::sleep(Duration::from_secs(29)).await;
        let kept = pool.take(server, oldest).expect("it is young enough");
        assert!(pool.take(server, oldest).is_none(), "it was taken");
        pool.keep(server, kept);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(pool.take(server, oldest).is_none(), "it is too old");
    }
}

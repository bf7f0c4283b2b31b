//! Keeps one open connection per server between checks, and tells when the server closes it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A server that closed its connection and was found healthy right afterwards closes idle connections: its closing says
/// nothing for so long.
const MUTED: Duration = Duration::from_secs(60);

/// The connections kept between checks; `C` is what a request is sent with.
#[derive(Debug)]
pub(super) struct ConnectionPool<C>(Mutex<HashMap<SocketAddr, Arc<Slot<C>>>>);

/// The place of one server's connection.
#[derive(Debug)]
pub(super) struct Slot<C> {
    state: Mutex<State<C>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<C> {
    kept: Option<Connection<C>>,
    next_id: u64,
    /// The server closed the kept connection, and was not asked since.
    closed: bool,
    /// Somebody was told of that, and the server was not asked since.
    told: bool,
    muted_until: Option<Instant>,
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub(super) struct Connection<C> {
    pub(super) sender: C,
    id: u64,
    opened: Instant,
    /// What reads from the connection and notices its end.
    task: AbortOnDropHandle<()>,
}

impl<C> Default for ConnectionPool<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Send + 'static> ConnectionPool<C> {
    /// The place for this server.
    pub(super) fn slot(&self, server: SocketAddr) -> Arc<Slot<C>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(server).or_insert_with(|| Arc::new(Slot::new())))
    }

    /// Closes what is kept for this server.
    pub(super) fn forget(&self, server: SocketAddr) {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
        if let Some(slot) = slot {
            let mut state = slot.lock();
            (state.kept, state.closed) = (None, false);
        }
    }
}

impl<C: Send + 'static> Slot<C> {
    fn new() -> Self {
        let state = State { kept: None, next_id: 0, closed: false, told: false, muted_until: None };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// A connection whose end `running` waits for; it returns whether the server ended it, and not this side.
    pub(super) fn open(
        self: &Arc<Self>,
        sender: C,
        running: impl Future<Output = bool> + Send + 'static,
    ) -> Connection<C> {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let slot = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            let by_server = running.await;
            if let Some(slot) = slot.upgrade() {
                slot.ended(id, by_server);
            }
        });
        Connection { sender, id, opened: Instant::now(), task: AbortOnDropHandle::new(task) }
    }

    /// Takes the kept connection for a check, if there is one younger than `oldest`.
    pub(super) fn take(&self, oldest: Duration) -> Option<Connection<C>> {
        let mut state = self.lock();
        state.closed = false;
        state.kept.take().filter(|kept| kept.opened.elapsed() < oldest && !kept.task.is_finished())
    }

    /// Whether a connection younger than `oldest` is kept; it stays.
    pub(super) fn has(&self, oldest: Duration) -> bool {
        self.lock().kept.as_ref().is_some_and(|kept| kept.opened.elapsed() < oldest)
    }

    /// Keeps a connection on which the server answered, until the next check.
    pub(super) fn keep(&self, connection: Connection<C>) {
        let (id, finished) = (connection.id, connection.task.is_finished());
        self.lock().kept = Some(connection);
        if finished {
            self.ended(id, true);
        }
    }

    /// The server answered a check.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.told) {
            state.muted_until = Some(Instant::now() + MUTED);
        }
    }

    /// The server did not answer a check: its closing meant something.
    pub(super) fn failed(&self) {
        self.lock().told = false;
    }

    /// Ends when the server has closed the connection that is kept for it.
    pub(super) async fn closed(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                let muted = state.muted_until.is_some_and(|until| Instant::now() < until);
                if std::mem::take(&mut state.closed) && !muted {
                    state.told = true;
                    return;
                }
            }
            changed.await;
        }
    }

    fn ended(&self, id: u64, by_server: bool) {
        let mut state = self.lock();
        if state.kept.take_if(|kept| kept.id == id).is_some() && by_server {
            state.closed = true;
            self.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Which connection is kept for a server, and did the server just close it?

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connection::{Connection, Idle};

/// Alarms about one server are at least this far apart.
const ALARM_GAP: Duration = Duration::from_millis(100);

/// A connection that is closed sooner than this after it was made was closed early.
const EARLY: Duration = Duration::from_secs(2);

/// After so many early ends in a row of a server that answers all the same, closing early is its habit.
const HABIT: u8 = 3;

/// For so long a server with that habit is not watched.
const UNWATCHED: Duration = Duration::from_secs(60);

/// The connections kept between checks.
#[derive(Debug, Default)]
pub(super) struct Kept {
    seats: Mutex<HashMap<SocketAddr, Arc<Seat>>>,
}

/// The place of one server's connection.
#[derive(Debug, Default)]
pub(super) struct Seat {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    /// An alarm that is to go off then.
    due: Option<Instant>,
    /// When the last alarm was, or will be.
    alarmed: Option<Instant>,
    /// The last kept connection ended early.
    early: bool,
    /// How many in a row did.
    habit: u8,
    unwatched_until: Option<Instant>,
    hedge_from: Option<Instant>,
}

impl Kept {
    /// The place for this server.
    pub(super) fn seat(&self, server: SocketAddr) -> Arc<Seat> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seats.entry(server).or_default())
    }

    /// Closes what is kept for this server.
    pub(super) fn forget(&self, server: SocketAddr) {
        let seat = self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
        if let Some(seat) = seat {
            *seat.lock() = State::default();
            seat.changed.notify_waiters();
        }
    }
}

impl Seat {
    /// Takes the connection for an exchange, if there is one younger than `oldest` that the server has not ended.
    pub(super) fn take(&self, oldest: Duration) -> Option<Connection> {
        let mut state = self.lock();
        // Whoever takes is about to find out what an alarm would ask for.
        state.due = None;
        let mut connection = state.connection.take()?;
        self.changed.notify_waiters();
        let idle = connection.idle();
        if idle == Idle::Ended {
            state.learn_end(connection.made());
        }
        (idle == Idle::Quiet && connection.is_clean() && connection.made().elapsed() < oldest).then_some(connection)
    }

    /// Whether a connection is kept that is younger than `oldest`; it stays.
    pub(super) fn has(&self, oldest: Duration) -> bool {
        self.lock().connection.as_ref().is_some_and(|connection| connection.made().elapsed() < oldest)
    }

    /// Keeps a connection on which the server answered, until the next check.
    pub(super) fn keep(&self, connection: Connection) {
        let mut state = self.lock();
        state.due = None;
        state.connection = Some(connection);
        self.changed.notify_waiters();
    }

    /// A fresh connection found the server alive.
    pub(super) fn alive_afresh(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.early) {
            state.habit += 1;
            if state.habit >= HABIT {
                state.habit = 0;
                state.unwatched_until = Some(Instant::now() + UNWATCHED);
            }
        }
    }

    /// The server did not answer: what it closed before was not out of habit.
    pub(super) fn dead(&self) {
        let mut state = self.lock();
        state.early = false;
        state.habit = 0;
    }

    /// Whether alarms of this server mean something.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().is_watched()
    }

    /// Whether a fresh connection may be tried beside a slow one.
    pub(super) fn may_hedge(&self) -> bool {
        self.lock().hedge_from.is_none_or(|from| Instant::now() >= from)
    }

    /// Trying a fresh connection was in vain, the server is just slow: do not double its load for so long.
    pub(super) fn hedge_not_before(&self, from: Instant) {
        self.lock().hedge_from = Some(from);
    }

    /// Ends when the server has ended the connection that is kept for it.
    pub(super) async fn alarm(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.watched() {
                Watched::Nothing => changed.await,
                Watched::Due(due) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => if self.goes_off(due) { return },
                },
                Watched::Socket(socket) => tokio::select! {
                    () = changed => {}
                    // An error here is one of the socket, which `examine` then finds.
                    _ = socket.readable() => self.examine(&socket),
                },
            }
        }
    }

    fn watched(&self) -> Watched {
        let state = self.lock();
        match (&state.due, &state.connection) {
            (Some(due), _) => Watched::Due(*due),
            (None, Some(connection)) if state.is_watched() => Watched::Socket(Arc::clone(connection.socket())),
            _ => Watched::Nothing,
        }
    }

    /// Whether the alarm that was due then still is; not any more afterwards.
    fn goes_off(&self, due: Instant) -> bool {
        let mut state = self.lock();
        let is_due = state.due == Some(due);
        if is_due {
            state.due = None;
        }
        is_due
    }

    /// Something happened on the socket: sets the alarm when the server ended the connection.
    fn examine(&self, socket: &Arc<TcpStream>) {
        let mut state = self.lock();
        let Some(connection) = state.connection.as_mut().filter(|kept| Arc::ptr_eq(kept.socket(), socket)) else {
            return;
        };
        let idle = connection.idle();
        let made = connection.made();
        if idle == Idle::Quiet {
            return;
        }
        state.connection = None;
        if idle == Idle::Ended {
            state.learn_end(made);
            let now = Instant::now();
            let due = state.alarmed.map_or(now, |last| (last + ALARM_GAP).max(now));
            state.alarmed = Some(due);
            state.due = Some(due);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Watched {
    Nothing,
    Due(Instant),
    Socket(Arc<TcpStream>),
}

impl State {
    fn learn_end(&mut self, made: Instant) {
        self.early = made.elapsed() < EARLY;
        if !self.early {
            self.habit = 0;
        }
    }

    fn is_watched(&self) -> bool {
        self.unwatched_until.is_none_or(|until| Instant::now() >= until)
    }
}

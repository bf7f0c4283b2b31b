//! What is under way for one server, and when is it asked out of turn?

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::Unhealthy;

/// After an alarm the next one is heeded no sooner than this, and twice as late after each further one, up to the
/// interval: a server that closes every connection must not be asked without end.
const BETWEEN_ALARMS: Duration = Duration::from_millis(50);
/// After so long without an alarm the next one is heeded at once again.
const ALARMS_FORGOTTEN: Duration = Duration::from_secs(10);

/// All that is waited for.
pub(super) type Waiting = FuturesUnordered<Abortable<BoxFuture<'static, Signal>>>;

/// What is under way for one server.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) check: Option<Pending>,
    pub(super) alarm: Option<Pending>,
    /// When to check out of turn.
    pub(super) due: Option<Instant>,
    alarms: u32,
    /// When the next alarm is heeded.
    deaf_until: Option<Instant>,
}

impl Watched {
    /// A server that is to be asked now.
    pub(super) fn due(now: Instant) -> Self {
        Self { due: Some(now), ..Self::default() }
    }

    /// An alarm came: it is heeded now, or later when there were many.
    pub(super) fn heed_alarm(&mut self, now: Instant, interval: Duration) {
        self.alarm = None;
        if self.deaf_until.is_some_and(|until| now > until + ALARMS_FORGOTTEN) {
            (self.alarms, self.deaf_until) = (0, None);
        }
        let heeded = self.deaf_until.map_or(now, |until| until.max(now));
        self.due = Some(self.due.map_or(heeded, |due| due.min(heeded)));
        self.deaf_until = Some(heeded + BETWEEN_ALARMS.saturating_mul(1 << self.alarms.min(8)).min(interval));
        self.alarms += 1;
    }
}

/// Ends what is under way when dropped.
pub(super) struct Pending(AbortHandle);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is heard of a server.
pub(super) enum Signal {
    Answer(SocketAddr, Result<(), Unhealthy>, Duration),
    Alarm(SocketAddr),
}

/// Puts `doing` among what is waited for.
pub(super) fn pending(waiting: &Waiting, doing: impl Future<Output = Signal> + Send + 'static) -> Pending {
    let (handle, registration) = AbortHandle::new_pair();
    let doing: BoxFuture<'static, Signal> = Box::pin(doing);
    waiting.push(Abortable::new(doing, registration));
    Pending(handle)
}

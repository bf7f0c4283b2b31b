//! Holds what a provider works with besides the cluster: a directory, a listener, a way to be cancelled.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Error, ProviderEvent, Result};

/// Is told what a provider does; it must not block.
pub type Events<'a> = &'a (dyn Fn(ProviderEvent) + Send + Sync);

/// The surroundings of one call of a [`Provider`](crate::Provider).
#[derive(Clone)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The cluster's state directory: log-in keys and the provider's own records are kept there.
    pub state_dir: &'a Path,
    /// Is told what happens.
    pub events: Events<'a>,
    /// Ends the call early: it is checked before every request and during every wait. A request that was sent is
    /// awaited first, so that its answer is not lost.
    pub cancel: CancellationToken,
}

impl<'a> Context<'a> {
    /// A context that is never cancelled.
    #[must_use]
    pub fn new(state_dir: &'a Path, events: Events<'a>) -> Self {
        Self { state_dir, events, cancel: CancellationToken::new() }
    }

    /// The same context, cancelled by `cancel`.
    #[must_use]
    pub fn with_cancel(self, cancel: &CancellationToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Reports an event.
    pub fn tell(&self, event: ProviderEvent) {
        (self.events)(event);
    }

    /// Fails once the call is cancelled.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Sleeps for `time`.
    ///
    /// # Errors
    /// [`Error::Cancelled`], at once when the call is cancelled.
    pub async fn sleep(&self, time: Duration) -> Result<()> {
        self.cancel.run_until_cancelled(tokio::time::sleep(time)).await.ok_or(Error::Cancelled)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

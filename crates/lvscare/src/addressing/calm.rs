//! Is it known, without asking the kernel, that an address is still usable?

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What no message tells, such as a better way to the servers, is found after this time.
const LONGEST: Duration = Duration::from_secs(5);

/// The memory of what was found while the kernel's messages about changes are listened to.
#[derive(Debug, Default)]
pub(super) struct Calm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Grows whenever something may have been missed.
    era: u64,
    listening: bool,
    found: Option<(Instant, IpAddr, Vec<SocketAddr>)>,
}

/// Listening, until dropped.
#[derive(Debug)]
pub(super) struct Ears<'a>(&'a Calm);

impl Calm {
    /// Whether all was right lately and nothing was heard since.
    pub(super) fn holds(&self, service: IpAddr, servers: &[SocketAddr]) -> bool {
        self.state().found.as_ref().is_some_and(|(when, address, reached)| {
            when.elapsed() < LONGEST && *address == service && reached == servers
        })
    }

    /// To be asked before the kernel is.
    pub(super) fn beginning(&self) -> Option<u64> {
        let state = self.state();
        state.listening.then_some(state.era)
    }

    /// All was right; this counts when the listening began before the asking, and nothing was heard meanwhile.
    pub(super) fn found(&self, before: Option<u64>, service: IpAddr, servers: &[SocketAddr]) {
        let mut state = self.state();
        if before == Some(state.era) {
            state.found = Some((Instant::now(), service, servers.to_vec()));
        }
    }

    /// Nothing is known any more.
    pub(super) fn end(&self) {
        let mut state = self.state();
        *state = State { era: state.era + 1, listening: state.listening, found: None };
    }

    /// Ears that are not open yet.
    pub(super) fn ears(&self) -> Ears<'_> {
        Ears(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ears<'_> {
    /// From now on nothing is missed.
    pub(super) fn open(&self) {
        self.0.state().listening = true;
    }
}

impl Drop for Ears<'_> {
    fn drop(&mut self) {
        self.0.end();
        self.0.state().listening = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_was_found_while_listening_counts() {
        let (calm, service, servers) = (Calm::default(), "10.1.1.1".parse().unwrap(), ["10.1.1.2:1".parse().unwrap()]);
        calm.found(calm.beginning(), service, &servers);
        assert!(!calm.holds(service, &servers), "nobody listens");
        let ears = calm.ears();
        let too_early = calm.beginning();
        ears.open();
        calm.found(too_early, service, &servers);
        assert!(!calm.holds(service, &servers), "it was asked before anybody listened");
        calm.found(calm.beginning(), service, &servers);
        assert!(calm.holds(service, &servers) && !calm.holds(service, &[]));
        tokio::time::advance(LONGEST).await;
        assert!(!calm.holds(service, &servers), "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_heard_ends_it() {
        let (calm, service) = (Calm::default(), "10.1.1.1".parse().unwrap());
        let ears = calm.ears();
        ears.open();
        let before = calm.beginning();
        drop(ears);
        calm.found(before, service, &[]);
        assert!(!calm.holds(service, &[]), "it was heard while it was asked");
        let ears = calm.ears();
        ears.open();
        calm.found(calm.beginning(), service, &[]);
        assert!(calm.holds(service, &[]));
        drop(ears);
        assert!(!calm.holds(service, &[]) && calm.beginning().is_none());
    }
}

//! Do the last answers of a server make it "up" or "down"?

use std::time::Duration;

use tokio::time::Instant;

use crate::{HealthPolicy, Unhealthy};

/// What is known about one server's health; a pure state machine fed with answers.
#[derive(Debug, Clone)]
pub struct Health {
    up: bool,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The server counts as healthy from now on.
    Up,
    /// The server counts as dead from now on, for this reason.
    Down(Unhealthy),
}

impl Health {
    /// A server that is presumed up or down until answers say otherwise.
    #[must_use]
    pub fn presumed(up: bool) -> Self {
        Self { up }
    }

    /// Whether the server counts as healthy.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Takes one answer in.
    pub fn record(&mut self, _answer: Result<(), Unhealthy>, _now: Instant, _policy: &HealthPolicy) -> Option<Transition> {
        None
    }

    /// How long to wait before the next check.
    #[must_use]
    pub fn next_check(&self, policy: &HealthPolicy) -> Duration {
        policy.interval
    }
}

//! The events that the guard tells while it runs.

use std::net::SocketAddr;

/// A change worth a line; nothing is told while nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The guard runs and the kernel's rules are as they should be.
    Started {
        /// The virtual address.
        service: SocketAddr,
        /// How many servers are in, of how many.
        healthy: usize,
        /// How many servers there are.
        servers: usize,
    },
    /// A server was taken out.
    Down {
        /// The server.
        server: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A server came back.
    Up {
        /// The server.
        server: SocketAddr,
    },
    /// Every server looks dead: the last good set stays in.
    AllDown {
        /// How many stay in.
        kept: usize,
    },
    /// Somebody else had changed the rules; they were put right.
    Repaired {
        /// How many changes it took.
        changes: usize,
    },
    /// The wanted servers were changed.
    Reloaded {
        /// Servers that came.
        added: Vec<SocketAddr>,
        /// Servers that left.
        removed: Vec<SocketAddr>,
    },
    /// A configuration that was changed cannot be used; the one before it stays.
    ConfigRefused {
        /// Why.
        reason: String,
    },
    /// The rules could not be read or changed; tried again at every tick, told once.
    Failed {
        /// Why.
        reason: String,
    },
    /// The rules are right, but something beside them could not be done; tried again at every tick, told once.
    Degraded {
        /// What, and why.
        reason: String,
    },
    /// The rules can be read and changed again.
    Recovered,
}

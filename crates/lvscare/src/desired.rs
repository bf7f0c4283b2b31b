//! What is wanted of the guard: which servers, and how is their health judged?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::Service;

/// A virtual service, the servers behind it, and how their health is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The virtual service.
    pub service: Service,
    /// The servers and their weights when healthy.
    pub servers: BTreeMap<SocketAddr, u16>,
    /// How health is judged.
    pub health: HealthPolicy,
}

/// When a server is asked, and how many answers change its state.
///
/// The defaults find a server that refuses connections at once, and one that no longer answers in less than a second
/// (one interval with its jitter, plus the time-out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    /// From the start of one check of a server to the start of the next.
    pub interval: Duration,
    /// Each interval is longer or shorter by up to this many per cent (at most 50), so that guards do not march in step.
    pub jitter_percent: u8,
    /// How long one check may take.
    pub timeout: Duration,
    /// So many good checks in a row bring a server back.
    pub rise: u32,
    /// So many failed checks in a row take a server out.
    pub fall: u32,
}

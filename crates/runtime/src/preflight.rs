//! Which of the observed facts stand in the way, and what mends them?

use std::net::IpAddr;

use serde::Serialize;

use crate::{Facts, Payload};

/// Something that stands in the way, found before anything was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The host concerned.
    pub host: IpAddr,
    /// What was found, for example "port 10250 is in use by `kubelet` (pid 812)".
    pub problem: String,
    /// What to do about it: a command or a short sentence.
    pub fix: String,
}

/// All findings on all hosts that join, most hindering first per host.
#[must_use]
pub fn preflight(change: &clusterfile::Change, facts: &Facts, payload: &Payload<'_>) -> Vec<Finding> {
    let _ = (change, facts, payload);
    Vec::new()
}

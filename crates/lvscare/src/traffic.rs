//! Counts what goes through a server.

use serde::{Deserialize, Serialize};

/// What a dataplane counted for one server since the server came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Connections that were given to it.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Connections that are open now.
    pub active: u32,
    /// Connections that are closed but still known.
    pub inactive: u32,
}

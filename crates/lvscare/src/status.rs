//! The status of the servers of a virtual service, and what goes through them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Scheduler;

/// A virtual service and its servers at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The virtual address.
    pub service: SocketAddr,
    /// How a server is chosen for a new connection.
    pub scheduler: Scheduler,
    /// The dataplane's name.
    pub dataplane: String,
    /// The servers in the order of their addresses.
    pub servers: Vec<ServerStatus>,
    /// Whether all look dead, so that the last good set stays in.
    pub all_down: bool,
    /// How many rounds of checks were begun; grows while the guard lives.
    pub rounds: u64,
    /// How often rules that others had changed were put right.
    pub repairs: u64,
    /// How often the rules could not be read or changed.
    pub errors: u64,
    /// Why the rules cannot be read or changed just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// One server at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The server.
    pub server: SocketAddr,
    /// Its weight when healthy.
    pub weight: u16,
    /// Whether it counts as healthy.
    pub state: ServerState,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how many seconds it has been in this state.
    pub seconds: f64,
    /// How often it was checked.
    pub checks: u64,
    /// How many checks failed.
    pub failures: u64,
    /// How often its state changed.
    pub transitions: u64,
    /// How many seconds the last check took; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_seconds: Option<f64>,
    /// How many seconds all checks took together.
    pub check_seconds: f64,
}

/// Whether a server counts as healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// It was not checked yet.
    Unknown,
    /// It does.
    Up,
    /// It does not.
    Down,
}

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

impl Status {
    /// How many servers count as healthy.
    pub fn healthy(&self) -> usize {
        self.servers.iter().filter(|server| server.state == ServerState::Up).count()
    }
}

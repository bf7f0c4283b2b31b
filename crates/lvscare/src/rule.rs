//! Load-balancing rules, whichever part of the kernel holds them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// A virtual TCP address that the kernel balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The virtual address and port.
    pub address: SocketAddr,
    /// How a server is chosen for a new connection.
    pub scheduler: Scheduler,
}

/// How a server is chosen for a new connection; the names are those of IPVS (`ipvsadm(8)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown)]
#[non_exhaustive]
pub enum Scheduler {
    /// One after the other.
    #[default]
    Rr,
    /// One after the other, heavier ones more often.
    Wrr,
    /// The one with the fewest connections.
    Lc,
    /// The one with the fewest connections for its weight.
    Wlc,
    /// By the client's address.
    Sh,
    /// By the virtual address.
    Dh,
    /// Some other way that another program asked for; never wanted here.
    #[serde(skip_deserializing)]
    Other,
}

impl Scheduler {
    /// All that can be wanted.
    pub const ALL: [Self; 6] = [Self::Rr, Self::Wrr, Self::Lc, Self::Wlc, Self::Sh, Self::Dh];
}

fn unknown(name: &str) -> String {
    format!("unknown scheduler {name}; known are rr, wrr, lc, wlc, sh, dh")
}

/// The weight of a server to which another program has packets go in another way, or of which it limits the connections;
/// never wanted here.
pub const FOREIGN: u32 = u32::MAX;

/// A virtual service with its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The virtual service.
    pub service: Service,
    /// Its servers and their weights: their shares of new connections. A server of weight 0 gets none but keeps those that
    /// it has.
    pub servers: BTreeMap<SocketAddr, u32>,
}

/// One change of the kernel's rules for one virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make the virtual service, or change its scheduler.
    SetService(Service),
    /// Add a server, or change its weight or way of forwarding; its connections stay.
    SetServer(SocketAddr, u32),
    /// Take a server out.
    RemoveServer(SocketAddr),
}

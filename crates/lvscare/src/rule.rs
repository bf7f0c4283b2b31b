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

/// How packets reach a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forward {
    /// The destination address is rewritten (network address translation).
    #[default]
    Masquerade,
    /// Something else that another program asked for; never wanted here.
    Other,
}

/// One server as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Its share of new connections; 0 gives it none but keeps those it has.
    pub weight: u16,
    /// How packets reach it.
    pub forward: Forward,
}

impl Server {
    /// A server reached by masquerading, with this weight.
    #[must_use]
    pub fn of(weight: u16) -> Self {
        Self { weight, forward: Forward::Masquerade }
    }
}

/// A virtual service with its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The virtual service.
    pub service: Service,
    /// Its servers by address.
    pub servers: BTreeMap<SocketAddr, Server>,
}

/// One change of the kernel's rules for one virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make the virtual service.
    AddService(Service),
    /// Change the virtual service's scheduler.
    SetService(Service),
    /// Add a server.
    AddServer(SocketAddr, Server),
    /// Change a server's weight or way of forwarding; its connections stay.
    SetServer(SocketAddr, Server),
    /// Take a server out.
    RemoveServer(SocketAddr),
}

//! Load-balancing rules, whichever part of the kernel holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A virtual TCP address that the kernel balances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The virtual address and port.
    pub address: SocketAddr,
    /// How a server is chosen for a new connection.
    pub scheduler: Scheduler,
}

/// How a server is chosen for a new connection; the names are those of IPVS (`ipvsadm(8)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The kernel's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scheduler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|scheduler| scheduler.as_str() == text);
        known.ok_or_else(|| format!("unknown scheduler {text}; known are rr, wrr, lc, wlc, sh, dh"))
    }
}

/// How packets reach a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// The destination address is rewritten (network address translation).
    #[default]
    Masquerade,
    /// Something else that another program asked for; never wanted here.
    Other,
}

/// One server as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its share of new connections; 0 gives it none but keeps those it has.
    pub weight: u16,
    /// How packets reach it.
    #[serde(default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

//! How does the kernel's IP Virtual Server hold the rules?
//!
//! IPVS speaks generic netlink (`linux/ip_vs.h`). Reading takes one message for the service and one list of its
//! servers over one open socket; each change is one message that the kernel acknowledges. Other services, other
//! protocols and firewall marks are neither read nor touched.

mod answer;
mod attribute;
mod connections;
#[cfg(test)]
mod golden;
mod module;
mod plane;
mod refusal;
mod request;
mod socket;

use std::time::Duration;

pub use plane::Ipvs;

/// Kernel settings (below `/proc/sys`) that the rules rely on.
///
/// Without the first, connections to a server that left stay until they time out; with it the kernel forgets them at
/// once or at their next packet, and the client hears a reset. The second lets firewalls follow balanced connections.
pub(crate) const SYSCTLS: [(&str, &str); 2] = [("net/ipv4/vs/expire_nodest_conn", "1"), ("net/ipv4/vs/conntrack", "1")];

/// What IPVS says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Info {
    /// Version of the kernel's IPVS: major, minor, patch.
    pub version: [u8; 3],
    /// Slots of its table of connections.
    pub connection_table_size: u32,
}

/// How long IPVS remembers silent connections, in whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: Duration,
    /// TCP connections that are being closed.
    pub tcp_fin: Duration,
    /// UDP exchanges.
    pub udp: Duration,
}

//! Balances by the kernel's IP Virtual Server.
//!
//! IPVS speaks generic netlink (`linux/ip_vs.h`). Reading takes one message for the service and one list of its
//! servers over one open socket; each change is one message that the kernel acknowledges. Other services, other
//! protocols and firewall marks are neither read nor touched.

mod connections;
#[cfg(test)]
mod golden_tests;
mod message;
mod plane;

pub use plane::Ipvs;

/// Kernel settings (below `/proc/sys`) that the rules rely on.
///
/// Without the first, connections to a server that left stay until they time out; with it the kernel forgets them at
/// once or at their next packet, and the client hears a reset. The second lets firewalls follow balanced connections.
pub(crate) const SYSCTLS: [(&str, &str); 2] = [("net/ipv4/vs/expire_nodest_conn", "1"), ("net/ipv4/vs/conntrack", "1")];

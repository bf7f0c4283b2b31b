//! Numbers of IPVS's netlink messages.
//!
//! They are those of `linux/ip_vs.h` and of the policy tables in the kernel's `ip_vs_ctl.c`: addresses are 16 bytes for
//! both families, ports and IPv4 masks are big-endian, everything else has the machine's own order.

/// Commands (`IPVS_CMD_*`).
pub(super) mod command {
    pub(in super::super) const NEW_SERVICE: u8 = 1;
    pub(in super::super) const SET_SERVICE: u8 = 2;
    pub(in super::super) const DELETE_SERVICE: u8 = 3;
    pub(in super::super) const GET_SERVICE: u8 = 4;
    pub(in super::super) const NEW_SERVER: u8 = 5;
    pub(in super::super) const SET_SERVER: u8 = 6;
    pub(in super::super) const DELETE_SERVER: u8 = 7;
    pub(in super::super) const GET_SERVER: u8 = 8;
}

/// What a message is about (`IPVS_CMD_ATTR_*`).
pub(super) const SERVICE: u16 = 1;
pub(super) const SERVER: u16 = 2;

/// Attributes of a virtual service (`IPVS_SVC_ATTR_*`).
pub(super) mod service {
    pub(in super::super) const FAMILY: u16 = 1;
    pub(in super::super) const PROTOCOL: u16 = 2;
    pub(in super::super) const ADDRESS: u16 = 3;
    pub(in super::super) const PORT: u16 = 4;
    pub(in super::super) const FIREWALL_MARK: u16 = 5;
    pub(in super::super) const SCHEDULER: u16 = 6;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const TIMEOUT: u16 = 8;
    pub(in super::super) const NETMASK: u16 = 9;
    pub(in super::super) const PERSISTENCE_ENGINE: u16 = 11;
}

/// Attributes of a server (`IPVS_DEST_ATTR_*`).
pub(super) mod server {
    pub(in super::super) const ADDRESS: u16 = 1;
    pub(in super::super) const PORT: u16 = 2;
    pub(in super::super) const FORWARD: u16 = 3;
    pub(in super::super) const WEIGHT: u16 = 4;
    pub(in super::super) const UPPER_THRESHOLD: u16 = 5;
    pub(in super::super) const LOWER_THRESHOLD: u16 = 6;
    pub(in super::super) const ACTIVE: u16 = 7;
    pub(in super::super) const INACTIVE: u16 = 8;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const FAMILY: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
}

/// `IPPROTO_TCP`.
pub(super) const TCP: u16 = 6;
/// Forwarding by address translation (`IP_VS_CONN_F_MASQ`).
pub(super) const MASQUERADE: u32 = 0;
/// The kernel's own way to a server that is an address of this very host (`IP_VS_CONN_F_LOCALNODE`).
pub(super) const LOCAL: u32 = 1;
/// The kernel sets this flag on every service it holds (`IP_VS_SVC_F_HASHED`).
pub(super) const HASHED: u32 = 2;

//! Asks the kernel over netlink sockets.
//!
//! Messages about routes and links are those of `netlink-packet-route`. Those of netfilter, IPVS and `sock_diag` are
//! [`Packet`]s: netlink attributes, written and read by [`nla`].

mod failure;
pub(crate) mod nla;
mod packet;
mod socket;

pub(crate) use failure::{EXISTS, Failure, NO_SUCH, NOT_FOUND};
pub(crate) use netlink_packet_core::{
    DefaultNla as Attribute, NLM_F_ACK as ACK, NLM_F_APPEND as APPEND, NLM_F_CREATE as CREATE, NLM_F_DUMP as DUMP,
    NLM_F_EXCL as EXCLUSIVE, NLM_F_REPLACE as REPLACE,
};
pub(crate) use netlink_sys::protocols;
pub(crate) use packet::{Packet, Subsystem, family};
pub(crate) use socket::{Request, Socket};

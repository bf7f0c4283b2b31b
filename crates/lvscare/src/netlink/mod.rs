//! Asks the kernel over netlink sockets.
//!
//! A [`Message`] is a header and a body; bodies of netfilter and IPVS are trees of [`Attribute`]s, those about routes and
//! links are written and read by `netlink-packet-route`. A [`Socket`] is kept from exchange to exchange.

mod attribute;
mod failure;
mod message;
mod netfilter;
mod socket;

pub(crate) use attribute::{Attribute, attributes, find, nested, u16_be, u32_be};
pub(crate) use failure::Failure;
pub(crate) use message::{ACK, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Reply};
pub(crate) use netfilter::{Family, Subsystem, batch, netfilter_attributes, netfilter_body};
pub(crate) use socket::{Bus, Socket};

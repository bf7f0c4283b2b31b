//! How is the kernel asked over a netlink socket?
//!
//! A [`Message`] is a header and a body; bodies of the netfilter parts are trees of [`Attribute`]s. Each act has a
//! [`Socket`] of its own, so that it may be dropped at any time and leaves no late answers behind.

mod attribute;
mod failure;
mod message;
mod netfilter;
mod socket;

pub(crate) use attribute::{Attribute, attributes, find, nested, u16_be, u32_be};
pub(crate) use failure::Failure;
pub(crate) use message::{ACK, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Reply};
pub(crate) use netfilter::{Family, Subsystem, batch, netfilter_attributes, netfilter_body};
pub(crate) use socket::{Bus, Socket, exchange, overhear, overhear_from};

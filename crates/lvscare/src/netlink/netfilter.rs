//! Addresses netfilter's parts of the kernel.
//!
//! A body begins with four bytes: address family, version 0
//! (`include/uapi/linux/netfilter/nfnetlink.h`).

use std::net::IpAddr;

use super::{ACK, Attribute, Message};

const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const HEADER: usize = 4;

/// A part of netfilter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subsystem {
    /// Connection tracking.
    Conntrack = 1,
    /// nftables.
    Nftables = 10,
}

impl Subsystem {
    /// The type of a message.
    pub(crate) fn kind(self, message: u16) -> u16 {
        (self as u16) << 8 | message
    }
}

/// An address family, numbered as by `socket(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4.
    V4 = 2,
    /// IPv6.
    V6 = 10,
}

impl Family {
    /// That of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

/// A body about objects of `family`.
pub(crate) fn netfilter_body(family: Family, attributes: &[Attribute]) -> Vec<u8> {
    let mut body = vec![family.number(), 0, 0, 0];
    attributes.iter().for_each(|attribute| attribute.write(&mut body));
    body
}

/// The attributes of a body; none when it is broken.
pub(crate) fn netfilter_attributes(body: &[u8]) -> &[u8] {
    body.get(HEADER..).unwrap_or_default()
}

/// `messages` between the marks that make the kernel do all of them or none. The receipt of the last message tells how it
/// went.
pub(crate) fn batch(subsystem: Subsystem, mut messages: Vec<Message>) -> Vec<Message> {
    let mark = |kind| Message { kind, flags: 0, body: vec![0, 0, 0, subsystem as u8] };
    if let Some(last) = messages.last_mut() {
        last.flags |= ACK;
    }
    let mut all = vec![mark(BEGIN)];
    all.append(&mut messages);
    all.push(mark(END));
    all
}

//! Messages of the parts of the kernel for which no crate has types.

use std::convert::Infallible;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};

use super::{ACK, Attribute, Request, nla};

/// A message with its body as bytes. Those of netfilter and of generic netlink begin with a header of four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The type of the message.
    pub(crate) kind: u16,
    /// What follows the netlink header.
    pub(crate) body: Vec<u8>,
}

/// A part of netfilter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subsystem {
    /// Connection tracking.
    Conntrack = 1,
    /// nftables.
    Nftables = 10,
}

impl Packet {
    /// The attributes of a message of netfilter or generic netlink; none when it is broken.
    pub(crate) fn attributes(&self) -> &[u8] {
        self.body.get(4..).unwrap_or_default()
    }
}

impl NetlinkSerializable for Packet {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Packet {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, body: payload.to_vec() })
    }
}

impl Subsystem {
    /// A request about objects of an address family.
    pub(crate) fn request(self, message: u16, flags: u16, family: u8, attributes: &[Attribute]) -> Request<Packet> {
        let message = Packet { kind: (self as u16) << 8 | message, body: nla::encode(&[family, 0, 0, 0], attributes) };
        Request { message, flags }
    }

    /// `requests` as a transaction: the kernel does all of them or none.
    pub(crate) fn transaction(self, mut requests: Vec<Request<Packet>>) -> Vec<Request<Packet>> {
        const BEGIN: u16 = 0x10;
        const END: u16 = 0x11;
        let mark = |kind| Request { message: Packet { kind, body: vec![0, 0, 0, self as u8] }, flags: 0 };
        if let Some(last) = requests.last_mut() {
            last.flags |= ACK;
        }
        requests.insert(0, mark(BEGIN));
        requests.push(mark(END));
        requests
    }

    /// As [`Self::transaction`]; refused when anything has changed since this generation of the rules.
    pub(crate) fn transaction_at(self, generation: u32, requests: Vec<Request<Packet>>) -> Vec<Request<Packet>> {
        const GENERATION: u16 = 1;
        let mut all = self.transaction(requests);
        all[0].message.body = nla::encode(&all[0].message.body, &[nla::u32(GENERATION, generation)]);
        all
    }
}

/// The number of an address family (`socket(2)`).
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

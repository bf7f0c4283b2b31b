//! Which bytes ask IPVS for something, or tell it to change something?

use std::net::SocketAddr;

use netlink_packet_core::Emitable;
use netlink_packet_generic::GenlFamily;

use super::Timeouts;
use super::attribute::{Attribute, Value, command, family, server, service};
use crate::{Server, Service};

/// The name under which the kernel knows the family (`IPVS_GENL_NAME`).
pub(super) const FAMILY: &str = "IPVS";
/// `IPPROTO_TCP`.
pub(super) const TCP: u16 = 6;
/// Forwarding by address translation (`IP_VS_CONN_F_MASQ`).
pub(super) const MASQUERADE: u32 = 0;

/// What IPVS can be asked or told (`IPVS_CMD_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Command {
    NewService = 1,
    SetService = 2,
    DelService = 3,
    GetService = 4,
    NewServer = 5,
    SetServer = 6,
    DelServer = 7,
    GetServer = 8,
    SetConfig = 12,
    GetConfig = 13,
    GetInfo = 15,
    Flush = 17,
}

/// One message to IPVS, without the headers that netlink puts before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    command: Command,
    attributes: Vec<Attribute>,
}

impl Request {
    /// A message without content: about everything, or IPVS itself.
    pub(super) fn bare(command: Command) -> Self {
        Self { command, attributes: Vec::new() }
    }

    /// A message about the virtual service at this address.
    pub(super) fn about(command: Command, address: SocketAddr) -> Self {
        Self { command, attributes: vec![nested(command::SERVICE, identity(address))] }
    }

    /// A message that carries a whole virtual service.
    pub(super) fn service(command: Command, wanted: &Service) -> Self {
        let mut attributes = identity(wanted.address);
        attributes.extend([
            Attribute::new(service::SCHEDULER, Value::Name(wanted.scheduler.as_str())),
            // All flags off: neither persistence nor one-packet scheduling, no switches of the scheduler.
            Attribute::new(service::FLAGS, Value::Flags { flags: 0, mask: u32::MAX }),
            Attribute::new(service::TIMEOUT, Value::U32(0)),
            // For IPv4 a mask, for IPv6 the length of a prefix: each client by itself.
            Attribute::new(service::NETMASK, Value::U32(if wanted.address.is_ipv6() { 128 } else { u32::MAX })),
        ]);
        Self { command, attributes: vec![nested(command::SERVICE, attributes)] }
    }

    /// A message that carries a whole server of the virtual service at this address.
    pub(super) fn server(command: Command, address: SocketAddr, server_address: SocketAddr, wanted: Server) -> Self {
        let mut attributes = endpoint(server_address);
        attributes.extend([
            Attribute::new(server::FORWARD, Value::U32(MASQUERADE)),
            Attribute::new(server::WEIGHT, Value::U32(wanted.weight.into())),
            Attribute::new(server::UPPER_THRESHOLD, Value::U32(0)),
            Attribute::new(server::LOWER_THRESHOLD, Value::U32(0)),
            Attribute::new(server::FAMILY, Value::U16(family(server_address.ip()))),
        ]);
        Self {
            command,
            attributes: vec![nested(command::SERVICE, identity(address)), nested(command::SERVER, attributes)],
        }
    }

    /// A message about a server of the virtual service at this address.
    pub(super) fn about_server(command: Command, address: SocketAddr, server_address: SocketAddr) -> Self {
        let mut attributes = endpoint(server_address);
        attributes.push(Attribute::new(server::FAMILY, Value::U16(family(server_address.ip()))));
        Self {
            command,
            attributes: vec![nested(command::SERVICE, identity(address)), nested(command::SERVER, attributes)],
        }
    }

    /// A message that sets how long silent connections are remembered.
    pub(super) fn timeouts(wanted: Timeouts) -> Self {
        let seconds = |kind: u16, time: std::time::Duration| {
            Attribute::new(kind, Value::U32(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)))
        };
        let attributes = vec![
            seconds(command::TIMEOUT_TCP, wanted.tcp),
            seconds(command::TIMEOUT_TCP_FIN, wanted.tcp_fin),
            seconds(command::TIMEOUT_UDP, wanted.udp),
        ];
        Self { command: Command::SetConfig, attributes }
    }
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        self.command as u8
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

/// What names a virtual service: family, protocol, address and port.
fn identity(address: SocketAddr) -> Vec<Attribute> {
    vec![
        Attribute::new(service::FAMILY, Value::U16(family(address.ip()))),
        Attribute::new(service::PROTOCOL, Value::U16(TCP)),
        Attribute::new(service::ADDRESS, Value::Address(address.ip())),
        Attribute::new(service::PORT, Value::Port(address.port())),
    ]
}

fn endpoint(address: SocketAddr) -> Vec<Attribute> {
    vec![
        Attribute::new(server::ADDRESS, Value::Address(address.ip())),
        Attribute::new(server::PORT, Value::Port(address.port())),
    ]
}

fn nested(kind: u16, attributes: Vec<Attribute>) -> Attribute {
    Attribute::new(kind, Value::Nested(attributes))
}

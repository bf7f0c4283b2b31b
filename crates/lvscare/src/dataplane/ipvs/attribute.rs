//! How is one netlink attribute of IPVS written, and how are its values read?
//!
//! Numbers and sizes are those of `linux/ip_vs.h` and of the policy tables in the kernel's `ip_vs_ctl.c`: addresses are
//! 16 bytes for both families, ports and IPv4 masks are big-endian, everything else has the machine's own order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DecodeError, Emitable, NLA_F_NESTED, Nla, NlaBuffer, NlasIterator};

/// Attributes of a command (`IPVS_CMD_ATTR_*`).
pub(super) mod command {
    pub(crate) const SERVICE: u16 = 1;
    pub(crate) const SERVER: u16 = 2;
    pub(crate) const TIMEOUT_TCP: u16 = 4;
    pub(crate) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(crate) const TIMEOUT_UDP: u16 = 6;
}

/// Attributes of the answer about IPVS itself (`IPVS_INFO_ATTR_*`).
pub(super) mod info {
    pub(crate) const VERSION: u16 = 1;
    pub(crate) const CONNECTION_TABLE_SIZE: u16 = 2;
}

/// Attributes of a virtual service (`IPVS_SVC_ATTR_*`).
pub(super) mod service {
    pub(crate) const FAMILY: u16 = 1;
    pub(crate) const PROTOCOL: u16 = 2;
    pub(crate) const ADDRESS: u16 = 3;
    pub(crate) const PORT: u16 = 4;
    pub(crate) const FIREWALL_MARK: u16 = 5;
    pub(crate) const SCHEDULER: u16 = 6;
    pub(crate) const FLAGS: u16 = 7;
    pub(crate) const TIMEOUT: u16 = 8;
    pub(crate) const NETMASK: u16 = 9;
    pub(crate) const PERSISTENCE_ENGINE: u16 = 11;
}

/// Attributes of a server (`IPVS_DEST_ATTR_*`).
pub(super) mod server {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const PORT: u16 = 2;
    pub(crate) const FORWARD: u16 = 3;
    pub(crate) const WEIGHT: u16 = 4;
    pub(crate) const UPPER_THRESHOLD: u16 = 5;
    pub(crate) const LOWER_THRESHOLD: u16 = 6;
    pub(crate) const ACTIVE: u16 = 7;
    pub(crate) const INACTIVE: u16 = 8;
    pub(crate) const STATS: u16 = 10;
    pub(crate) const FAMILY: u16 = 11;
    pub(crate) const STATS64: u16 = 12;
}

/// Attributes of counters (`IPVS_STATS_ATTR_*`).
pub(super) mod stats {
    pub(crate) const CONNECTIONS: u16 = 1;
    pub(crate) const PACKETS_IN: u16 = 2;
    pub(crate) const PACKETS_OUT: u16 = 3;
    pub(crate) const BYTES_IN: u16 = 4;
    pub(crate) const BYTES_OUT: u16 = 5;
}

/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u16; 2] = [2, 10];

/// One attribute that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) kind: u16,
    pub(super) value: Value,
}

/// What an attribute carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// In the machine's byte order.
    U16(u16),
    /// In the machine's byte order.
    U32(u32),
    /// A port, big-endian.
    Port(u16),
    /// 16 bytes, zeros after an IPv4 address.
    Address(IpAddr),
    /// With a zero at its end.
    Name(&'static str),
    /// `struct ip_vs_flags`: the bits, and which of them count.
    Flags { flags: u32, mask: u32 },
    /// Other attributes.
    Nested(Vec<Attribute>),
}

impl Attribute {
    pub(super) fn new(kind: u16, value: Value) -> Self {
        Self { kind, value }
    }
}

impl Nla for Attribute {
    fn value_len(&self) -> usize {
        match &self.value {
            Value::U16(_) | Value::Port(_) => 2,
            Value::U32(_) => 4,
            Value::Address(_) => 16,
            Value::Name(name) => name.len() + 1,
            Value::Flags { .. } => 8,
            Value::Nested(attributes) => attributes.as_slice().buffer_len(),
        }
    }

    fn kind(&self) -> u16 {
        if matches!(self.value, Value::Nested(_)) { self.kind | NLA_F_NESTED } else { self.kind }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match &self.value {
            Value::U16(number) => buffer.copy_from_slice(&number.to_ne_bytes()),
            Value::U32(number) => buffer.copy_from_slice(&number.to_ne_bytes()),
            Value::Port(port) => buffer.copy_from_slice(&port.to_be_bytes()),
            Value::Address(address) => buffer.copy_from_slice(&sixteen(*address)),
            Value::Name(name) => {
                buffer.fill(0);
                buffer[..name.len()].copy_from_slice(name.as_bytes());
            }
            Value::Flags { flags, mask } => {
                buffer[..4].copy_from_slice(&flags.to_ne_bytes());
                buffer[4..].copy_from_slice(&mask.to_ne_bytes());
            }
            Value::Nested(attributes) => attributes.as_slice().emit(buffer),
        }
    }
}

/// The number of an address's family.
pub(super) fn family(address: IpAddr) -> u16 {
    FAMILIES[usize::from(address.is_ipv6())]
}

/// Every attribute in `bytes`, in order; ends after the first that is cut off.
pub(super) fn attributes(bytes: &[u8]) -> NlasIterator<&[u8]> {
    NlasIterator::new(bytes)
}

/// The address of this family in an attribute's value; `None` for families that IPVS does not know.
pub(super) fn address(family: u16, bytes: &[u8]) -> Result<Option<IpAddr>, DecodeError> {
    let short = || DecodeError::invalid_ip_address(bytes.len());
    if family == FAMILIES[0] {
        let octets: [u8; 4] = bytes.get(..4).and_then(|start| start.try_into().ok()).ok_or_else(short)?;
        return Ok(Some(Ipv4Addr::from(octets).into()));
    }
    if family == FAMILIES[1] {
        let octets: [u8; 16] = bytes.get(..16).and_then(|start| start.try_into().ok()).ok_or_else(short)?;
        return Ok(Some(Ipv6Addr::from(octets).into()));
    }
    Ok(None)
}

/// A number in the machine's byte order.
pub(super) fn u16_of(attribute: &NlaBuffer<&[u8]>) -> Result<u16, DecodeError> {
    exactly(attribute.value()).map(u16::from_ne_bytes)
}

/// A number in the machine's byte order.
pub(super) fn u32_of(attribute: &NlaBuffer<&[u8]>) -> Result<u32, DecodeError> {
    exactly(attribute.value()).map(u32::from_ne_bytes)
}

/// A counter, which older kernels send in 32 bits.
pub(super) fn counter_of(attribute: &NlaBuffer<&[u8]>) -> Result<u64, DecodeError> {
    match attribute.value().len() {
        4 => u32_of(attribute).map(u64::from),
        _ => exactly(attribute.value()).map(u64::from_ne_bytes),
    }
}

/// A port, big-endian.
pub(super) fn port_of(attribute: &NlaBuffer<&[u8]>) -> Result<u16, DecodeError> {
    exactly(attribute.value()).map(u16::from_be_bytes)
}

/// A text with or without a zero at its end; what is no text stands for itself as `?`.
pub(super) fn name_of(attribute: &NlaBuffer<&[u8]>) -> String {
    let bytes = attribute.value();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The first half of `struct ip_vs_flags`.
pub(super) fn flags_of(attribute: &NlaBuffer<&[u8]>) -> Result<u32, DecodeError> {
    let [a, b, c, d, ..] = exactly::<8>(attribute.value())?;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::invalid_number(N, bytes.len()))
}

fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
    }
}

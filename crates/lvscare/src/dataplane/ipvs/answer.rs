//! What does an answer of IPVS say?

use std::net::SocketAddr;
use std::time::Duration;

use netlink_packet_core::{DecodeError, NlaBuffer, ParseableParametrized};
use netlink_packet_generic::GenlHeader;

use super::attribute::{
    address, attributes, command, counter_of, flags_of, info, name_of, port_of, server, service, stats, u16_of, u32_of,
};
use super::request::{Command, MASQUERADE, TCP};
use super::{Info, Timeouts};
use crate::{Forward, Scheduler, Server, Traffic};

/// The kernel's own way to a server that is an address of this very host (`IP_VS_CONN_F_LOCALNODE`).
const LOCAL: u32 = 1;
/// The kernel sets this flag on every service it holds (`IP_VS_SVC_F_HASHED`).
const HASHED: u32 = 2;

/// One message from IPVS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A virtual TCP service.
    Service(ServiceEntry),
    /// A server of the service that was asked about.
    Server(ServerEntry),
    /// How long silent connections are remembered.
    Timeouts(Timeouts),
    /// About IPVS itself.
    Info(Info),
    /// Something that does not concern us: firewall marks, other protocols, other messages.
    Foreign,
}

/// A virtual TCP service as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceEntry {
    /// The virtual address.
    pub(super) address: SocketAddr,
    /// Its scheduler; [`Scheduler::Other`] too when flags are set or a persistence engine is at work.
    pub(super) scheduler: Scheduler,
}

/// A server as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerEntry {
    /// Its address.
    pub(super) address: SocketAddr,
    /// Its weight and way of forwarding; [`Forward::Other`] too when it has thresholds.
    pub(super) server: Server,
    /// What it counted.
    pub(super) traffic: Traffic,
}

impl ParseableParametrized<[u8], GenlHeader> for Answer {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        match header.cmd {
            command if command == Command::NewService as u8 => of_service(bytes),
            command if command == Command::NewServer as u8 => of_server(bytes),
            command if command == Command::SetConfig as u8 => of_timeouts(bytes),
            // The answer to `GetInfo` is called `IPVS_CMD_SET_INFO`.
            14 => of_info(bytes),
            _ => Ok(Self::Foreign),
        }
    }
}

fn of_service(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let Some(content) = nested(bytes, command::SERVICE)? else { return Ok(Answer::Foreign) };
    let (mut family, mut protocol, mut raw, mut port) = (None, None, None, None);
    let (mut scheduler, mut as_wanted) = (Scheduler::Other, true);
    for attribute in attributes(content.value()) {
        let attribute = attribute?;
        match attribute.kind() {
            service::FAMILY => family = Some(u16_of(&attribute)?),
            service::PROTOCOL => protocol = Some(u16_of(&attribute)?),
            service::ADDRESS => raw = Some(attribute),
            service::PORT => port = Some(port_of(&attribute)?),
            service::FIREWALL_MARK => return Ok(Answer::Foreign),
            service::SCHEDULER => scheduler = name_of(&attribute).parse().unwrap_or(Scheduler::Other),
            service::FLAGS => as_wanted &= flags_of(&attribute)? & !HASHED == 0,
            service::PERSISTENCE_ENGINE => as_wanted = false,
            _ => {}
        }
    }
    let (Some(family), Some(TCP), Some(raw), Some(port)) = (family, protocol, raw, port) else {
        return Ok(Answer::Foreign);
    };
    let Some(ip) = address(family, raw.value())? else { return Ok(Answer::Foreign) };
    let scheduler = if as_wanted { scheduler } else { Scheduler::Other };
    Ok(Answer::Service(ServiceEntry { address: SocketAddr::new(ip, port), scheduler }))
}

fn of_server(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let Some(content) = nested(bytes, command::SERVER)? else { return Ok(Answer::Foreign) };
    let (mut family, mut raw, mut port) = (None, None, None);
    let (mut weight, mut forward, mut thresholds) = (0, MASQUERADE, 0);
    let (mut traffic, mut narrow, mut wide) = (Traffic::default(), None, None);
    for attribute in attributes(content.value()) {
        let attribute = attribute?;
        match attribute.kind() {
            server::FAMILY => family = Some(u16_of(&attribute)?),
            server::ADDRESS => raw = Some(attribute),
            server::PORT => port = Some(port_of(&attribute)?),
            server::FORWARD => forward = u32_of(&attribute)?,
            server::WEIGHT => weight = u32_of(&attribute)?,
            server::UPPER_THRESHOLD | server::LOWER_THRESHOLD => thresholds |= u32_of(&attribute)?,
            server::ACTIVE => traffic.active = u32_of(&attribute)?,
            server::INACTIVE => traffic.inactive = u32_of(&attribute)?,
            server::STATS => narrow = Some(attribute),
            server::STATS64 => wide = Some(attribute),
            _ => {}
        }
    }
    if let Some(counters) = wide.or(narrow) {
        count(counters.value(), &mut traffic)?;
    }
    let (Some(raw), Some(port)) = (raw, port) else { return Err("a server without address or port".into()) };
    // Kernels before 3.18 do not say the family; what fills more than four bytes is IPv6.
    let family =
        family.unwrap_or(if raw.value().get(4..).is_some_and(|rest| rest.iter().any(|b| *b != 0)) { 10 } else { 2 });
    let Some(ip) = address(family, raw.value())? else { return Ok(Answer::Foreign) };
    let forward =
        if matches!(forward, MASQUERADE | LOCAL) && thresholds == 0 { Forward::Masquerade } else { Forward::Other };
    let weight = u16::try_from(weight).unwrap_or(u16::MAX);
    Ok(Answer::Server(ServerEntry { address: SocketAddr::new(ip, port), server: Server { weight, forward }, traffic }))
}

fn of_timeouts(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let mut timeouts = Timeouts::default();
    for attribute in attributes(bytes) {
        let attribute = attribute?;
        let place = match attribute.kind() {
            command::TIMEOUT_TCP => &mut timeouts.tcp,
            command::TIMEOUT_TCP_FIN => &mut timeouts.tcp_fin,
            command::TIMEOUT_UDP => &mut timeouts.udp,
            _ => continue,
        };
        *place = Duration::from_secs(u32_of(&attribute)?.into());
    }
    Ok(Answer::Timeouts(timeouts))
}

fn of_info(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let mut found = Info::default();
    for attribute in attributes(bytes) {
        let attribute = attribute?;
        match attribute.kind() {
            info::VERSION => {
                let [_, major, minor, patch] = u32_of(&attribute)?.to_be_bytes();
                found.version = [major, minor, patch];
            }
            info::CONNECTION_TABLE_SIZE => found.connection_table_size = u32_of(&attribute)?,
            _ => {}
        }
    }
    Ok(Answer::Info(found))
}

fn count(bytes: &[u8], traffic: &mut Traffic) -> Result<(), DecodeError> {
    for attribute in attributes(bytes) {
        let attribute = attribute?;
        let place = match attribute.kind() {
            stats::CONNECTIONS => &mut traffic.connections,
            stats::PACKETS_IN => &mut traffic.packets_in,
            stats::PACKETS_OUT => &mut traffic.packets_out,
            stats::BYTES_IN => &mut traffic.bytes_in,
            stats::BYTES_OUT => &mut traffic.bytes_out,
            _ => continue,
        };
        *place = counter_of(&attribute)?;
    }
    Ok(())
}

/// The first attribute of this kind.
fn nested(bytes: &[u8], kind: u16) -> Result<Option<NlaBuffer<&[u8]>>, DecodeError> {
    attributes(bytes).find(|attribute| attribute.as_ref().map_or(true, |found| found.kind() == kind)).transpose()
}

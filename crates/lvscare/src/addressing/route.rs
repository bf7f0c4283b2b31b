//! Makes this host treat an address as its own, and call it from the right one.

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{ACK, CREATE, Failure, REPLACE, Socket};
use crate::{Error, Result};

/// The number of the loopback link in every network namespace.
pub(super) const LOOPBACK: u32 = 1;
/// The kernel's table of this host's own addresses.
const LOCAL_TABLE: u8 = 255;
/// By this number, which no known program uses, our routes are known (`/etc/iproute2/rt_protos`).
const OURS: RouteProtocol = RouteProtocol::Other(76);
/// So many routes of ours are deleted at most.
const MAX_ROUTES: usize = 16;

/// Where packets to an address go.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct RouteState {
    /// To this host itself.
    pub(super) local: bool,
    /// The source address that the kernel chooses.
    pub(super) source: Option<IpAddr>,
}

/// Sees to it that packets to `service` stay on this host and come from `source` where one is given. True when that
/// was not so.
pub(super) async fn ensure(netlink: &Socket, service: IpAddr, link: u32, source: Option<IpAddr>) -> Result<bool> {
    let right = |found: &RouteState| found.local && source.is_none_or(|source| found.source == Some(source));
    // Where there is no route at all the kernel says that the network cannot be reached.
    if look_up(netlink, service).await.is_ok_and(|found| right(&found)) {
        return Ok(false);
    }
    let replace = if is_ours(netlink, service).await {
        // It is replaced in one step: not for a moment does the address lead elsewhere.
        REPLACE
    } else {
        remove(netlink, service).await?;
        0
    };
    let route = RouteNetlinkMessage::NewRoute(ours(service, link, source));
    if let Err(failure) = netlink.ask(route, CREATE | replace | ACK).await {
        let from = source.map_or(String::new(), |source| format!(" with the source {source}"));
        return Err(failure.of("add a local route to", format!("{service}{from}")));
    }
    if link != LOOPBACK && service.is_ipv6() {
        // The kernel's own route for the address on the link would go first.
        let mut kernels = ours(service, link, None);
        kernels.header.protocol = RouteProtocol::Kernel;
        remove_matching(netlink, kernels, service).await?;
    }
    let found = look_up(netlink, service).await;
    let found = found.map_err(|failure| failure.of("look up the route to", service.to_string()))?;
    if right(&found) {
        return Ok(true);
    }
    let from = found.source.map_or("an unknown address".to_owned(), |source| source.to_string());
    let reason = format!("another route to it is preferred, by which clients call from {from}");
    Err(Error::Refused { act: "route to this host the address", object: service.to_string(), reason })
}

/// Takes our routes to `service` away.
pub(super) async fn remove(netlink: &Socket, service: IpAddr) -> Result<()> {
    let mut route = ours(service, LOOPBACK, None);
    route.attributes.truncate(1);
    remove_matching(netlink, route, service).await
}

async fn remove_matching(netlink: &Socket, route: RouteMessage, service: IpAddr) -> Result<()> {
    for _ in 0..MAX_ROUTES {
        match netlink.ask(RouteNetlinkMessage::DelRoute(route.clone()), ACK).await {
            Ok(_) => {}
            Err(failure) if failure.is_missing() => break,
            Err(failure) => return Err(failure.of("delete the local route to", service.to_string())),
        }
    }
    Ok(())
}

/// Asks the kernel where packets to `address` would go.
pub(super) async fn look_up(netlink: &Socket, address: IpAddr) -> Result<RouteState, Failure> {
    let route = first(netlink, address, RouteFlags::empty()).await?;
    Ok(RouteState { local: route.header.kind == RouteType::Local, source: source_of(&route) })
}

/// Whether packets to `service` go by a route of ours. Kernels before 4.13 do not tell.
async fn is_ours(netlink: &Socket, service: IpAddr) -> bool {
    // The number of the table says nothing: for IPv4 the kernel looks into two of them as if they were one.
    first(netlink, service, RouteFlags::FibMatch).await.is_ok_and(|RouteMessage { header, .. }| {
        header.protocol == OURS
            && header.destination_prefix_length == length(service)
            && header.kind == RouteType::Local
    })
}

/// What the kernel tells of the route by which packets to `address` go.
async fn first(netlink: &Socket, address: IpAddr, flags: RouteFlags) -> Result<RouteMessage, Failure> {
    let mut route = RouteMessage::default();
    route.header = RouteHeader { address_family: family(address), flags, ..RouteHeader::default() };
    route.header.destination_prefix_length = length(address);
    route.attributes = vec![RouteAttribute::Destination(RouteAddress::from(address))];
    let told = netlink.ask(RouteNetlinkMessage::GetRoute(route), ACK).await?;
    let route = told.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => Some(route),
        _ => None,
    });
    route.ok_or(Failure::Incomplete)
}

fn source_of(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::PrefSource(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

/// `local SERVICE dev LINK table local proto 76 src SOURCE`.
fn ours(service: IpAddr, link: u32, source: Option<IpAddr>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family(service),
        destination_prefix_length: length(service),
        table: LOCAL_TABLE,
        protocol: OURS,
        scope: if service.is_ipv4() { RouteScope::Host } else { RouteScope::Universe },
        kind: RouteType::Local,
        ..RouteHeader::default()
    };
    route.attributes = vec![RouteAttribute::Destination(RouteAddress::from(service)), RouteAttribute::Oif(link)];
    route.attributes.extend(source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
    route
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The prefix length of one single address.
pub(super) fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

//! Did another program take away what a virtual address needs?

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};

use super::ask::told;
use super::route::{OURS, family};
use crate::netlink::{Bus, Reply, overhear_from};

/// Those who want to hear of links, and of addresses and routes of IPv4 and of IPv6 (`linux/rtnetlink.h`).
const LINKS: u32 = 1;
const OF_IPV4: [u32; 2] = [5, 7];
const OF_IPV6: [u32; 2] = [9, 11];

/// Ends when it may have; `begun` is called as soon as nothing is missed any more.
pub(super) async fn heard(service: IpAddr, link: Option<&str>, begun: impl FnOnce() + Send) {
    let mut groups = if service.is_ipv4() { OF_IPV4 } else { OF_IPV6 }.to_vec();
    groups.extend(link.map(|_| LINKS));
    let meddles = |reply: Reply<'_>| told(reply).is_some_and(|message| concerns(&message, service, link));
    if overhear_from(Bus::Route, &groups, &meddles, begun).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether a change may leave `service` without its route, its route without its source, or its link down.
fn concerns(message: &RouteNetlinkMessage, service: IpAddr, link: Option<&str>) -> bool {
    match message {
        RouteNetlinkMessage::DelRoute(route) => leads_to(route, service),
        RouteNetlinkMessage::NewRoute(route) => {
            leads_to(route, service) && ![OURS, RouteProtocol::Kernel].contains(&route.header.protocol)
        }
        RouteNetlinkMessage::DelAddress(address) => address.header.family == family(service),
        RouteNetlinkMessage::DelLink(changed) => is_called(changed, link),
        RouteNetlinkMessage::NewLink(changed) => {
            is_called(changed, link) && !changed.header.flags.contains(LinkFlags::Up)
        }
        _ => false,
    }
}

fn leads_to(route: &RouteMessage, service: IpAddr) -> bool {
    route.attributes.contains(&RouteAttribute::Destination(RouteAddress::from(service)))
}

fn is_called(link: &LinkMessage, name: Option<&str>) -> bool {
    name.is_some_and(|name| link.attributes.contains(&LinkAttribute::IfName(name.to_owned())))
}

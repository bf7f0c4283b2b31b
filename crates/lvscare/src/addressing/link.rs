//! Keeps the virtual address on a link of its own.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::ask;
use super::route::{family, length};
use crate::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Failure, Socket};
use crate::{Error, Result};

/// A name of a link is at most this long, its closing zero byte included.
const NAME: usize = 16;
const NOT_SUPPORTED: i32 = 95;

/// What there is by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    number: u32,
    up: bool,
    dummy: bool,
}

/// Sees to it that there is a link `name` that is up and has the address. Returns its number, and whether something was
/// missing.
pub(super) async fn ensure(netlink: &Socket, name: &str, address: IpAddr) -> Result<(u32, bool)> {
    if name.is_empty() || name.len() >= NAME || name.contains(['/', ':']) || name.contains(char::is_whitespace) {
        let reason = format!("a link has a name of up to {} letters", NAME - 1);
        return Err(Error::Refused { act: "make the link", object: name.to_owned(), reason });
    }
    let mut made = false;
    let mut found = find(netlink, name).await?;
    if !found.is_some_and(|link| link.up) {
        make(netlink, name, found).await?;
        made = true;
        found = find(netlink, name).await?;
    }
    let Some(link) = found else {
        let reason = "it is not there although it was just made".to_owned();
        return Err(Error::Refused { act: "find the link", object: name.to_owned(), reason });
    };
    let message = RouteNetlinkMessage::NewAddress(address_message(link.number, address));
    match ask(netlink, message, CREATE | EXCLUSIVE | ACK, &mut |_| {}).await {
        Ok(()) => made = true,
        Err(failure) if failure.is_there() => {}
        Err(failure) => return Err(failure.of("add an address to the link", format!("{name} ({address})"))),
    }
    Ok((link.number, made))
}

/// Takes the address away, and the link when it has no other and is of the kind that we make.
pub(super) async fn remove(netlink: &Socket, name: &str, address: IpAddr) -> Result<()> {
    let Some(link) = find(netlink, name).await? else { return Ok(()) };
    let message = RouteNetlinkMessage::DelAddress(address_message(link.number, address));
    match ask(netlink, message, ACK, &mut |_| {}).await {
        // What is said about an address that is not there.
        Err(Failure::Errno { errno: 99, .. }) | Ok(()) => {}
        Err(failure) => return Err(failure.of("delete an address of the link", format!("{name} ({address})"))),
    }
    if !link.dummy
        || carries_addresses(netlink, link.number).await.map_err(|failure| failure.of("list the addresses of", name))?
    {
        return Ok(());
    }
    let mut message = LinkMessage::default();
    message.header.index = link.number;
    let deleted = ask(netlink, RouteNetlinkMessage::DelLink(message), ACK, &mut |_| {}).await;
    deleted.map_err(|failure| failure.of("delete the link", name))
}

/// Makes the link, or sets it up.
async fn make(netlink: &Socket, name: &str, found: Option<Found>) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    let mut flags = ACK;
    match found {
        Some(link) => message.header.index = link.number,
        None => {
            message.attributes.push(LinkAttribute::IfName(name.to_owned()));
            message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Dummy)]));
            flags |= CREATE | EXCLUSIVE;
        }
    }
    ask(netlink, RouteNetlinkMessage::NewLink(message), flags, &mut |_| {}).await.map_err(|failure| match failure {
        Failure::Errno { errno: NOT_SUPPORTED, .. } => {
            Error::Unsupported { what: "dummy links", advice: "load the module dummy, or use `--mode route`" }
        }
        failure => failure.of("make the link", name),
    })
}

async fn find(netlink: &Socket, name: &str) -> Result<Option<Found>> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut found = None;
    let asked = ask(netlink, RouteNetlinkMessage::GetLink(message), ACK, &mut |reply| {
        if let RouteNetlinkMessage::NewLink(link) = reply {
            let up = link.header.flags.contains(LinkFlags::Up);
            found = Some(Found { number: link.header.index, up, dummy: is_dummy(&link) });
        }
    })
    .await;
    match asked {
        Ok(()) => Ok(found),
        // What is said about a link that is not there.
        Err(Failure::Errno { errno: 19, .. }) => Ok(None),
        Err(failure) => Err(failure.of("find the link", name)),
    }
}

fn is_dummy(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Dummy)),
        _ => false,
    })
}

/// Whether the link has an address that somebody gave it.
async fn carries_addresses(netlink: &Socket, link: u32) -> Result<bool, Failure> {
    let mut any = false;
    ask(netlink, RouteNetlinkMessage::GetAddress(AddressMessage::default()), DUMP, &mut |reply| {
        if let RouteNetlinkMessage::NewAddress(address) = reply {
            any |= address.header.index == link && address.header.scope != AddressScope::Link;
        }
    })
    .await?;
    Ok(any)
}

fn address_message(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family: family(address),
        prefix_len: length(address),
        // Nobody else on a link without a wire can have the address.
        flags: if address.is_ipv6() { AddressHeaderFlags::Nodad } else { AddressHeaderFlags::empty() },
        scope: AddressScope::Universe,
        index: link,
    };
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    if address.is_ipv6() {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

//! Keeps the virtual address on a link of its own.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::route::{family, length};
use crate::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Failure, Socket};
use crate::{Error, Result};

/// A name of a link has at most so many letters.
const MAX_NAME: usize = 15;
const NO_DEVICE: i32 = 19;
const NOT_SUPPORTED: i32 = 95;
const NO_ADDRESS: i32 = 99;

/// Sees to it that there is a link `name` that is up and has the address. Returns its number, and whether something was
/// missing.
pub(super) async fn ensure(netlink: &Socket, name: &str, address: IpAddr) -> Result<(u32, bool)> {
    if name.is_empty() || name.len() > MAX_NAME {
        let reason = format!("a link has a name of up to {MAX_NAME} letters");
        return Err(Error::Refused { act: "make the link", object: name.to_owned(), reason });
    }
    let is_up = |link: &LinkMessage| link.header.flags.contains(LinkFlags::Up);
    let mut found = find(netlink, name).await?;
    let mut repaired = !found.as_ref().is_some_and(is_up);
    if repaired {
        put_up(netlink, name).await?;
        found = find(netlink, name).await?;
    }
    let Some(link) = found.map(|link| link.header.index) else {
        let reason = "it is not there although it was just made".to_owned();
        return Err(Error::Refused { act: "find the link", object: name.to_owned(), reason });
    };
    let message = RouteNetlinkMessage::NewAddress(address_message(link, address));
    match netlink.ask(message, CREATE | EXCLUSIVE | ACK).await {
        Ok(_) => repaired = true,
        Err(failure) if failure.exists() => {}
        Err(failure) => return Err(failure.of("add an address to the link", format!("{name} ({address})"))),
    }
    Ok((link, repaired))
}

/// Takes the address away, and the link when it has no other and is of the kind that we make.
pub(super) async fn remove(netlink: &Socket, name: &str, address: IpAddr) -> Result<()> {
    let Some(link) = find(netlink, name).await? else { return Ok(()) };
    let number = link.header.index;
    match netlink.ask(RouteNetlinkMessage::DelAddress(address_message(number, address)), ACK).await {
        Ok(_) | Err(Failure::Errno(NO_ADDRESS)) => {}
        Err(failure) => return Err(failure.of("delete an address of the link", format!("{name} ({address})"))),
    }
    let has_addresses = has_addresses(netlink, number).await;
    if !is_dummy(&link) || has_addresses.map_err(|failure| failure.of("list the addresses of", name))? {
        return Ok(());
    }
    let mut message = LinkMessage::default();
    message.header.index = number;
    let deleted = netlink.ask(RouteNetlinkMessage::DelLink(message), ACK).await;
    deleted.map(drop).map_err(|failure| failure.of("delete the link", name))
}

/// Sets the link up, and makes it when there is none.
async fn put_up(netlink: &Socket, name: &str) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Dummy)])];
    match netlink.ask(RouteNetlinkMessage::NewLink(message), CREATE | ACK).await {
        Ok(_) => Ok(()),
        Err(Failure::Errno(NOT_SUPPORTED)) => {
            Err(Error::Unsupported { what: "dummy links", advice: "load the module dummy, or use `--mode route`" })
        }
        Err(failure) => Err(failure.of("make the link", name)),
    }
}

async fn find(netlink: &Socket, name: &str) -> Result<Option<LinkMessage>> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match netlink.ask(RouteNetlinkMessage::GetLink(message), ACK).await {
        Ok(told) => Ok(told.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })),
        Err(Failure::Errno(NO_DEVICE)) => Ok(None),
        Err(failure) => Err(failure.of("find the link", name)),
    }
}

fn is_dummy(link: &LinkMessage) -> bool {
    let kind = LinkInfo::Kind(InfoKind::Dummy);
    link.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::LinkInfo(info) if info.contains(&kind)))
}

/// Whether the link has an address that somebody gave it.
async fn has_addresses(netlink: &Socket, link: u32) -> Result<bool, Failure> {
    let told = netlink.ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), DUMP).await?;
    Ok(told.iter().any(|message| match message {
        RouteNetlinkMessage::NewAddress(AddressMessage { header, .. }) => {
            header.index == link && header.scope != AddressScope::Link
        }
        _ => false,
    }))
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

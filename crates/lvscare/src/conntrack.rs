//! Ends the connections through a server when it leaves.
//!
//! Rules choose a server for new connections only; those that are there live on in the kernel's connection tracking,
//! and through a dead server they would hang until somebody's patience ends. So their entries are found by virtual
//! address and server; sockets of this host are closed, and the entries are deleted. A client elsewhere (a container)
//! whose entry is gone reaches another server with its next packet, which knows nothing of the connection and resets it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Result;
use crate::netlink::{
    ACK, Attribute, Bus, DUMP, Failure, Family, Message, Reply, Socket, Subsystem, find, nested, netfilter_attributes,
    netfilter_body, u16_be,
};

const GET: u16 = 1;
const DELETE: u16 = 2;
const ORIGINAL: u16 = 1;
const ANSWERING: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const TCP: u8 = 6;
/// So many connections are cut in one go.
const MAX_CONNECTIONS: usize = 1 << 16;
/// So many messages go to the kernel at once.
const BATCH: usize = 64;

/// A connection through a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Connection {
    client: SocketAddr,
    /// Attributes that name the entry.
    name: Vec<Attribute>,
}

/// Ends the TCP connections of `service` that go through each of `servers`, also when that fails for one of them.
///
/// # Errors
/// When the kernel refuses to list or delete entries. A kernel without connection tracking has none.
pub(crate) async fn cut(netfilter: &Socket, service: SocketAddr, servers: &[SocketAddr]) -> Result<()> {
    let mut outcome = Ok(());
    for server in servers {
        outcome = outcome.and(cut_one(netfilter, service, *server).await);
    }
    outcome
}

async fn cut_one(netfilter: &Socket, service: SocketAddr, server: SocketAddr) -> Result<()> {
    let object = || format!("the connections to {service} through {server}");
    let connections = match list(netfilter, service, server).await {
        // What kernels say that do not track connections, or cannot tell about it.
        Err(Failure::Errno { errno: 2 | 22 | 93 | 95, .. }) => return Ok(()),
        listed => listed.map_err(|failure| failure.of("list", object()))?,
    };
    let clients: Vec<SocketAddr> = connections.iter().map(|connection| connection.client).collect();
    close_sockets(service, &clients).await;
    let mut outcome = Ok(());
    for connections in connections.chunks(BATCH) {
        let delete: Vec<_> = connections.iter().map(|connection| delete(service, connection)).collect();
        match netfilter.exchange(&delete, &mut |_| {}).await {
            Err(failure) if !failure.is_missing() => outcome = outcome.and(Err(failure.of("cut", object()))),
            _ => {}
        }
    }
    outcome
}

/// Closes the sockets of `clients` on this host that are connected to `service`; those who read or write them are told.
/// Where the kernel was built without it (`CONFIG_INET_DIAG_DESTROY`), they hear of it with the next thing that they send.
pub(crate) async fn close_sockets(service: SocketAddr, clients: &[SocketAddr]) {
    let sockets = Socket::new(Bus::Sockets);
    for clients in clients.chunks(BATCH) {
        let close: Vec<_> = clients.iter().map(|client| close(*client, service)).collect();
        // Clients elsewhere have no socket here.
        let _ = sockets.exchange(&close, &mut |_| {}).await;
    }
}

/// The connections of `service` through `server`.
async fn list(netfilter: &Socket, service: SocketAddr, server: SocketAddr) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::new();
    let body = netfilter_body(Family::of(service.ip()), &filter(service, server));
    let message = Message { kind: Subsystem::Conntrack.kind(GET), flags: DUMP, body };
    let take = &mut |reply: Reply<'_>| {
        if connections.len() < MAX_CONNECTIONS {
            connections.extend(connection(reply.body, service, server));
        }
    };
    netfilter.exchange(&[message], take).await?;
    Ok(connections)
}

/// Asks for the wanted entries only; kernels before 5.8 tell all of them nevertheless.
fn filter(service: SocketAddr, server: SocketAddr) -> Vec<Attribute> {
    const PROTOCOL: u32 = 1 << 3;
    // The kernel's comparison of IPv6 addresses in filters is the wrong way round: those that are equal are left out.
    let (source, destination) = if service.is_ipv4() { (1 << 0, 1 << 1) } else { (0, 0) };
    let (source, destination) = (source | PROTOCOL | 1 << 4, destination | PROTOCOL | 1 << 5);
    let address = |at: SocketAddr, v4, v6| match at.ip() {
        IpAddr::V4(address) => Attribute::bytes(v4, address.octets()),
        IpAddr::V6(address) => Attribute::bytes(v6, address.octets()),
    };
    let tuple = |kind, address, at: SocketAddr, port| {
        let protocol = vec![Attribute::bytes(1, [TCP]), Attribute::bytes(port, at.port().to_be_bytes())];
        Attribute::nested(kind, vec![Attribute::nested(1, vec![address]), Attribute::nested(2, protocol)])
    };
    let flags = |kind, flags: u32| Attribute::bytes(kind, flags.to_ne_bytes());
    vec![
        tuple(ORIGINAL, address(service, 2, 4), service, 3),
        tuple(ANSWERING, address(server, 1, 3), server, 2),
        Attribute::nested(FILTER, vec![flags(1, destination), flags(2, source)]),
    ]
}

/// The connection that an entry describes, when it is of `service` and goes through `server`.
fn connection(body: &[u8], service: SocketAddr, server: SocketAddr) -> Option<Connection> {
    let body = netfilter_attributes(body);
    let original = find(body, ORIGINAL)?;
    let (client, called) = ends(original)?;
    let (answering, _) = ends(find(body, ANSWERING)?)?;
    let mut name = vec![Attribute::bytes(ORIGINAL, original)];
    name.extend([ID, ZONE].into_iter().filter_map(|kind| Some(Attribute::bytes(kind, find(body, kind)?))));
    (called == service && answering == server).then_some(Connection { client, name })
}

/// Source and destination of a TCP packet.
fn ends(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let addresses = find(tuple, 1)?;
    let address = |v4, v6| match find(addresses, v4) {
        Some(bytes) => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        None => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(find(addresses, v6)?).ok()?))),
    };
    if nested(tuple, &[2, 1])? != [TCP] {
        return None;
    }
    let port = |kind| u16_be(nested(tuple, &[2, kind])?);
    Some((SocketAddr::new(address(1, 3)?, port(2)?), SocketAddr::new(address(2, 4)?, port(3)?)))
}

fn delete(service: SocketAddr, connection: &Connection) -> Message {
    let body = netfilter_body(Family::of(service.ip()), &connection.name);
    Message { kind: Subsystem::Conntrack.kind(DELETE), flags: ACK, body }
}

/// Closes the socket of `client` that is connected to `service` (`sock_diag(7)`); its reader and writer are told.
fn close(client: SocketAddr, service: SocketAddr) -> Message {
    const DESTROY: u16 = 21;
    const ANY_STATE: u32 = u32::MAX;
    let mut body = vec![Family::of(service.ip()).number(), TCP, 0, 0];
    body.extend(ANY_STATE.to_ne_bytes());
    body.extend(client.port().to_be_bytes());
    body.extend(service.port().to_be_bytes());
    for end in [client, service] {
        let mut address = match end.ip() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        address.resize(16, 0);
        body.extend(address);
    }
    // Any device, and no cookie.
    body.extend([0; 4]);
    body.extend([0xff; 8]);
    Message { kind: DESTROY, flags: ACK, body }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// An entry as the kernel tells it.
    fn entry(client: &str, service: &str, server: &str) -> Vec<u8> {
        let address = |at: SocketAddr, v4, v6| match at.ip() {
            IpAddr::V4(address) => Attribute::bytes(v4, address.octets()),
            IpAddr::V6(address) => Attribute::bytes(v6, address.octets()),
        };
        let tuple = |kind, from: SocketAddr, to: SocketAddr| {
            let port = |kind, at: SocketAddr| Attribute::bytes(kind, at.port().to_be_bytes());
            let addresses = Attribute::nested(1, vec![address(from, 1, 3), address(to, 2, 4)]);
            let ports = Attribute::nested(2, vec![Attribute::bytes(1, [TCP]), port(2, from), port(3, to)]);
            Attribute::nested(kind, vec![addresses, ports])
        };
        let (client, service, server) = (at(client), at(service), at(server));
        let id = Attribute::u32(ID, 77);
        netfilter_body(Family::of(service.ip()), &[tuple(1, client, service), tuple(2, server, client), id])
    }

    #[test]
    fn only_connections_through_the_server_are_found() {
        for [client, service, server, other] in [
            ["10.0.0.9:4000", "10.103.97.2:6443", "10.0.0.1:6443", "10.0.0.2:6443"],
            ["[fd00::9]:4000", "[fd00::5]:6443", "[fd00::1]:6443", "[fd00::2]:6443"],
        ] {
            let entry = entry(client, service, server);
            let found = connection(&entry, at(service), at(server)).unwrap();
            assert_eq!(found.client, at(client));
            assert_eq!(found.name.len(), 2, "the entry is named by its addresses and its number");
            assert_eq!(connection(&entry, at(service), at(other)), None);
            assert_eq!(connection(&entry, at(other), at(server)), None);
        }
    }

    #[test]
    fn a_socket_is_named_by_its_ends() {
        let message = close(at("10.0.0.9:4000"), at("10.103.97.2:6443"));
        assert_eq!(message.body.len(), 56);
        assert_eq!(message.body[8..12], [15, 160, 25, 43]);
        assert_eq!(message.body[12..16], [10, 0, 0, 9]);
        assert_eq!(message.body[28..32], [10, 103, 97, 2]);
    }

    proptest! {
        #[test]
        fn any_entry_is_read_without_panic(at_byte in 0usize..120, byte: u8, end in 0usize..120) {
            let (service, server) = (at("10.103.97.2:6443"), at("10.0.0.1:6443"));
            let mut entry = entry("10.0.0.9:4000", "10.103.97.2:6443", "10.0.0.1:6443");
            if let Some(one) = entry.get_mut(at_byte) {
                *one = byte;
            }
            entry.truncate(end.max(4));
            let _ = connection(&entry, service, server);
        }
    }
}

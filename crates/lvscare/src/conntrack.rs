//! Ends the connections through a server when it leaves.
//!
//! Rules choose a server for new connections only; those that are there live on in the kernel's connection tracking,
//! and through a dead server they would hang until the client's time-out. So their entries are found by virtual
//! address and server; sockets of this host are closed, and the entries are deleted. A client elsewhere (a container)
//! whose entry is gone reaches another server with its next packet, which knows nothing of the connection and resets it.

use std::net::SocketAddr;

use crate::Result;
use crate::netlink::{ACK, Attribute, DUMP, Failure, Packet, Socket, Subsystem, family, nla, protocols};

// Message types and attributes: `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.
const GET: u16 = 1;
const DELETE: u16 = 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TCP: u8 = 6;
/// So many connections are ended in one go.
const MAX_CONNECTIONS: usize = 1 << 16;
/// So many messages go to the kernel at once.
const BATCH: usize = 64;

/// A connection through a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Connection {
    client: SocketAddr,
    /// Attributes that identify the entry.
    identity: Vec<Attribute>,
}

/// Ends the TCP connections of `service` that go through one of `servers`.
///
/// # Errors
/// When the kernel refuses to list or delete entries. A kernel without connection tracking has none.
pub(crate) async fn end_connections(netfilter: &Socket, service: SocketAddr, servers: &[SocketAddr]) -> Result<()> {
    if servers.is_empty() {
        return Ok(());
    }
    let refused = |failure: Failure| failure.of("end", format!("the connections to {service} through {servers:?}"));
    let connections = match list(netfilter, service, servers).await {
        // What kernels say that do not track connections, or cannot tell about it.
        Err(Failure::Errno(2 | 22 | 93 | 95)) => return Ok(()),
        listed => listed.map_err(refused)?,
    };
    close_sockets(service, connections.iter().map(|connection| connection.client)).await;
    let delete = |Connection { identity, .. }: &Connection| {
        Subsystem::Conntrack.request(DELETE, ACK, family(service.ip()), identity)
    };
    let mut outcome = Ok(());
    for connections in connections.chunks(BATCH) {
        match netfilter.exchange(connections.iter().map(delete).collect(), &mut |_| {}).await {
            Err(failure) if !failure.is_missing() => outcome = outcome.and(Err(refused(failure))),
            _ => {}
        }
    }
    outcome
}

/// Closes the sockets of `clients` on this host that are connected to `service`; those who read or write them are told.
/// Where the kernel was built without it (`CONFIG_INET_DIAG_DESTROY`), they hear of it with the next thing that they send.
pub(crate) async fn close_sockets(service: SocketAddr, clients: impl Iterator<Item = SocketAddr>) {
    let sockets = Socket::new(protocols::NETLINK_SOCK_DIAG);
    for client in clients {
        // Clients elsewhere have no socket here.
        let _ = sockets.ask(close(client, service), ACK).await;
    }
}

/// The connections of `service` through `servers`, found in the whole table: only Linux 5.8 and later can select, and
/// compares IPv6 addresses the wrong way round.
async fn list(netfilter: &Socket, service: SocketAddr, servers: &[SocketAddr]) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::new();
    let request = Subsystem::Conntrack.request(GET, DUMP, family(service.ip()), &[]);
    let take = &mut |entry: Packet| {
        if connections.len() < MAX_CONNECTIONS {
            connections.extend(connection(entry.attributes(), service, servers));
        }
    };
    netfilter.exchange(vec![request], take).await?;
    Ok(connections)
}

/// The connection that an entry describes, when it is of `service` and goes through one of `servers`.
fn connection(entry: &[u8], service: SocketAddr, servers: &[SocketAddr]) -> Option<Connection> {
    let (client, destination) = ends(nla::find(entry, &[ORIGINAL])?)?;
    let (answering, _) = ends(nla::find(entry, &[REPLY])?)?;
    let attribute = |kind| Some(nla::bytes(kind, nla::find(entry, &[kind])?));
    let identity = [ORIGINAL, ID, ZONE].into_iter().filter_map(attribute).collect();
    (destination == service && servers.contains(&answering)).then_some(Connection { client, identity })
}

/// Source and destination of a TCP packet.
fn ends(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if nla::find(tuple, &[2, 1])? != [TCP] {
        return None;
    }
    let end = |v4, v6, port| {
        let address = nla::find(tuple, &[1, v4]).or_else(|| nla::find(tuple, &[1, v6]))?;
        Some(SocketAddr::new(nla::address_of(address)?, nla::port_of(nla::find(tuple, &[2, port])?)?))
    };
    Some((end(1, 3, 2)?, end(2, 4, 3)?))
}

/// Closes the socket of `client` that is connected to `service` (`sock_diag(7)`); its reader and writer are told.
fn close(client: SocketAddr, service: SocketAddr) -> Packet {
    const DESTROY: u16 = 21;
    let any_state = [0xff; 4];
    let mut body = [&[family(service.ip()), TCP, 0, 0][..], &any_state].concat();
    body.extend([client.port().to_be_bytes(), service.port().to_be_bytes()].concat());
    for end in [client, service] {
        let mut address = nla::octets(end.ip());
        address.resize(16, 0);
        body.extend(address);
    }
    // Any device, and no cookie.
    body.extend([0; 4]);
    body.extend([0xff; 8]);
    Packet { kind: DESTROY, body }
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
        let tuple = |kind, from: SocketAddr, to: SocketAddr| {
            let [source, destination] = if from.is_ipv4() { [1, 2] } else { [3, 4] };
            let port = |kind, at: SocketAddr| nla::bytes(kind, at.port().to_be_bytes());
            let address = |kind, at: SocketAddr| nla::bytes(kind, nla::octets(at.ip()));
            let addresses = [address(source, from), address(destination, to)];
            let ports = [nla::bytes(1, [TCP]), port(2, from), port(3, to)];
            nla::nested(kind, &[nla::nested(1, &addresses), nla::nested(2, &ports)])
        };
        let (client, service, server) = (at(client), at(service), at(server));
        nla::encode(&[], &[tuple(1, client, service), tuple(2, server, client), nla::u32(ID, 77)])
    }

    #[test]
    fn only_connections_through_the_server_are_found() {
        for [client, service, server, other] in [
            ["10.0.0.9:4000", "10.103.97.2:6443", "10.0.0.1:6443", "10.0.0.2:6443"],
            ["[fd00::9]:4000", "[fd00::5]:6443", "[fd00::1]:6443", "[fd00::2]:6443"],
        ] {
            let entry = entry(client, service, server);
            let found = connection(&entry, at(service), &[at(other), at(server)]).unwrap();
            assert_eq!(found.client, at(client));
            assert_eq!(found.identity.len(), 2, "its addresses and its number");
            assert_eq!(connection(&entry, at(service), &[at(other)]), None);
            assert_eq!(connection(&entry, at(other), &[at(server)]), None);
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
            entry.truncate(end);
            let _ = connection(&entry, service, &[server]);
        }
    }
}

//! Opens connections for checks, from ports that clients do not get.
//!
//! IPVS leaves the port of a local client as it is. When a client of the virtual address has the same port as a
//! connection that goes straight to the server which IPVS chooses for it, the two are one connection to that server, and
//! both break. Checks go straight to servers and stay open, so they keep out of the ports that clients get.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use tokio::net::{TcpSocket, TcpStream};

use super::{Unhealthy, failure};

/// First and last port that the kernel gives to clients, in both address families.
const CLIENTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// So many ports are tried before the kernel may choose.
const ATTEMPTS: usize = 4;
/// Fewer ports than this are too few to choose from.
const ENOUGH: u16 = 512;

/// Connects from a port that no client of the virtual address gets, where there are such ports.
pub(super) async fn connect(server: SocketAddr) -> Result<TcpStream, Unhealthy> {
    let stream = connected(server).await.map_err(|error| failure::connecting(&error))?;
    // With a port of the range that the kernel gives out, a connection on one host can meet itself.
    if stream.local_addr().is_ok_and(|local| local == server) {
        return Err(failure::connecting(&ErrorKind::ConnectionRefused.into()));
    }
    // Best effort: it saves nothing but time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn connected(server: SocketAddr) -> io::Result<TcpStream> {
    let clients = std::fs::read_to_string(CLIENTS).unwrap_or_default();
    let Some(ports) = apart(&clients) else { return TcpStream::connect(server).await };
    for _ in 0..ATTEMPTS {
        let port = one_of(&ports, RandomState::new().build_hasher().finish());
        let (socket, any) = match server {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        };
        // Without this a port would be lost for a minute after each connection.
        socket.set_reuseaddr(true)?;
        let connected = match socket.bind(SocketAddr::new(any, port)) {
            Ok(()) => socket.connect(server).await,
            Err(taken) => Err(taken),
        };
        match connected {
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            connected => return connected,
        }
    }
    TcpStream::connect(server).await
}

/// Ports that are none of the clients'; none when clients may get nearly all.
fn apart(clients: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = clients.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    if last < u16::MAX - ENOUGH {
        return Some(last + 1..=u16::MAX);
    }
    // Below 10000 are ports that servers listen on.
    (first > 10_000 + ENOUGH).then(|| 10_000..=first - 1)
}

fn one_of(ports: &RangeInclusive<u16>, random: u64) -> u16 {
    let count = u64::from(ports.end() - ports.start()) + 1;
    ports.start() + u16::try_from(random % count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn checks_keep_out_of_the_ports_of_clients() {
        assert_eq!(apart("32768\t60999\n"), Some(61_000..=65_535));
        assert_eq!(apart("15000 65535"), Some(10_000..=14_999));
        assert_eq!(apart("1024 65100"), None);
        assert_eq!(apart("1024 65535"), None);
        assert_eq!(apart("nonsense"), None);
        let ports = 61_000..=65_535;
        assert_eq!([0, 4535, 4536, u64::MAX].map(|random| ports.contains(&one_of(&ports, random))), [true; 4]);
        assert_eq!((one_of(&ports, 0), one_of(&ports, 4535)), (61_000, 65_535));
    }

    #[tokio::test]
    async fn a_connection_comes_from_such_a_port() {
        let clients = std::fs::read_to_string(CLIENTS).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            let stream = connect(listener.local_addr().unwrap()).await.unwrap();
            if let Some(ports) = apart(&clients) {
                assert!(ports.contains(&stream.local_addr().unwrap().port()));
            }
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(connect(nobody).await.unwrap_err().reason, "refuses connections");
    }
}

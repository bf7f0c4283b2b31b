//! Finds the clients that have a connection through a server.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The connections of IPVS in the network namespace of this thread.
const TABLE: &str = "/proc/thread-self/net/ip_vs_conn";
/// So many clients are told at most.
const MAX_CLIENTS: usize = 1 << 16;

/// The clients whose connections to `service` go through `server`; none where the kernel does not tell.
pub(super) async fn clients(service: SocketAddr, server: SocketAddr) -> Vec<SocketAddr> {
    let found = tokio::task::spawn_blocking(move || {
        let Ok(table) = File::open(TABLE) else { return Vec::new() };
        read(BufReader::new(table), service, server)
    });
    found.await.unwrap_or_default()
}

fn read(table: impl BufRead, service: SocketAddr, server: SocketAddr) -> Vec<SocketAddr> {
    let lines = table.split(b'\n').map_while(std::io::Result::ok);
    let clients = lines.filter_map(|line| client(std::str::from_utf8(&line).ok()?, service, server));
    clients.take(MAX_CLIENTS).collect()
}

/// The client of a line such as `TCP 0A4D000A 9434 0A676102 192B 0A4D000D 192B ESTABLISHED 899`, when the connection is
/// to `service` and through `server`. IPv6 addresses have colons, ports are hexadecimal.
fn client(line: &str, service: SocketAddr, server: SocketAddr) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next()? != "TCP" {
        return None;
    }
    let mut end = || address(words.next()?, words.next()?);
    let (client, called, through) = (end()?, end()?, end()?);
    (called == service && through == server).then_some(client)
}

fn address(ip: &str, port: &str) -> Option<SocketAddr> {
    let ip: IpAddr = if ip.contains(':') {
        ip.parse::<Ipv6Addr>().ok()?.into()
    } else {
        Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?).into()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const FOUR: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A4D000A 9434 0A676102 192B 0A4D000D 192B ESTABLISHED     899
TCP 0A4D000A 944A 0A676102 192B 0A4D000B 192B ESTABLISHED     899
UDP 0A4D000A 9500 0A676102 192B 0A4D000D 192B UDP             299
TCP 0A4D000B 9442 0A676102 192B 0A4D000D 192B TIME_WAIT       119 sip 1234
TCP 0A4D000A 9442 0A676103 192B 0A4D000D 192B ESTABLISHED     899
";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn clients_are_found_by_service_and_server() {
        let found = read(FOUR.as_bytes(), at("10.103.97.2:6443"), at("10.77.0.13:6443"));
        assert_eq!(found, [at("10.77.0.10:37940"), at("10.77.0.11:37954")]);
        assert_eq!(read(FOUR.as_bytes(), at("10.103.97.2:80"), at("10.77.0.13:6443")), []);
        let line = "TCP fd77:0000:0000:0000:0000:0000:0000:0010 9434 fd00:0103:0000:0000:0000:0000:0000:0002 192B \
                    fd77:0000:0000:0000:0000:0000:0000:0012 192B ESTABLISHED     899";
        assert_eq!(client(line, at("[fd00:103::2]:6443"), at("[fd77::12]:6443")), Some(at("[fd77::10]:37940")));
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), line in "TCP[ 0-9A-F:]{0,80}") {
            let _ = read(&bytes[..], at("10.103.97.2:6443"), at("10.77.0.13:6443"));
            let _ = client(&line, at("10.103.97.2:6443"), at("10.77.0.13:6443"));
        }
    }
}

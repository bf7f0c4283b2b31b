//! How do clients hear that their connection is dead, where the kernel cannot close sockets of others?
//!
//! A client that waits for an answer sends nothing, so nobody can tell it anything in time. A segment that comes as if
//! from the virtual address and that fits nowhere makes its kernel answer with the true state of the connection
//! (RFC 9293, 3.10.7.4). That answer goes to the virtual address, where nobody knows the connection any more, so it is
//! reset in the usual way.
//!
//! Where it is not known whether the connection is dead, the answer shall go to its server: one that knows the connection
//! ignores it, another one resets it. For that connection tracking must not take the segment for the beginning of a
//! connection of its own. One that answers a beginning which nobody saw is none, so it is let through as it is.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Result;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with, sockopt};

const TCP: u8 = 6;
const BEGINS: u8 = 0x02;
const ACKNOWLEDGES: u8 = 0x10;

/// Knocks at each of these clients of `service` on this host, whose connections are gone. What cannot be sent is left:
/// clients elsewhere cannot be reached in this way, and a client with something to say hears of it by itself.
pub(crate) fn knock(service: SocketAddr, clients: &[SocketAddr]) {
    send(service, clients, ACKNOWLEDGES);
}

/// Has each of these clients of `service` find out whether its server still knows of its connection. Those that live go
/// on undisturbed.
pub(crate) fn remind(service: SocketAddr, clients: &[SocketAddr]) {
    send(service, clients, BEGINS | ACKNOWLEDGES);
}

fn send(service: SocketAddr, clients: &[SocketAddr], flags: u8) {
    let Ok(socket) = open(service.ip()) else { return };
    let random = RandomState::new();
    for client in clients.iter().filter(|client| client.is_ipv6() == service.is_ipv6()) {
        let mut hasher = random.build_hasher();
        hasher.write_u16(client.port());
        let segment = segment(service, *client, flags, hasher.finish());
        let _ = sendto(&socket, &segment, SendFlags::DONTWAIT, &SocketAddr::new(client.ip(), 0));
    }
}

/// A socket that sends TCP segments as they are, from this address.
fn open(from: IpAddr) -> Result<OwnedFd> {
    let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::RAW, flags, Some(ipproto::TCP))?;
    // The address is this host's by a route, not on a link.
    if from.is_ipv6() { sockopt::set_ipv6_freebind(&socket, true) } else { sockopt::set_ip_freebind(&socket, true) }?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    Ok(socket)
}

/// A TCP header without content, with numbers out of nowhere.
fn segment(from: SocketAddr, to: SocketAddr, flags: u8, random: u64) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[0..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..12].copy_from_slice(&random.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = flags;
    let sum = checksum(from.ip(), to.ip(), &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The checksum of a segment together with its addresses (RFC 9293, 3.1).
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let mut covered = Vec::with_capacity(60);
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => covered.extend(address.octets()),
            IpAddr::V6(address) => covered.extend(address.octets()),
        }
    }
    covered.extend([0, TCP]);
    covered.extend(u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes());
    covered.extend(segment);
    let words = covered.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_segment_is_one_that_a_kernel_accepts() {
        for [from, to] in [["10.103.97.2:6443", "10.0.0.9:40000"], ["[fd00::2]:6443", "[fd00::9]:40000"]] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let segment = segment(from, to, ACKNOWLEDGES, 0x0102_0304_0506_0708);
            assert_eq!(segment[..4], [0x19, 0x2b, 0x9c, 0x40]);
            assert_eq!(segment[4..14], [1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10]);
            assert_eq!(checksum(from.ip(), to.ip(), &segment), 0, "a sum over everything with its checksum is zero");
        }
    }

    #[test]
    fn without_privilege_nothing_is_sent_and_nothing_fails() {
        for send in [knock, remind] {
            send("192.0.2.1:1".parse().unwrap(), &["192.0.2.2:2".parse().unwrap()]);
        }
    }
}

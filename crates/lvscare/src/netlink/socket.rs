//! How are messages exchanged with the kernel?

use std::future::poll_fn;
use std::time::Duration;

use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket, protocols};
use tokio::time::timeout;

use super::message::{ACK, Answer, answers};
use super::{DUMP, Failure, Message, Reply};

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bus {
    /// Addresses, routes and links.
    Route,
    /// Packet filter and connection tracking.
    Netfilter,
    /// Sockets of this host.
    Sockets,
}

/// The kernel answers at once; changes of nftables may wait for other processors.
const PATIENCE: Duration = Duration::from_secs(5);
/// A table of connections may be this long; nothing else comes near.
const LIMIT: usize = 512 << 20;

/// Sends `messages` in one go and hands every object that the kernel tells to `take`, until the end of the list or the
/// last receipt that was asked for. Ends at the first failure.
pub(crate) async fn exchange(
    bus: Bus,
    messages: &[Message],
    take: &mut (dyn FnMut(Reply<'_>) + Send),
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let mut awaited = 0;
    for (sequence, message) in (1..).zip(messages) {
        message.write(sequence, &mut bytes);
        if message.flags & (ACK | DUMP) != 0 {
            awaited = sequence;
        }
    }
    timeout(PATIENCE, converse(bus, &bytes, awaited, take)).await.map_err(|_| Failure::Silent)?
}

/// Sends `bytes` and reads until the end of message number `awaited`.
async fn converse(
    bus: Bus,
    bytes: &[u8],
    awaited: u32,
    take: &mut (dyn FnMut(Reply<'_>) + Send),
) -> Result<(), Failure> {
    let socket = open(bus).map_err(Failure::Socket)?;
    let kernel = SocketAddr::new(0, 0);
    poll_fn(|context| socket.poll_send_to(context, bytes, &kernel)).await.map_err(Failure::Socket)?;
    let mut length = 0;
    loop {
        let (datagram, from) = poll_fn(|context| socket.poll_recv_from_full(context)).await.map_err(Failure::Socket)?;
        if from.port_number() != 0 {
            continue;
        }
        length += datagram.len();
        if length > LIMIT {
            return Err(Failure::TooLong);
        }
        for (sequence, answer) in answers(&datagram) {
            match answer {
                Answer::Object(reply) => take(reply),
                Answer::End(Ok(())) if sequence == awaited => return Ok(()),
                Answer::End(end) => end?,
            }
        }
    }
}

fn open(bus: Bus) -> std::io::Result<TokioSocket> {
    let protocol = match bus {
        Bus::Route => protocols::NETLINK_ROUTE,
        Bus::Netfilter => protocols::NETLINK_NETFILTER,
        Bus::Sockets => protocols::NETLINK_SOCK_DIAG,
    };
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().bind_auto()?;
    // Words about failures are welcome, but kernels before 4.12 have none.
    let _ = socket.socket_ref().set_ext_ack(true);
    let _ = socket.socket_ref().set_cap_ack(true);
    Ok(socket)
}

//! How are messages exchanged with the kernel?

use std::future::poll_fn;
use std::ops::RangeInclusive;
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

/// A socket for some exchanges one after the other.
pub(crate) struct Socket {
    socket: TokioSocket,
    /// The number of the next message.
    next: u32,
}

impl Socket {
    /// Opens one to this part of the kernel, in the network namespace of this thread.
    pub(crate) fn open(bus: Bus) -> Result<Self, Failure> {
        Ok(Self { socket: open(bus).map_err(Failure::Socket)?, next: 1 })
    }

    /// Sends `messages` in one go and hands every object that the kernel tells to `take`, until the end of the list or
    /// the last receipt that was asked for. Ends at the first failure.
    pub(crate) async fn exchange(
        &mut self,
        messages: &[Message],
        take: &mut (dyn FnMut(Reply<'_>) + Send),
    ) -> Result<(), Failure> {
        let first = self.next;
        let mut bytes = Vec::new();
        let mut awaited = first;
        for message in messages {
            message.write(self.next, &mut bytes);
            if message.flags & (ACK | DUMP) != 0 {
                awaited = self.next;
            }
            self.next = self.next.wrapping_add(1);
        }
        timeout(PATIENCE, self.converse(&bytes, first..=awaited, take)).await.map_err(|_| Failure::Silent)?
    }

    /// Sends `bytes` and reads the answers to these messages until the end of the last of them.
    async fn converse(
        &self,
        bytes: &[u8],
        messages: RangeInclusive<u32>,
        take: &mut (dyn FnMut(Reply<'_>) + Send),
    ) -> Result<(), Failure> {
        let kernel = SocketAddr::new(0, 0);
        poll_fn(|context| self.socket.poll_send_to(context, bytes, &kernel)).await.map_err(Failure::Socket)?;
        let mut length = 0;
        loop {
            let (datagram, from) =
                poll_fn(|context| self.socket.poll_recv_from_full(context)).await.map_err(Failure::Socket)?;
            length += datagram.len();
            if length > LIMIT {
                return Err(Failure::TooLong);
            }
            // Other processes may write to this socket; and after a failure answers to earlier messages are left.
            let answers = answers(&datagram).filter(|(number, _)| from.port_number() == 0 && messages.contains(number));
            for (number, answer) in answers {
                match answer {
                    Answer::Object(reply) => take(reply),
                    Answer::End(Ok(())) if number == *messages.end() => return Ok(()),
                    Answer::End(end) => end?,
                }
            }
        }
    }
}

/// Waits for a message of the kernel to the subscribers of `groups` of which `is_it` says that it is the awaited one.
/// Also ends when messages were lost, which may have been it.
///
/// # Errors
/// When the kernel has no such groups, or does not let this process listen.
pub(crate) async fn overhear(
    bus: Bus,
    groups: &[u32],
    is_it: &(dyn Fn(Reply<'_>) -> bool + Send + Sync),
) -> Result<(), Failure> {
    overhear_from(bus, groups, is_it, || ()).await
}

/// As [`overhear`]; `begun` is called as soon as no message is missed any more.
pub(crate) async fn overhear_from(
    bus: Bus,
    groups: &[u32],
    is_it: &(dyn Fn(Reply<'_>) -> bool + Send + Sync),
    begun: impl FnOnce() + Send,
) -> Result<(), Failure> {
    let mut socket = open(bus).map_err(Failure::Socket)?;
    for group in groups {
        socket.socket_mut().add_membership(*group).map_err(Failure::Socket)?;
    }
    begun();
    // Lost messages show as a failure to receive.
    while let Ok((datagram, from)) = poll_fn(|context| socket.poll_recv_from_full(context)).await {
        let mut replies = answers(&datagram).filter_map(|(_, answer)| match answer {
            Answer::Object(reply) => Some(reply),
            Answer::End(_) => None,
        });
        if from.port_number() == 0 && replies.any(is_it) {
            break;
        }
    }
    Ok(())
}

/// One exchange over a socket of its own.
pub(crate) async fn exchange(
    bus: Bus,
    messages: &[Message],
    take: &mut (dyn FnMut(Reply<'_>) + Send),
) -> Result<(), Failure> {
    Socket::open(bus)?.exchange(messages, take).await
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

//! Exchanges messages with the kernel, over one kind of socket for all its parts.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::time::Duration;

use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket, protocols};
use tokio::sync::Mutex;
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
    /// Parts that have no number of their own, such as IPVS.
    Generic,
}

/// The kernel answers at once, unless it has to load a module or to wait for other processors first.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A table of connections may be this long; nothing else comes near.
const LIMIT: usize = 512 << 20;

/// A socket that is kept from exchange to exchange; opened when it is first needed, and again after a failure.
pub(crate) struct Socket {
    bus: Bus,
    open: Mutex<Option<Open>>,
}

struct Open {
    socket: TokioSocket,
    /// The number of the next message.
    next: u32,
}

impl Socket {
    /// One to this part of the kernel, in the network namespace of the thread that first uses it.
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus, open: Mutex::new(None) }
    }

    /// Sends `messages` in one go and hands every object that the kernel tells to `take`, until the end of the list or
    /// the last receipt that was asked for. Ends at the first failure. May be dropped at any time: late answers are
    /// known by their numbers.
    pub(crate) async fn exchange(
        &self,
        messages: &[Message],
        take: &mut (dyn FnMut(Reply<'_>) + Send),
    ) -> Result<(), Failure> {
        let mut kept = self.open.lock().await;
        // Nothing is kept of an exchange that is dropped or fails on the way: its list may still be open.
        let used = kept.take();
        let fresh = used.is_none();
        let mut open = used.map_or_else(|| Open::new(self.bus), Ok)?;
        let awaited = match open.send(messages).await {
            // A kept socket may have outlived the runtime that it was opened in.
            Err(_) if !fresh => {
                open = Open::new(self.bus)?;
                open.send(messages).await?
            }
            sent => sent?,
        };
        let done = timeout(TIMEOUT, open.receive(awaited, take)).await.unwrap_or(Err(Failure::Silent));
        if matches!(done, Ok(()) | Err(Failure::Errno { .. })) {
            *kept = Some(open);
        }
        done
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("bus", &self.bus).finish_non_exhaustive()
    }
}

impl Open {
    fn new(bus: Bus) -> Result<Self, Failure> {
        Ok(Self { socket: open(bus).map_err(Failure::Socket)?, next: 1 })
    }

    /// Sends `messages` in one go. Returns the numbers of the answers up to the last one that is awaited.
    async fn send(&mut self, messages: &[Message]) -> Result<RangeInclusive<u32>, Failure> {
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
        let kernel = SocketAddr::new(0, 0);
        let sending = poll_fn(|context| self.socket.poll_send_to(context, &bytes, &kernel));
        timeout(TIMEOUT, sending).await.map_err(|_| Failure::Silent)?.map_err(Failure::Socket)?;
        Ok(first..=awaited)
    }

    /// Reads the answers to these messages until the end of the last of them.
    async fn receive(
        &self,
        messages: RangeInclusive<u32>,
        take: &mut (dyn FnMut(Reply<'_>) + Send),
    ) -> Result<(), Failure> {
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

fn open(bus: Bus) -> std::io::Result<TokioSocket> {
    let protocol = match bus {
        Bus::Route => protocols::NETLINK_ROUTE,
        Bus::Netfilter => protocols::NETLINK_NETFILTER,
        Bus::Sockets => protocols::NETLINK_SOCK_DIAG,
        Bus::Generic => protocols::NETLINK_GENERIC,
    };
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().bind_auto()?;
    // Words about failures are welcome, but kernels before 4.12 have none.
    let _ = socket.socket_ref().set_ext_ack(true);
    let _ = socket.socket_ref().set_cap_ack(true);
    Ok(socket)
}

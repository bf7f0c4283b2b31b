//! Exchanges messages with the kernel, over one kind of socket for all its parts.

use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};

use netlink_packet_core::{
    NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket as RawSocket, SocketAddr};

use super::{ACK, DUMP, Failure};

/// A message to the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Request<T> {
    /// What is asked or told.
    pub(crate) message: T,
    /// How (`NLM_F_*`).
    pub(crate) flags: u16,
}

/// A socket to one part of the kernel. It is opened when first needed, in the network namespace of that thread, and kept
/// until an exchange fails.
///
/// The kernel works on a message while it is sent, so answers are there at once and nothing ever waits for them.
#[derive(Debug)]
pub(crate) struct Socket {
    protocol: isize,
    idle: Mutex<Option<RawSocket>>,
}

impl Socket {
    /// A socket of this protocol (`netlink(7)`).
    pub(crate) fn new(protocol: isize) -> Self {
        Self { protocol, idle: Mutex::new(None) }
    }

    /// Sends `requests` in one go and hands every object that the kernel answers to `take`, until the end of the list or
    /// the last acknowledgement that was asked for. Ends at the first failure.
    pub(crate) async fn exchange<T: NetlinkSerializable + NetlinkDeserializable + Send>(
        &self,
        requests: Vec<Request<T>>,
        take: &mut (dyn FnMut(T) + Send),
    ) -> Result<(), Failure> {
        let idle = self.idle().take();
        let socket = idle.map_or_else(|| open(self.protocol, 0), Ok).map_err(Failure::Io)?;
        let (bytes, last) = encode(requests);
        socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map_err(Failure::Io)?;
        loop {
            tokio::task::consume_budget().await;
            let (datagram, from) = socket.recv_from_full().map_err(Failure::Io)?;
            // Other processes may write to this socket.
            if from.port_number() == 0 && decode(&datagram, last, take)? {
                break;
            }
        }
        *self.idle() = Some(socket);
        Ok(())
    }

    /// Sends one request and returns what the kernel answers.
    pub(crate) async fn ask<T: NetlinkSerializable + NetlinkDeserializable + Send>(
        &self,
        message: T,
        flags: u16,
    ) -> Result<Vec<T>, Failure> {
        let mut answers = Vec::new();
        self.exchange(vec![Request { message, flags }], &mut |answer| answers.push(answer)).await?;
        Ok(answers)
    }

    /// Whether the kernel told anything to these groups since the last call; true at the first. What it was is not read. A
    /// socket that listens cannot be asked anything.
    pub(crate) fn has_heard(&self, groups: u32) -> bool {
        let mut listening = self.idle();
        let is_silent = |socket: &RawSocket| {
            let heard = socket.recv(&mut Vec::with_capacity(1), 0);
            heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let has_heard = !listening.as_ref().is_some_and(is_silent);
        if has_heard {
            // A new one has heard nothing yet, however much was told.
            *listening = open(self.protocol, groups).ok();
        }
        has_heard
    }

    fn idle(&self) -> MutexGuard<'_, Option<RawSocket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(protocol: isize, groups: u32) -> std::io::Result<RawSocket> {
    let mut socket = RawSocket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    socket.set_non_blocking(true)?;
    // Failures need not repeat what was sent; kernels before 4.10 do.
    let _ = socket.set_cap_ack(true);
    Ok(socket)
}

/// The bytes of `requests`, numbered from 1 on, and the number of the last one that is answered.
fn encode<T: NetlinkSerializable>(requests: Vec<Request<T>>) -> (Vec<u8>, u32) {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for (number, Request { message, flags }) in (1..).zip(requests) {
        let mut message = NetlinkMessage::new(Default::default(), NetlinkPayload::InnerMessage(message));
        message.header.flags = flags | NLM_F_REQUEST;
        message.header.sequence_number = number;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
        if flags & (ACK | DUMP) != 0 {
            last = number;
        }
    }
    (bytes, last)
}

/// Hands the objects in a datagram to `take`. True when it has the end of the answer to request number `last`.
fn decode<T: NetlinkDeserializable>(
    mut datagram: &[u8],
    last: u32,
    take: &mut (dyn FnMut(T) + Send),
) -> Result<bool, Failure> {
    while let Ok(next) = NetlinkBuffer::new_checked(datagram) {
        let length = usize::try_from(next.length()).unwrap_or(usize::MAX).next_multiple_of(4);
        // What the crates cannot understand is left out.
        if let Ok(NetlinkMessage { header, payload, .. }) = NetlinkMessage::deserialize(datagram) {
            if header.flags & NLM_F_DUMP_INTR != 0 {
                return Err(Failure::Interrupted);
            }
            let code = match payload {
                NetlinkPayload::InnerMessage(answer) => {
                    take(answer);
                    None
                }
                NetlinkPayload::Error(error) => Some(error.raw_code()),
                NetlinkPayload::Done(done) => Some(done.code),
                _ => None,
            };
            match code {
                Some(0) if header.sequence_number == last => return Ok(true),
                Some(0) | None => {}
                Some(code) => return Err(Failure::Errno(code.saturating_neg())),
            }
        }
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::Packet;
    use super::*;

    const ERROR: u16 = 2;
    const DONE: u16 = 3;

    /// A datagram with these messages: type, flags, body.
    fn datagram(messages: &[(u16, u16, &[u8])]) -> Vec<u8> {
        let request = |(kind, flags, body): &(u16, u16, &[u8])| {
            let message = Packet { kind: *kind, body: body.to_vec() };
            Request { message, flags: *flags }
        };
        encode(messages.iter().map(request).collect()).0
    }

    fn read(datagram: &[u8], last: u32) -> (Result<bool, Failure>, Vec<Packet>) {
        let mut taken = Vec::new();
        let result = decode(datagram, last, &mut |packet| taken.push(packet));
        (result, taken)
    }

    #[test]
    fn a_message_has_its_length_and_is_padded() {
        let sent = datagram(&[(0xa10, ACK, &[1, 2, 3, 4, 5])]);
        assert_eq!(sent, [21, 0, 0, 0, 0x10, 0x0a, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
    }

    #[test]
    fn objects_end_with_the_answer_to_the_last_request() {
        let object = Packet { kind: 0xa06, body: vec![7; 4] };
        let answer = datagram(&[(0xa06, 0, &[7; 4]), (ERROR, 0, &[0; 20]), (DONE, 0, &[0; 4])]);
        assert!(matches!(read(&answer, 3), (Ok(true), taken) if taken == [object]));
        assert!(matches!(read(&answer, 4), (Ok(false), _)));
    }

    #[test]
    fn failures_are_told() {
        let failed = datagram(&[(ERROR, 0, &[&(-2i32).to_ne_bytes()[..], &[0; 16]].concat())]);
        assert!(matches!(read(&failed, 1).0, Err(Failure::Errno(2))));
        let interrupted = datagram(&[(0xa06, NLM_F_DUMP_INTR, &[0; 4])]);
        assert!(matches!(read(&interrupted, 1).0, Err(Failure::Interrupted)));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes, 1).1.len() <= bytes.len() / 16);
        }

        #[test]
        fn any_message_is_read_without_panic(kind in 0..5u16, flags: u16, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&datagram(&[(kind, flags, &body)]), 1);
        }
    }
}

//! How does a message reach IPVS, and how do its answers come back?

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::answer::Answer;
use super::request::{FAMILY, Request};

/// The kernel answers at once, unless it has to load a module first.
const PATIENCE: Duration = Duration::from_secs(10);
/// No datagram of the kernel is longer than what is read at a time; a dump is split to fit.
const DATAGRAM: usize = 16 * 1024;
/// So many datagrams answer one request at most: far more servers than the kernel would be asked to hold.
const DATAGRAMS: usize = 4096;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The kernel refused, with this number.
    Refused(i32),
    /// The answer could not be understood.
    Malformed(String),
    /// The socket failed.
    Socket(io::Error),
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// With the one message that was asked for.
    One,
    /// With a word that it is done.
    Done,
    /// With a message that ends a list.
    List,
}

/// An open socket to the kernel's generic netlink.
pub(super) struct Connection {
    socket: TokioSocket,
    family: u16,
    sequence: u32,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Connection {
    /// A socket to which only the kernel can send; the family is not looked up yet.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_GENERIC)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_ref().connect(&SocketAddr::new(0, 0))?;
        let incoming = Vec::with_capacity(DATAGRAM);
        Ok(Self { socket, family: 0, sequence: 0, outgoing: Vec::new(), incoming })
    }

    /// Asks the kernel for the number of the IPVS family, which makes current kernels load the module.
    pub(super) async fn find_family(&mut self) -> Result<(), Failure> {
        let request =
            GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_string())] };
        let mut found = None;
        self.talk(GenlMessage::from_payload(request), Expect::One, |answer: GenlMessage<GenlCtrl>| {
            found = answer.payload.nlas.iter().find_map(|attribute| match attribute {
                GenlCtrlAttrs::FamilyId(number) => Some(*number),
                _ => None,
            });
        })
        .await?;
        self.family = found.ok_or_else(|| Failure::Malformed("a family without a number".to_string()))?;
        Ok(())
    }

    /// Sends `request` and hands every answer to `each`.
    pub(super) async fn ask(
        &mut self,
        request: Request,
        expect: Expect,
        mut each: impl FnMut(Answer),
    ) -> Result<(), Failure> {
        let mut message = GenlMessage::from_payload(request);
        message.set_resolved_family_id(self.family);
        self.talk(message, expect, |answer: GenlMessage<Answer>| each(answer.payload)).await
    }

    async fn talk<Q: NetlinkSerializable, A: NetlinkDeserializable>(
        &mut self,
        request: Q,
        expect: Expect,
        each: impl FnMut(A),
    ) -> Result<(), Failure> {
        let talked = tokio::time::timeout(PATIENCE, self.talk_patiently(request, expect, each));
        talked.await.unwrap_or_else(|_| Err(Failure::Socket(io::ErrorKind::TimedOut.into())))
    }

    async fn talk_patiently<Q: NetlinkSerializable, A: NetlinkDeserializable>(
        &mut self,
        request: Q,
        expect: Expect,
        mut each: impl FnMut(A),
    ) -> Result<(), Failure> {
        // Answers to an earlier request that was given up carry another number.
        self.sequence = self.sequence.wrapping_add(1).max(1);
        write(request, expect, self.sequence, &mut self.outgoing);
        self.socket.send(&self.outgoing).await.map_err(Failure::Socket)?;
        for _ in 0..DATAGRAMS {
            self.incoming.clear();
            self.socket.recv(&mut self.incoming).await.map_err(Failure::Socket)?;
            if read(&self.incoming, expect, self.sequence, &mut each)? {
                return Ok(());
            }
        }
        Err(Failure::Malformed("an answer without an end".to_string()))
    }
}

/// Writes the whole datagram into `buffer`, which is used again and again.
pub(super) fn write<Q: NetlinkSerializable>(request: Q, expect: Expect, sequence: u32, buffer: &mut Vec<u8>) {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(request));
    message.header.flags = NLM_F_REQUEST
        | match expect {
            Expect::One => 0,
            Expect::Done => NLM_F_ACK,
            Expect::List => NLM_F_DUMP,
        };
    message.header.sequence_number = sequence;
    message.finalize();
    buffer.clear();
    buffer.resize(message.buffer_len(), 0);
    message.serialize(buffer);
}

/// Reads one datagram of the answer to request `sequence`; true when the answer ended with it.
pub(super) fn read<A: NetlinkDeserializable>(
    mut bytes: &[u8],
    expect: Expect,
    sequence: u32,
    each: &mut impl FnMut(A),
) -> Result<bool, Failure> {
    let malformed = |error: netlink_packet_core::DecodeError| Failure::Malformed(error.to_string());
    while !bytes.is_empty() {
        let buffer = NetlinkBuffer::new_checked(bytes).map_err(malformed)?;
        // At least a header long, says the check: this loop moves on.
        let length = usize::try_from(buffer.length()).unwrap_or(usize::MAX).next_multiple_of(4).min(bytes.len());
        let ours = buffer.sequence_number() == sequence;
        if ours && end(&bytes[..length], expect, each)? {
            return Ok(true);
        }
        bytes = &bytes[length..];
    }
    Ok(false)
}

fn end<A: NetlinkDeserializable>(message: &[u8], expect: Expect, each: &mut impl FnMut(A)) -> Result<bool, Failure> {
    let message = NetlinkMessage::<A>::deserialize(message).map_err(|error| Failure::Malformed(error.to_string()))?;
    match message.payload {
        NetlinkPayload::InnerMessage(answer) => {
            each(answer);
            Ok(expect == Expect::One)
        }
        NetlinkPayload::Error(error) => match error.raw_code() {
            0 => Ok(true),
            code => Err(Failure::Refused(code.saturating_neg())),
        },
        NetlinkPayload::Done(done) if done.code < 0 => Err(Failure::Refused(done.code.saturating_neg())),
        NetlinkPayload::Done(_) => Ok(true),
        NetlinkPayload::Overrun(_) => Err(Failure::Malformed("the kernel lost messages".to_string())),
        _ => Ok(false),
    }
}

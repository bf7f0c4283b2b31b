//! How is the kernel asked about routes, addresses and links?

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_route::RouteNetlinkMessage;

use crate::netlink::{Bus, Failure, Message, Reply, exchange};

/// Sends one message and hands what the kernel tells to `take`; what cannot be understood is left out.
pub(super) async fn ask(
    message: RouteNetlinkMessage,
    flags: u16,
    take: &mut (dyn FnMut(RouteNetlinkMessage) + Send),
) -> Result<(), Failure> {
    let mut body = vec![0; message.buffer_len()];
    message.serialize(&mut body);
    let message = Message { kind: message.message_type(), flags, body };
    exchange(Bus::Route, &[message], &mut |reply| {
        if let Some(message) = told(reply) {
            take(message);
        }
    })
    .await
}

/// What the kernel tells; none when it cannot be understood.
pub(super) fn told(reply: Reply<'_>) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = reply.kind;
    RouteNetlinkMessage::deserialize(&header, reply.body).ok()
}

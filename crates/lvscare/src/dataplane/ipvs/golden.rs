//! Are our bytes those that `ipvsadm` sends, and do we understand those that a kernel answers?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use netlink_packet_core::{Emitable, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader};
use netlink_packet_generic::GenlMessage;
use proptest::prelude::*;

use super::answer::{Answer, ServerEntry, ServiceEntry};
use super::request::{Command, Request};
use super::socket::{Expect, Failure, read, write};
use super::{Info, Timeouts};
use crate::{Forward, Scheduler, Server, Service, Traffic};

const FAMILY: u16 = 0x1c;

/// The recorded messages by name.
fn golden() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = include_str!("golden.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, digits) = line.rsplit_once(' ').unwrap();
            (name, digits.as_bytes().chunks(2).map(byte).collect())
        })
        .collect()
}

fn byte(two: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A request as it goes out, from the generic netlink header on.
fn bytes(request: Request) -> Vec<u8> {
    let message = GenlMessage::from_payload(request);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn answer(bytes: &[u8]) -> Answer {
    GenlMessage::<Answer>::deserialize(&NetlinkHeader::default(), bytes).unwrap().payload
}

/// A datagram of these messages, each with its type and sequence number.
fn datagram(messages: &[(u16, u32, &[u8])]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for (kind, sequence, body) in messages {
        let start = datagram.len();
        datagram.resize(start + 16 + body.len().next_multiple_of(4), 0);
        let mut buffer = NetlinkBuffer::new(&mut datagram[start..]);
        buffer.set_length(u32::try_from(16 + body.len()).unwrap());
        buffer.set_message_type(*kind);
        buffer.set_sequence_number(*sequence);
        buffer.payload_mut().copy_from_slice(body);
    }
    datagram
}

fn service(text: &str, scheduler: Scheduler) -> Service {
    Service { address: address(text), scheduler }
}

#[test]
fn services_and_lists_are_asked_for_in_the_bytes_of_ipvsadm() {
    let golden = golden();
    let add = |text, scheduler| bytes(Request::service(Command::NewService, &service(text, scheduler)));
    let list = |text| bytes(Request::about(Command::GetServer, address(text)));
    assert_eq!(add("10.103.97.2:6443", Scheduler::Rr), golden["sent add-service-4"]);
    assert_eq!(add("[fd00::2]:6443", Scheduler::Wlc), golden["sent add-service-6"]);
    assert_eq!(list("10.103.97.2:6443"), golden["sent list-servers-4"]);
    assert_eq!(list("[fd00::2]:6443"), golden["sent list-servers-6"]);
}

#[test]
fn a_server_is_written_by_the_policy_of_the_kernel() {
    let request =
        Request::server(Command::NewServer, address("10.103.97.2:6443"), address("10.0.0.11:6443"), Server::of(3));
    #[rustfmt::skip]
    let expected: &[u8] = &[
        5, 1, 0, 0, // IPVS_CMD_NEW_DEST, version 1
        0x30, 0, 1, 0x80, // the service: 48 bytes, nested
        6, 0, 1, 0, 2, 0, 0, 0, // AF_INET
        6, 0, 2, 0, 6, 0, 0, 0, // TCP
        20, 0, 3, 0, 10, 103, 97, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 4, 0, 0x19, 0x2b, 0, 0, // 6443, big-endian
        0x48, 0, 2, 0x80, // the server: 72 bytes, nested
        20, 0, 1, 0, 10, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 2, 0, 0x19, 0x2b, 0, 0,
        8, 0, 3, 0, 0, 0, 0, 0, // masquerading
        8, 0, 4, 0, 3, 0, 0, 0, // weight 3
        8, 0, 5, 0, 0, 0, 0, 0, // no thresholds
        8, 0, 6, 0, 0, 0, 0, 0,
        6, 0, 11, 0, 2, 0, 0, 0, // AF_INET
    ];
    if cfg!(target_endian = "little") {
        assert_eq!(bytes(request), expected);
    }
}

#[test]
fn what_ipvsadm_sends_reads_as_what_it_was_told() {
    let golden = golden();
    let entry = |host: &str, weight| {
        let server = Server::of(weight);
        Answer::Server(ServerEntry { address: address(host), server, traffic: Traffic::default() })
    };
    assert_eq!(answer(&golden["sent add-server-4"]), entry("10.0.0.11:6443", 3));
    assert_eq!(answer(&golden["sent add-server-6"]), entry("[fd00::11]:6443", 1));
}

#[test]
fn the_kernels_answers_are_understood_and_those_about_others_are_foreign() {
    let golden = golden();
    let entry = |text: &str, scheduler| Answer::Service(ServiceEntry { address: address(text), scheduler });
    assert_eq!(answer(&golden["told service-4"]), entry("10.103.97.2:6443", Scheduler::Rr));
    assert_eq!(answer(&golden["told service-6"]), entry("[fd00::2]:6443", Scheduler::Wlc));
    assert_eq!(answer(&golden["told service-udp"]), Answer::Foreign);
    assert_eq!(answer(&golden["told service-mark"]), Answer::Foreign);
    let Answer::Server(four) = answer(&golden["told server-4"]) else { panic!("no server") };
    assert_eq!((four.address, four.server), (address("10.0.0.11:6443"), Server::of(3)));
    let Answer::Server(six) = answer(&golden["told server-6"]) else { panic!("no server") };
    assert_eq!((six.address, six.server), (address("[fd00::11]:6443"), Server::of(1)));
    let info = Info { version: [1, 2, 1], connection_table_size: 4096 };
    assert_eq!(answer(&golden["told info"]), Answer::Info(info));
}

#[test]
fn counters_are_read_in_64_bits_where_the_kernel_has_them() {
    let mut told = golden()["told server-4"].clone();
    let place =
        |told: &[u8], pattern: &[u8]| told.windows(pattern.len()).rposition(|window| window == pattern).unwrap();
    for (number, value) in [(1u8, 0x1_0000_0005_u64), (2, 6), (3, 7), (4, 8), (5, u64::MAX)] {
        let start = place(&told, &[12, 0, number, 0]) + 4;
        told[start..start + 8].copy_from_slice(&value.to_ne_bytes());
    }
    let active = place(&told, &[8, 0, 7, 0, 0, 0, 0, 0, 8, 0, 8, 0, 0, 0, 0, 0, 8, 0, 9, 0, 0, 0, 0, 0, 6]) + 4;
    told[active] = 9;
    let Answer::Server(entry) = answer(&told) else { panic!("no server") };
    let expected = Traffic {
        connections: 0x1_0000_0005,
        packets_in: 6,
        packets_out: 7,
        bytes_in: 8,
        bytes_out: u64::MAX,
        active: 9,
        inactive: 0,
    };
    assert_eq!(entry.traffic, expected);
}

#[test]
fn what_we_never_write_is_seen_as_something_else() {
    let mut told = golden()["told service-4"].clone();
    let flags = told.windows(4).position(|window| window == [12, 0, 7, 0]).unwrap() + 4;
    told[flags] |= 1; // IP_VS_SVC_F_PERSISTENT
    let Answer::Service(entry) = answer(&told) else { panic!("no service") };
    assert_eq!(entry.scheduler, Scheduler::Other);

    let mut told = golden()["told server-4"].clone();
    let forward = told.windows(4).position(|window| window == [8, 0, 3, 0]).unwrap() + 4;
    told[forward] = 3; // IP_VS_CONN_F_DROUTE
    let Answer::Server(entry) = answer(&told) else { panic!("no server") };
    assert_eq!(entry.server, Server { weight: 3, forward: Forward::Other });
    told[forward] = 1; // IP_VS_CONN_F_LOCALNODE: the kernel's own way to an address of this host
    let Answer::Server(entry) = answer(&told) else { panic!("no server") };
    assert_eq!(entry.server, Server::of(3));
}

#[test]
fn time_outs_go_out_and_come_back() {
    let seconds = Duration::from_secs;
    let timeouts = Timeouts { tcp: seconds(900), tcp_fin: seconds(120), udp: seconds(300) };
    assert_eq!(answer(&bytes(Request::timeouts(timeouts))), Answer::Timeouts(timeouts));
}

#[test]
fn a_whole_request_is_one_datagram_and_the_buffer_is_used_again() {
    let request = || {
        let mut message = GenlMessage::from_payload(Request::about(Command::GetServer, address("10.103.97.2:6443")));
        message.set_resolved_family_id(FAMILY);
        message
    };
    let mut buffer = vec![0xff; 1000];
    write(request(), Expect::List, 7, &mut buffer);
    let golden = golden();
    let parsed = NetlinkBuffer::new_checked(&buffer).unwrap();
    assert_eq!((parsed.length() as usize, parsed.message_type()), (buffer.len(), FAMILY));
    assert_eq!((parsed.flags(), parsed.sequence_number()), (0x301, 7));
    assert_eq!(parsed.payload(), golden["sent list-servers-4"]);
}

#[test]
fn answers_end_as_the_request_expects() {
    let golden = golden();
    let (server, late) = (&golden["told server-4"][..], &golden["told server-6"][..]);
    let taken = |datagram: &[u8], expect| {
        let mut taken = 0;
        let ended = read(datagram, expect, 7, &mut |_: GenlMessage<Answer>| taken += 1);
        (taken, ended.map_err(|failure| format!("{failure:?}")))
    };
    let done: &[u8] = &[0; 4];
    let list = datagram(&[(FAMILY, 6, late), (FAMILY, 7, server), (FAMILY, 7, server)]);
    assert_eq!(taken(&list, Expect::List), (2, Ok(false)), "a late answer to another request does not count");
    assert_eq!(taken(&datagram(&[(FAMILY, 7, server), (3, 7, done)]), Expect::List), (1, Ok(true)));
    assert_eq!(taken(&datagram(&[(FAMILY, 7, server)]), Expect::One), (1, Ok(true)));
    let acknowledged = [&[0; 4][..], &[0; 16][..]].concat();
    assert_eq!(taken(&datagram(&[(2, 7, &acknowledged)]), Expect::Done), (0, Ok(true)));
    let refused = [&(-3i32).to_ne_bytes()[..], &[0; 16][..]].concat();
    assert_eq!(taken(&datagram(&[(2, 7, &refused)]), Expect::One), (0, Err("Refused(3)".to_string())));
    assert_eq!(taken(&datagram(&[(3, 7, &(-12i32).to_ne_bytes())]), Expect::List).1, Err("Refused(12)".to_string()));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn services_survive_the_way_there_and_back(address in any_address(), scheduler in 0..Scheduler::ALL.len()) {
        let wanted = Service { address, scheduler: Scheduler::ALL[scheduler] };
        let back = answer(&bytes(Request::service(Command::NewService, &wanted)));
        prop_assert_eq!(back, Answer::Service(ServiceEntry { address, scheduler: wanted.scheduler }));
    }

    #[test]
    fn servers_survive_the_way_there_and_back(service in any_address(), address in any_address(), weight: u16) {
        let back = answer(&bytes(Request::server(Command::NewServer, service, address, Server::of(weight))));
        let entry = ServerEntry { address, server: Server::of(weight), traffic: Traffic::default() };
        prop_assert_eq!(back, Answer::Server(entry));
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..2048), sequence in 0..3u32) {
        for expect in [Expect::One, Expect::Done, Expect::List] {
            let _ = read(&bytes, expect, sequence, &mut |_: GenlMessage<Answer>| {});
        }
    }

    /// The recorded answers with bytes changed, cut off and glued together; the sequence number stays, so that
    /// everything is looked at.
    #[test]
    fn broken_answers_are_read_to_an_end(
        picks in prop::collection::vec((0..16usize, any::<bool>()), 1..5),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
        keep in any::<prop::sample::Index>(),
    ) {
        let golden: Vec<Vec<u8>> = golden().into_values().collect();
        let messages: Vec<(u16, u32, &[u8])> =
            picks.iter().map(|(pick, ours)| (if *ours { FAMILY } else { 2 }, 7, &golden[pick % golden.len()][..])).collect();
        let mut bytes = datagram(&messages);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let mut messages = 0;
        for cut in [bytes.len(), keep.index(bytes.len())] {
            let _ = read(&bytes[..cut], Expect::List, 7, &mut |_: GenlMessage<Answer>| messages += 1);
        }
        prop_assert!(messages <= bytes.len() / 8);
    }

    /// Attributes that are not known yet change nothing.
    #[test]
    fn unknown_attributes_are_passed_over(kind in 16..0x3fffu16, content in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut told = golden()["told server-4"].clone();
        let before = answer(&told);
        let length = u16::try_from(4 + content.len()).unwrap();
        let attribute = [&length.to_ne_bytes()[..], &kind.to_ne_bytes()[..], &content[..]].concat();
        told.extend(&attribute);
        told.resize(told.len().next_multiple_of(4), 0);
        let inside = told.len() - 4;
        told[4..6].copy_from_slice(&u16::try_from(inside).unwrap().to_ne_bytes());
        prop_assert_eq!(answer(&told), before);
    }
}

#[test]
fn a_failure_is_never_silent() {
    let cut = datagram(&[(FAMILY, 7, &golden()["told server-4"][..50])]);
    let read = read(&cut, Expect::List, 7, &mut |_: GenlMessage<Answer>| {});
    assert!(matches!(read, Err(Failure::Malformed(_))), "{read:?}");
}

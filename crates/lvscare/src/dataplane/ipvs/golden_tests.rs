//! Our bytes are those that `ipvsadm` sends, and those that a kernel answers are understood.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::message::{self, ServerEntry, command, read_scheduler, read_server};
use super::plane::generic;
use crate::{FOREIGN, Scheduler, Service, Traffic};

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

fn server_entry(body: &[u8]) -> Option<ServerEntry> {
    read_server(body.get(4..)?)
}

fn scheduler_of(body: &[u8]) -> Option<Scheduler> {
    read_scheduler(body.get(4..)?)
}

fn add_service(address: SocketAddr, scheduler: Scheduler) -> Vec<u8> {
    generic(0, command::NEW_SERVICE, &[message::service(&Service { address, scheduler })]).body
}

fn add_server(service: SocketAddr, server: SocketAddr, weight: u32) -> Vec<u8> {
    generic(0, command::NEW_SERVER, &[message::service_at(service), message::server(server, weight)]).body
}

#[test]
fn services_and_lists_are_asked_for_in_the_bytes_of_ipvsadm() {
    let golden = golden();
    let list = |text| generic(0, command::GET_SERVER, &[message::service_at(address(text))]).body;
    assert_eq!(add_service(address("10.103.97.2:6443"), Scheduler::Rr), golden["sent add-service-4"]);
    assert_eq!(add_service(address("[fd00::2]:6443"), Scheduler::Wlc), golden["sent add-service-6"]);
    assert_eq!(list("10.103.97.2:6443"), golden["sent list-servers-4"]);
    assert_eq!(list("[fd00::2]:6443"), golden["sent list-servers-6"]);
}

#[test]
fn a_server_is_written_by_the_policy_of_the_kernel() {
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
        assert_eq!(add_server(address("10.103.97.2:6443"), address("10.0.0.11:6443"), 3), expected);
    }
}

#[test]
fn what_ipvsadm_sends_reads_as_what_it_was_told() {
    let golden = golden();
    let entry = |host: &str, weight| Some(ServerEntry { address: address(host), weight, traffic: Traffic::default() });
    assert_eq!(server_entry(&golden["sent add-server-4"]), entry("10.0.0.11:6443", 3));
    assert_eq!(server_entry(&golden["sent add-server-6"]), entry("[fd00::11]:6443", 1));
}

#[test]
fn the_kernels_answers_are_understood() {
    let golden = golden();
    assert_eq!(scheduler_of(&golden["told service-4"]), Some(Scheduler::Rr));
    assert_eq!(scheduler_of(&golden["told service-6"]), Some(Scheduler::Wlc));
    let four = server_entry(&golden["told server-4"]).unwrap();
    assert_eq!((four.address, four.weight), (address("10.0.0.11:6443"), 3));
    let six = server_entry(&golden["told server-6"]).unwrap();
    assert_eq!((six.address, six.weight), (address("[fd00::11]:6443"), 1));
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
    let expected = Traffic {
        connections: 0x1_0000_0005,
        packets_in: 6,
        packets_out: 7,
        bytes_in: 8,
        bytes_out: u64::MAX,
        active: 9,
        inactive: 0,
    };
    assert_eq!(server_entry(&told).unwrap().traffic, expected);
}

#[test]
fn what_we_never_write_is_seen_as_something_else() {
    let mut told = golden()["told service-4"].clone();
    let flags = told.windows(4).position(|window| window == [12, 0, 7, 0]).unwrap() + 4;
    told[flags] |= 1; // IP_VS_SVC_F_PERSISTENT
    assert_eq!(scheduler_of(&told), Some(Scheduler::Other));

    let mut told = golden()["told server-4"].clone();
    let forward = told.windows(4).position(|window| window == [8, 0, 3, 0]).unwrap() + 4;
    told[forward] = 3; // IP_VS_CONN_F_DROUTE
    assert_eq!(server_entry(&told).unwrap().weight, FOREIGN);
    told[forward] = 1; // IP_VS_CONN_F_LOCALNODE: the kernel's own way to an address of this host
    assert_eq!(server_entry(&told).unwrap().weight, 3);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn services_survive_the_way_there_and_back(address in any_address(), scheduler in 0..Scheduler::ALL.len()) {
        let scheduler = Scheduler::ALL[scheduler];
        prop_assert_eq!(scheduler_of(&add_service(address, scheduler)), Some(scheduler));
    }

    #[test]
    fn servers_survive_the_way_there_and_back(service in any_address(), address in any_address(), weight: u32) {
        let entry = ServerEntry { address, weight, traffic: Traffic::default() };
        prop_assert_eq!(server_entry(&add_server(service, address, weight)), Some(entry));
    }

    /// The recorded answers with bytes changed and cut off.
    #[test]
    fn broken_answers_do_no_harm(
        pick in 0..13usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = golden().into_values().nth(pick).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        for cut in [bytes.len(), keep.index(bytes.len())] {
            let _ = (scheduler_of(&bytes[..cut]), server_entry(&bytes[..cut]));
        }
    }

    /// Attributes that are not known yet change nothing.
    #[test]
    fn unknown_attributes_are_passed_over(kind in 16..0x3fffu16, content in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut told = golden()["told server-4"].clone();
        let before = server_entry(&told);
        let length = u16::try_from(4 + content.len()).unwrap();
        let attribute = [&length.to_ne_bytes()[..], &kind.to_ne_bytes()[..], &content[..]].concat();
        told.extend(&attribute);
        told.resize(told.len().next_multiple_of(4), 0);
        let inside = told.len() - 4;
        told[4..6].copy_from_slice(&u16::try_from(inside).unwrap().to_ne_bytes());
        prop_assert_eq!(server_entry(&told), before);
    }
}

//! Chooses an IPv4 subnet that overlaps no existing network or route.

use std::net::Ipv4Addr;

use crate::subnet::mask;

pub(super) use crate::subnet::Subnet;

impl Subnet {
    /// The first address, which the engine's bridge gets.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base.saturating_add(1))
    }

    /// Addresses for hosts, from the second to the last but broadcast.
    pub(super) fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let last = self.base | !mask(self.length);
        (self.base.saturating_add(2)..last).map(Ipv4Addr::from)
    }
}

/// The first candidate of 254 addresses that overlaps nothing in `taken`.
///
/// Candidates lie where neither the engine's own pools, nor the usual pod and service networks, nor most
/// offices have theirs.
pub(super) fn choose(taken: &[Subnet]) -> Option<Subnet> {
    let pool = |a: u8, b: u8, from: u8| (from..=255).map(move |c| Subnet::around(Ipv4Addr::new(a, b, c, 0), 24));
    pool(10, 213, 0)
        .chain(pool(172, 29, 0))
        .chain(pool(192, 168, 128))
        .find(|candidate| !taken.iter().any(|other| other.overlaps(candidate)))
}

/// The destinations of the kernel's IPv4 routing table (text of `/proc/net/route`), the default route left out.
pub(super) fn routed(table: &str) -> Vec<Subnet> {
    table.lines().skip(1).filter_map(route).filter(|subnet| subnet.length > 0).collect()
}

fn route(line: &str) -> Option<Subnet> {
    let mut fields = line.split_ascii_whitespace();
    let destination = u32::from_str_radix(fields.nth(1)?, 16).ok()?.swap_bytes();
    let mask = u32::from_str_radix(fields.nth(5)?, 16).ok()?.swap_bytes();
    Some(Subnet::around(Ipv4Addr::from(destination), u8::try_from(mask.leading_ones()).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn text_goes_both_ways_and_loses_host_bits() {
        assert_eq!(subnet("10.1.2.3/24").to_string(), "10.1.2.0/24");
        assert_eq!(subnet("0.0.0.0/0").to_string(), "0.0.0.0/0");
        assert_eq!(subnet("1.2.3.4/32").to_string(), "1.2.3.4/32");
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/64", "10.0.0/8", "a/b"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_leave_out_network_gateway_and_broadcast() {
        let small = subnet("10.9.8.0/29");
        assert_eq!(small.gateway(), Ipv4Addr::new(10, 9, 8, 1));
        let hosts: Vec<_> = small.hosts().map(|a| a.octets()[3]).collect();
        assert_eq!(hosts, [2, 3, 4, 5, 6]);
        assert_eq!(subnet("10.9.8.0/32").hosts().count(), 0);
        assert_eq!(subnet("255.255.255.0/24").hosts().count(), 253);
    }

    #[test]
    fn overlap_is_symmetric_and_nested() {
        for (a, b, expected) in [
            ("10.0.0.0/8", "10.213.4.0/24", true),
            ("10.213.4.0/25", "10.213.4.128/25", false),
            ("0.0.0.0/0", "10.213.4.0/24", true),
            ("10.213.4.7/32", "10.213.4.0/24", true),
        ] {
            assert_eq!(subnet(a).overlaps(&subnet(b)), expected, "{a} {b}");
            assert_eq!(subnet(b).overlaps(&subnet(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_choice_steps_over_what_is_taken() {
        assert_eq!(choose(&[]).unwrap(), subnet("10.213.0.0/24"));
        assert_eq!(choose(&[subnet("10.213.0.0/23")]).unwrap(), subnet("10.213.2.0/24"));
        assert_eq!(choose(&[subnet("10.0.0.0/8")]).unwrap(), subnet("172.29.0.0/24"));
        assert_eq!(choose(&[subnet("10.0.0.0/8"), subnet("172.16.0.0/12")]).unwrap(), subnet("192.168.128.0/24"));
        assert_eq!(choose(&[subnet("0.0.0.0/0")]), None);
    }

    #[test]
    fn routes_are_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     broken line\n\
                     br0\t0000D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routed(table), [subnet("172.17.0.0/16"), subnet("10.213.0.0/24")]);
        assert!(routed("").is_empty());
    }
}

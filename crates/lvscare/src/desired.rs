//! Says what is wanted of the guard: which servers, and how they are checked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Error, Result, Scheduler, Service};

/// A virtual service, the servers behind it, and how they are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The virtual service.
    pub service: Service,
    /// The servers and their weights when healthy; 0 keeps a server's connections and gives it no new ones.
    pub servers: BTreeMap<SocketAddr, u16>,
    /// How they are checked.
    pub health: HealthPolicy,
}

/// When a server is checked, and how many answers change its state.
///
/// The defaults find a server that refuses connections at once, and one that no longer answers in less than a second
/// (one interval with its jitter, plus the time-out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    /// From the start of one check of a server to the start of the next.
    pub interval: Duration,
    /// Each interval is longer or shorter by up to this many per cent (at most 50), so that guards do not march in step.
    pub jitter_percent: u8,
    /// How long one check may take. When half of it is over a second request is sent, so that one lost packet is not
    /// taken for a dead server; a check that ends without an answer to either takes the server out by itself.
    pub timeout: Duration,
    /// So many good checks in a row bring a server back.
    pub rise: u32,
    /// So many failed checks in a row take a server out. A server that refuses connections is out after two at most.
    pub fall: u32,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(400),
            jitter_percent: 10,
            timeout: Duration::from_millis(450),
            rise: 2,
            fall: 2,
        }
    }
}

impl HealthPolicy {
    /// The longest time from the start of one check to the start of the next.
    pub fn longest_interval(&self) -> Duration {
        self.interval + self.interval * u32::from(self.jitter_percent.min(50)) / 100
    }
}

/// More servers than this behind one address are a mistake.
const SERVERS: usize = 256;

impl Desired {
    /// Checks that what is wanted makes sense.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first thing that does not.
    pub fn validate(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::Invalid { service: self.service.address, reason });
        let address = self.service.address;
        if let Some(reason) = unusable(address) {
            return invalid(reason.to_owned());
        }
        if self.service.scheduler == Scheduler::Other {
            return invalid("its scheduler is none that can be wanted".to_owned());
        }
        match self.servers.len() {
            1..=SERVERS => {}
            0 => return invalid("it has no servers".to_owned()),
            count => return invalid(format!("it has {count} servers; {SERVERS} are the most")),
        }
        for server in self.servers.keys() {
            let reason = match unusable(*server) {
                Some(reason) => reason,
                None if server.is_ipv4() != address.is_ipv4() => {
                    "one of it and the virtual address is IPv4, the other IPv6"
                }
                None if *server == address => "it is the virtual address itself",
                None => continue,
            };
            return invalid(format!("server {server}: {reason}"));
        }
        if self.servers.values().all(|weight| *weight == 0) {
            return invalid("every server has weight 0".to_owned());
        }
        self.health.objection().map_or(Ok(()), invalid)
    }
}

/// Why no rule can have this address, if it cannot.
fn unusable(address: SocketAddr) -> Option<&'static str> {
    let ip = address.ip();
    let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    if address.port() == 0 {
        return Some("its port is 0");
    }
    if mapped || ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255, 255, 255, 255]) {
        return Some("its address is no host's address");
    }
    // It means something on one link only (`fe80::1%2`), or comes with a flow label.
    let has_zone = matches!(address, SocketAddr::V6(six) if six.scope_id() != 0 || six.flowinfo() != 0);
    has_zone.then_some("its address has a zone, which no rule can hold")
}

impl HealthPolicy {
    /// What speaks against this policy, if anything.
    fn objection(&self) -> Option<String> {
        let times = [
            ("interval", self.interval, Duration::from_millis(20), Duration::from_secs(3600)),
            ("time-out", self.timeout, Duration::from_millis(5), Duration::from_secs(600)),
        ];
        for (name, time, least, most) in times {
            if time < least || time > most {
                return Some(format!("the {name} of {time:?} is not between {least:?} and {most:?}"));
            }
        }
        for (name, count) in [("rise", self.rise), ("fall", self.fall)] {
            if !(1..=1000).contains(&count) {
                return Some(format!("a {name} of {count} is not between 1 and 1000"));
            }
        }
        (self.jitter_percent > 50).then(|| format!("a jitter of {} % is more than 50 %", self.jitter_percent))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn desired(service: &str, servers: &[&str]) -> Desired {
        Desired {
            service: Service { address: service.parse().unwrap(), scheduler: Scheduler::Rr },
            servers: servers.iter().map(|server| (server.parse().unwrap(), 1)).collect(),
            health: HealthPolicy::default(),
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_object() {
        let fine = desired("10.103.97.2:6443", &["10.0.0.1:6443", "10.0.0.2:6443"]);
        fine.validate().unwrap();
        desired("[fd00::2]:6443", &["[fd00::11]:6443"]).validate().unwrap();
        let cases = [
            (desired("10.103.97.2:0", &["10.0.0.1:1"]), "virtual service 10.103.97.2:0: its port is 0"),
            (desired("0.0.0.0:1", &["10.0.0.1:1"]), "virtual service 0.0.0.0:1: its address is no host's address"),
            (desired("10.1.1.1:1", &[]), "virtual service 10.1.1.1:1: it has no servers"),
            (desired("10.1.1.1:1", &["10.1.1.2:0"]), "virtual service 10.1.1.1:1: server 10.1.1.2:0: its port is 0"),
            (
                desired("10.1.1.1:1", &["[fd00::1]:1"]),
                "virtual service 10.1.1.1:1: server [fd00::1]:1: one of it and the virtual address is IPv4, the other IPv6",
            ),
            (
                desired("10.1.1.1:1", &["10.1.1.1:1"]),
                "virtual service 10.1.1.1:1: server 10.1.1.1:1: it is the virtual address itself",
            ),
            (
                desired("[fd00::1]:1", &["[fe80::1%2]:1"]),
                "virtual service [fd00::1]:1: server [fe80::1%2]:1: its address has a zone, which no rule can hold",
            ),
            (
                desired("[fe80::2%2]:1", &["[fd00::1]:1"]),
                "virtual service [fe80::2%2]:1: its address has a zone, which no rule can hold",
            ),
            (
                desired("[fd00::1]:1", &["[::ffff:10.0.0.1]:1"]),
                "virtual service [fd00::1]:1: server [::ffff:10.0.0.1]:1: its address is no host's address",
            ),
        ];
        for (desired, expected) in cases {
            assert_eq!(desired.validate().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn policies_have_bounds() {
        let with = |change: fn(&mut HealthPolicy)| {
            let mut desired = desired("10.1.1.1:1", &["10.1.1.2:1"]);
            change(&mut desired.health);
            desired.validate().map_err(|error| error.to_string())
        };
        assert!(with(|policy| policy.interval = Duration::from_secs(5)).is_ok());
        assert!(with(|policy| policy.interval = Duration::ZERO).unwrap_err().contains("interval of 0ns"));
        assert!(with(|policy| policy.timeout = Duration::from_secs(601)).unwrap_err().contains("time-out of 601s"));
        assert!(with(|policy| policy.rise = 0).unwrap_err().contains("rise of 0"));
        assert!(with(|policy| policy.fall = 1001).unwrap_err().contains("fall of 1001"));
        assert!(with(|policy| policy.jitter_percent = 51).unwrap_err().contains("jitter of 51 %"));
    }

    #[test]
    fn the_defaults_find_a_silent_server_within_a_second() {
        let policy = HealthPolicy::default();
        assert!(policy.longest_interval() + policy.timeout < Duration::from_millis(950));
    }

    #[test]
    fn weights_of_zero_drain_but_not_all_of_them() {
        let mut desired = desired("10.1.1.1:1", &["10.1.1.2:1", "10.1.1.3:1"]);
        desired.servers.insert("10.1.1.2:1".parse().unwrap(), 0);
        desired.validate().unwrap();
        desired.servers.insert("10.1.1.3:1".parse().unwrap(), 0);
        assert!(desired.validate().unwrap_err().to_string().ends_with("every server has weight 0"));
    }

    #[test]
    fn two_hundred_and_fifty_six_servers_are_the_most() {
        let mut desired = desired("10.1.1.1:1", &[]);
        desired.servers = (1..=256u16).map(|port| (SocketAddr::from(([10, 1, 1, 2], port)), 1)).collect();
        desired.validate().unwrap();
        desired.servers.insert("10.1.1.3:1".parse().unwrap(), 1);
        assert!(desired.validate().unwrap_err().to_string().ends_with("it has 257 servers; 256 are the most"));
    }
}

//! What other programs say is in the kernel.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Plane;
use super::program::{run_in, text_in};

/// The servers that get new connections to `service`, as `ipvsadm` or `nft` read them.
pub fn servers(plane: Plane, namespace: &str, service: SocketAddr) -> BTreeSet<SocketAddr> {
    match plane {
        Plane::Ipvs => {
            let lines = text_in(namespace, &["ipvsadm", "-Sn"]);
            let about = format!("-a -t {service} -r ");
            let entries = lines.lines().filter_map(|line| line.strip_prefix(&about));
            let live = entries.filter(|entry| !entry.trim_end().ends_with("-w 0"));
            live.map(|entry| entry.split_whitespace().next().expect("an address").parse().expect("an address"))
                .collect()
        }
        Plane::Nftables => {
            let rules = text_in(namespace, &["nft", "list", "ruleset"]);
            let about = format!("daddr {} tcp dport {} dnat", service.ip(), service.port());
            let Some((_, rest)) = rules.lines().filter_map(|line| line.split_once(&about)).next() else {
                return BTreeSet::new();
            };
            let map = rest.split_once("map {").map_or("", |(_, map)| map);
            let entries = map.split('}').next().unwrap_or_default().split(',');
            let targets = entries.filter_map(|entry| entry.split_once(" : "));
            targets
                .map(|(_, target)| {
                    let (ip, port) = target.trim().split_once(" . ").expect("address and port");
                    SocketAddr::new(ip.parse().expect("an address"), port.trim().parse().expect("a port"))
                })
                .collect()
        }
    }
}

/// Everything there is, for comparing.
pub fn everything(plane: Plane, namespace: &str) -> String {
    let rules: &[&str] = match plane {
        Plane::Ipvs => &["ipvsadm", "-Sn"],
        Plane::Nftables => &["nft", "list", "ruleset"],
    };
    let mut lines: Vec<String> = text_in(namespace, rules).lines().map(|line| line.trim_end().to_owned()).collect();
    if plane == Plane::Ipvs {
        lines.sort();
    }
    lines.join("\n")
}

/// Addresses, routes, links and kernel settings, for comparing.
pub fn surroundings(plane: Plane, namespace: &str) -> String {
    let mut all = String::new();
    for words in ["-o address", "-4 route show table all", "-6 route show table all", "-o link"] {
        let words: Vec<&str> = words.split(' ').collect();
        all += &text_in(namespace, &[&["ip"], &words[..]].concat());
    }
    if plane == Plane::Ipvs {
        for name in ["expire_nodest_conn", "conntrack"] {
            all += &text_in(namespace, &["cat", &format!("/proc/sys/net/ipv4/vs/{name}")]);
        }
    }
    all
}

/// Does what a careless administrator does.
pub fn flush(plane: Plane, namespace: &str) {
    match plane {
        Plane::Ipvs => run_in(namespace, &["ipvsadm", "-C"]),
        Plane::Nftables => run_in(namespace, &["nft", "flush", "ruleset"]),
    }
}

/// Makes rules of somebody else, some of them about the same address.
pub fn foreign(plane: Plane, namespace: &str) {
    match plane {
        Plane::Ipvs => {
            for line in [
                "-A -t 10.103.97.2:80 -s sh -p 50",
                "-a -t 10.103.97.2:80 -r 10.77.0.11 -m -w 3",
                "-A -u 10.103.97.2:6443 -s wrr",
                "-a -u 10.103.97.2:6443 -r 10.77.0.11:53 -m",
                "-A -f 7 -s lc",
            ] {
                run_in(namespace, &["ipvsadm"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
            }
        }
        Plane::Nftables => run_in(
            namespace,
            &[
                "nft",
                "
            add table ip lvscare; add table ip other;
            add chain ip other output { type nat hook output priority -90; };
            add rule ip other output ip daddr 10.103.97.2 tcp dport 80 dnat to 10.77.0.11:80;
            add chain ip other in { type filter hook input priority 0; };
            add rule ip other in tcp dport 9 drop",
            ],
        ),
    }
}

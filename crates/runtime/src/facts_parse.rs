//! Reads the output of the gathering scripts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::facts::{ApiFacts, HostFacts, Marker, NodeFacts};

/// What is read of a host's description at the most, in bytes.
const LIMIT: usize = 1 << 20;
/// What is read of the API's description at the most, in bytes.
const API_LIMIT: usize = 4 << 20;

/// Reads a host's description, and the host's clock in milliseconds when it could be read.
///
/// The host is not trusted: nothing it prints can do more than put wrong words into its own facts.
pub(crate) fn host_facts(output: &[u8], cluster: &str) -> Result<(HostFacts, Option<i64>), String> {
    let text = String::from_utf8_lossy(&output[..output.len().min(LIMIT)]);
    let sections = sections(&text);
    if !text.lines().any(|line| line == "@end") {
        return Err("its description breaks off".to_owned());
    }
    let lines = |name: &str| {
        let found = sections.iter().find(|(section, _)| *section == name);
        found.map_or(&[][..], |(_, lines)| lines.as_slice())
    };
    let line = |name: &str| lines(name).first().map_or("", |line| line.trim());
    let owned = |name: &str| lines(name).iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let sorted = |name: &str| {
        let mut words = owned(name);
        words.sort();
        words.dedup();
        words
    };
    let mut tools = sorted("tools");
    let engines = engines(&mut tools);
    let marker = marker(&sections, cluster);
    let facts = HostFacts {
        arch: line("machine").to_owned(),
        os: os(lines("os")),
        kernel: line("kernel").to_owned(),
        hostname: line("hostname").to_owned(),
        machine_id: line("machine-id").to_owned(),
        root: line("user") == "0",
        systemd: line("init") == "systemd",
        container: !matches!(line("container"), "" | "none"),
        clock_skew_ms: 0,
        addresses: addresses(lines("addresses")),
        default_interface: default_interface(lines("routes"), lines("routes6")),
        ports: ports(lines("ports")),
        disk_free: disk_free(lines("disk")),
        memory: memory(lines("memory")),
        cpus: line("processors").parse().unwrap_or(0),
        swap: lines("swaps").len() > 1,
        cgroups: sorted("cgroups"),
        modules: sorted("modules"),
        tools,
        engines,
        containerd: containerd_version(line("containerd")),
        cluster: marker.as_ref().map(|marker| marker.cluster.clone()),
        marker,
        leftovers: owned("leftovers"),
        kubelet_active: line("kubelet") == "active",
        admin_kubeconfig: !lines("present").is_empty(),
    };
    Ok((facts, clock(line("time"))))
}

/// Reads what `kubectl` printed; lines that cannot be understood are left out.
pub(crate) fn api_facts(output: &[u8]) -> ApiFacts {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "gitVersion")]
        git_version: String,
    }
    let text = String::from_utf8_lossy(&output[..output.len().min(API_LIMIT)]);
    let mut api = ApiFacts::default();
    for line in text.lines() {
        if let Some(version) = line.strip_prefix("version ") {
            api.version = serde_json::from_str::<Version>(version).map_or_else(|_| String::new(), |v| v.git_version);
        } else if let Some((address, node)) = line.strip_prefix("node ").and_then(node) {
            api.nodes.insert(address, node);
        }
    }
    api
}

/// The last line of some output that says anything, without what a terminal would act upon.
pub(crate) fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}

fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('@') {
            sections.push((name, Vec::new()));
        } else if let (Some(line), Some((_, lines))) = (line.strip_prefix(' '), sections.last_mut()) {
            lines.push(line);
        }
    }
    sections
}

/// Nanoseconds where `date` knows them, else seconds.
fn clock(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text[..digits].parse().ok()?;
    Some(if digits > 12 { number / 1_000_000 } else { number.checked_mul(1000)? })
}

fn os(lines: &[&str]) -> String {
    let value = |key: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    format!("{} {}", value("ID"), value("VERSION_ID")).trim().to_owned()
}

/// Lines of `ip -o address show`.
fn addresses(lines: &[&str]) -> BTreeMap<String, Vec<IpAddr>> {
    let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, interface, "inet" | "inet6", address] = words[..] else {
            continue;
        };
        let interface = interface.split('@').next().unwrap_or(interface);
        let address = address.split('/').next().unwrap_or(address);
        if let Ok(address) = address.parse() {
            addresses.entry(interface.to_owned()).or_default().push(address);
        }
    }
    addresses
}

/// The interface of the default route with the lowest metric, IPv4 before IPv6.
fn default_interface(routes: &[&str], routes6: &[&str]) -> Option<String> {
    let fields = |line: &&str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let four =
        routes.iter().map(fields).filter(|route| route.len() >= 8 && route[1] == "00000000" && route[7] == "00000000");
    let four = four.min_by_key(|route| route[6].parse::<u64>().unwrap_or(u64::MAX));
    if let Some(route) = four {
        return Some(route[0].clone());
    }
    let zero = "0".repeat(32);
    let six = routes6
        .iter()
        .map(fields)
        .filter(|route| route.len() >= 10 && route[0] == zero && route[1] == "00" && route[9] != "lo");
    let six = six.min_by_key(|route| u64::from_str_radix(&route[5], 16).unwrap_or(u64::MAX));
    six.map(|route| route[9].clone())
}

/// Lines of `ss -Hltnp`, or addresses as in `/proc/net/tcp`.
fn ports(lines: &[&str]) -> BTreeMap<u16, String> {
    let mut ports: BTreeMap<u16, String> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, radix) = match words[..] {
            [address] => (address, 16),
            [_, _, _, address, ..] => (address, 10),
            _ => continue,
        };
        let port = address.rsplit(':').next().unwrap_or_default();
        let Ok(port) = u16::from_str_radix(port, radix) else {
            continue;
        };
        let holder = ports.entry(port).or_default();
        if holder.is_empty() {
            *holder = process(line).unwrap_or_default();
        }
    }
    ports
}

/// `kubelet/812` out of `users:(("kubelet",pid=812,fd=20))`.
fn process(line: &str) -> Option<String> {
    let (_, users) = line.split_once("users:((\"")?;
    let (name, rest) = users.split_once('"')?;
    let (_, pid) = rest.split_once("pid=")?;
    let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{name}/{pid}"))
}

fn disk_free(lines: &[&str]) -> u64 {
    let fields = lines.last().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let available = fields.and_then(|fields| fields.get(3)?.parse::<u64>().ok());
    available.unwrap_or(0).saturating_mul(1024)
}

fn memory(lines: &[&str]) -> u64 {
    let total = lines.iter().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// The engines among the tools, taken out of them.
fn engines(tools: &mut Vec<String>) -> Vec<String> {
    let (engines, others) = std::mem::take(tools)
        .into_iter()
        .partition::<Vec<_>, _>(|tool| ["containerd", "crio", "dockerd"].contains(&tool.as_str()));
    *tools = others;
    let name = |engine: String| if engine == "dockerd" { "docker".to_owned() } else { engine };
    engines.into_iter().map(name).collect()
}

/// The third word of `containerd github.com/containerd/containerd/v2 v2.1.9 88bf19b`, without what a distribution adds.
fn containerd_version(line: &str) -> String {
    let version = line.split_whitespace().nth(2).unwrap_or_default().trim_start_matches('v');
    version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect()
}

/// The marker of this cluster, else of any other.
fn marker(sections: &[(&str, Vec<&str>)], cluster: &str) -> Option<Marker> {
    let markers = sections.iter().filter(|(name, _)| *name == "marker");
    let mut markers: Vec<Marker> =
        markers.filter_map(|(_, lines)| serde_json::from_str(&lines.join("\n")).ok()).collect();
    let ours = markers.iter().position(|marker| marker.cluster == cluster);
    (!markers.is_empty()).then(|| markers.swap_remove(ours.unwrap_or(0)))
}

fn node(line: &str) -> Option<(IpAddr, NodeFacts)> {
    let mut words = line.split_whitespace();
    let mut node =
        NodeFacts { name: words.next()?.to_owned(), kubelet: words.next()?.to_owned(), ..NodeFacts::default() };
    let mut address = None;
    for word in words {
        match word.split_once('=')? {
            ("address", value) => address = address.or_else(|| value.parse().ok()),
            ("ready", value) => node.ready = value == "True",
            ("machine", value) => value.clone_into(&mut node.machine_id),
            ("label", "node-role.kubernetes.io/control-plane" | "node-role.kubernetes.io/master") => {
                node.control_plane = true;
            }
            _ => {}
        }
    }
    Some((address?, node))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "\
@time
 1795454458050655612
@machine
 x86_64
@hostname
 host-2
@os
 PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"
 VERSION_ID=\"12\"
 ID=debian
@user
 0
@init
 systemd
@container
 docker
@addresses
 1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
 4: eth0@if9    inet 192.168.0.2/24 brd 192.168.0.255 scope global eth0\\       valid_lft forever
 4: eth0@if9    inet6 fd00::2/64 scope global nodad \\       valid_lft forever preferred_lft forever
@routes
 Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
 wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
 eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
 docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
@routes6
@ports
 LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:((\"sshd\",pid=312,fd=3))
 LISTEN 0      4096            [::]:22           [::]:*
 LISTEN 0      4096               *:10250            *:*    users:((\"kubelet\",pid=812,fd=20),(\"x\",pid=1,fd=2))
 00000000:18EB
@disk
 Filesystem     1024-blocks     Used Available Capacity Mounted on
 /dev/vda         264212084 14792324  80493564      16% /
@memory
 MemTotal:       24684092 kB
@processors
 2
@swaps
 Filename Type Size Used Priority
 /dev/sda2 partition 100 0 -2
@cgroups
 v1
 memory
 cpu
@modules
 overlay
 br_netfilter
 overlay
@tools
 ip
 containerd
 dockerd
@containerd
 containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3
@kubelet
 inactive
@present
 /etc/kubernetes/admin.conf
@marker
 {\"cluster\": \"other\", \"image\": \"sha256:1\"}
@marker
 {
   \"cluster\": \"mine\", \"image\": \"sha256:2\", \"state\": \"ready\", \"a later field\": 1
 }
@end
";

    #[test]
    fn a_host_describes_itself() {
        let (facts, at) = host_facts(HOST.as_bytes(), "mine").unwrap();
        assert_eq!(at, Some(1_795_454_458_050));
        assert_eq!(
            (facts.arch.as_str(), facts.os.as_str(), facts.hostname.as_str()),
            ("x86_64", "debian 12", "host-2")
        );
        assert!(facts.root && facts.systemd && facts.container && facts.swap && facts.admin_kubeconfig);
        assert!(!facts.kubelet_active && facts.leftovers.is_empty());
        let eth0: Vec<String> = facts.addresses["eth0"].iter().map(ToString::to_string).collect();
        assert_eq!(eth0, ["192.168.0.2", "fd00::2"]);
        assert_eq!(facts.default_interface.as_deref(), Some("eth0"));
        let ports: Vec<(u16, &str)> = facts.ports.iter().map(|(port, holder)| (*port, holder.as_str())).collect();
        assert_eq!(ports, [(22, "sshd/312"), (6379, ""), (10250, "kubelet/812")]);
        assert_eq!((facts.disk_free, facts.memory, facts.cpus), (80_493_564 << 10, 24_684_092 << 10, 2));
        assert_eq!(facts.modules, ["br_netfilter", "overlay"]);
        assert_eq!(
            (facts.tools, facts.engines),
            (vec!["ip".to_owned()], vec!["containerd".to_owned(), "docker".to_owned()])
        );
        assert_eq!(facts.containerd, "1.6.20");
        assert_eq!(facts.cluster.as_deref(), Some("mine"));
        assert_eq!(facts.marker.map(|marker| marker.image).as_deref(), Some("sha256:2"));
        let other = host_facts(HOST.as_bytes(), "third").unwrap().0;
        assert_eq!(other.cluster.as_deref(), Some("other"), "somebody else's marker counts too");
    }

    #[test]
    fn a_description_that_breaks_off_is_no_description() {
        let half = &HOST.as_bytes()[..HOST.len() - 5];
        assert!(host_facts(half, "mine").unwrap_err().contains("breaks off"));
        assert!(host_facts(b"", "mine").is_err());
    }

    #[test]
    fn a_file_on_the_host_cannot_add_sections() {
        let forged = HOST.replace(" ID=debian\n", " ID=debian\n @user\n  1000\n @end\n");
        assert!(host_facts(forged.as_bytes(), "mine").unwrap().0.root);
    }

    #[test]
    fn clocks_are_read_in_nanoseconds_or_seconds() {
        assert_eq!(clock("1795454458"), Some(1_795_454_458_000));
        assert_eq!(clock("1795454458%N"), Some(1_795_454_458_000));
        assert_eq!((clock(""), clock("99999999999999999999999")), (None, None));
    }

    #[test]
    fn versions_of_containerd_are_read_without_additions() {
        let versions = [
            "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1",
            "containerd github.com/containerd/containerd/v2 v2.1.9 88bf19b2105c8b17560993bee28a01ddc2f97182",
            "containerd github.com/containerd/containerd v2.0.0-rc.1 1",
            "containerd: error while loading shared libraries",
            "",
        ];
        assert_eq!(versions.map(containerd_version), ["1.7.24", "2.1.9", "2.0.0", "", ""]);
    }

    #[test]
    fn the_api_tells_its_nodes() {
        let text = "version {  \"major\": \"1\",  \"gitVersion\": \"v1.20.2\"}\n\
            node a v1.20.2 address=10.0.0.1 address=fd00::1 ready=True label=kubernetes.io/os label=node-role.kubernetes.io/master\n\
            node b v1.20.2 ready=Unknown address=10.0.0.2 label=x\n\
            node without-address v1.20.2 ready=True\nnoise\n";
        let api = api_facts(text.as_bytes());
        assert_eq!(api.version, "v1.20.2");
        let nodes: Vec<_> =
            api.nodes.iter().map(|(ip, n)| (ip.to_string(), n.name.as_str(), n.ready, n.control_plane)).collect();
        assert_eq!(nodes, [("10.0.0.1".into(), "a", true, true), ("10.0.0.2".into(), "b", false, false)]);
    }

    proptest! {
        #[test]
        fn no_host_can_make_us_panic(text in "(@[a-z0-9-]{0,12}\n| [ -~\t\u{0}\u{2764}]{0,80}\n|[ -~]{0,20}\n){0,40}(@end\n)?") {
            let _ = host_facts(text.as_bytes(), "mine");
            let _ = api_facts(text.as_bytes());
        }

        #[test]
        fn a_corrupt_description_does_not_panic(at in 0..HOST.len(), byte in any::<u8>(), cut in 0..HOST.len()) {
            let mut bytes = HOST.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = host_facts(&bytes, "mine");
            let _ = host_facts(&bytes[cut..], "mine");
        }
    }
}

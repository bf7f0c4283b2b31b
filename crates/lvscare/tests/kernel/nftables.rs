//! Tests that the kernel's nftables balances as told, and that we and Debian's `nft` see the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvscare::{Dataplane, Nftables, Rules, Scheduler, Service, contract, reconcile};

use crate::echo::{Echo, call, silence};
use crate::harness::{Test, World, clock, figure, run_in, test, text_in, within};

/// Everything that only nftables has.
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (family, six) in [("ipv4", false), ("ipv6", true)] {
        tests.push(test(format!("nftables::contract::{family}"), move || fulfils_the_contract(six)));
        tests.push(test(format!("nftables::external_change::{family}"), move || what_others_change_is_put_right(six)));
        tests.push(test(format!("nftables::spread::{family}"), move || connections_are_spread(six)));
        tests.push(test(format!("nftables::no_gap::{family}"), move || no_connection_fails_during_changes(six)));
        tests.push(test(format!("nftables::cut::{family}"), move || connections_of_a_server_that_left_end(six)));
    }
    tests.push(test("nftables::others_meanwhile", what_others_did_meanwhile_is_no_failure));
    tests.push(test("nftables::busy_neighbours", others_who_change_without_end_are_no_failure));
    tests.push(test("nftables::listed", nft_lists_what_we_write));
    tests.push(test("nftables::others_are_left_alone", others_are_left_alone));
    tests.push(test("nftables::container", connections_of_containers_are_balanced_and_cut));
    tests.push(test("nftables::refused", without_servers_connections_are_refused));
    tests.push(test("nftables::schedulers", schedulers_that_need_counts_are_refused));
    tests.push(test("nftables::cost_of_a_look", a_look_is_cheap));
    tests
}

fn at(host: u8, port: u16, six: bool) -> SocketAddr {
    let text = if six { format!("[fd01::{host:x}]:{port}") } else { format!("10.1.0.{host}:{port}") };
    text.parse().expect("an address")
}

fn rules(scheduler: Scheduler, service: SocketAddr, servers: &[(SocketAddr, u16)]) -> Rules {
    let servers = servers.iter().map(|(server, weight)| (*server, u32::from(*weight))).collect();
    Rules { service: Service { address: service, scheduler }, servers }
}

async fn open() -> Nftables {
    Nftables::open().await.expect("open nftables")
}

/// What the guard does: observe, compare, change; and the result is what was wanted.
async fn become_(plane: &Nftables, wanted: &Rules) {
    let observed = plane.observe(wanted.service.address).await.expect("observe");
    plane.apply(wanted, &reconcile(wanted, observed.as_ref())).await.expect("apply");
    assert_eq!(plane.observe(wanted.service.address).await.expect("observe").as_ref(), Some(wanted));
}

fn nft(namespace: &str, line: &str) -> String {
    text_in(namespace, &["nft", line])
}

/// The lines in a fixed order: elements of maps come in any.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("elements = { ").trim_end_matches([',', ' ', '}']))
        .collect();
    lines.sort_unstable();
    lines
}

fn fulfils_the_contract(six: bool) {
    let world = World::new(0);
    let host = world.host();
    within(&world.host(), async || {
        let stage = contract::Stage {
            dataplane: Arc::new(open().await),
            again: Box::new(move || Arc::new(within(&host, open))),
            service: at(100, 6443, six),
            neighbours: [at(100, 80, six), at(101, 6443, six)],
            servers: [at(1, 6443, six), at(2, 6443, six), at(3, 6443, six), at(3, 6444, six)],
            schedulers: vec![Scheduler::Rr, Scheduler::Wrr, Scheduler::Sh, Scheduler::Dh],
        };
        contract::all(&stage).await;
    });
    assert_eq!(nft(&world.host(), "list ruleset"), "", "nothing is left");
}

fn nft_lists_what_we_write() {
    let world = World::new(0);
    let host = world.host();
    let service = at(100, 6443, false);
    let wanted =
        rules(Scheduler::Wrr, service, &[(at(1, 6443, false), 2), (at(2, 6444, false), 1), (at(3, 1, false), 0)]);
    within(&host, async || become_(&open().await, &wanted).await);
    let listed = nft(&host, "list ruleset");
    let expected = "table ip lvscare-10.1.0.100-6443 {
	map weights {
		type ipv4_addr . inet_service : mark
		size 256
		elements = { 10.1.0.1 . 6443 : 0x00000002,
			     10.1.0.2 . 6444 : 0x00000001,
			     10.1.0.3 . 1 : 0x00000000 }
	}

	chain balance {
		ip daddr 10.1.0.100 tcp dport 6443 dnat ip to numgen inc mod 3 map { 0 : 10.1.0.1 . 6443, 1 : 10.1.0.2 . 6444, 2 : 10.1.0.1 . 6443 } comment \"scheduler wrr\"
		ip daddr 10.1.0.100 tcp dport 6443 dnat to 10.1.0.1:6443 comment \"while the rules are replaced\"
	}

	chain output {
		type nat hook output priority -100; policy accept;
		jump balance
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump balance
	}
}
";
    assert_eq!(sorted(&listed), sorted(expected));
    let six = rules(Scheduler::Sh, at(100, 6443, true), &[(at(1, 6443, true), 1), (at(2, 6443, true), 1)]);
    within(&host, async || become_(&open().await, &six).await);
    let listed = nft(&host, "list table ip6 lvscare-fd01--64-6443");
    let rule =
        "ip6 daddr fd01::64 tcp dport 6443 dnat ip6 to jhash ip6 saddr mod 2 seed 0x6c767363 map { 0 : fd01::1 . 6443,";
    assert!(listed.contains(rule), "{listed}");
}

fn what_others_change_is_put_right(six: bool) {
    let world = World::new(0);
    let host = world.host();
    let service = at(100, 6443, six);
    let wanted = rules(Scheduler::Rr, service, &[(at(1, 6443, six), 1), (at(2, 6443, six), 0), (at(3, 6443, six), 1)]);
    let (table, family) = if six { ("ip6 lvscare-fd01--64-6443", "ip6") } else { ("ip lvscare-10.1.0.100-6443", "ip") };
    let server = |host| format!("{} . 6443", at(host, 0, six).ip());
    let changes = [
        "flush ruleset".to_owned(),
        format!("delete table {table}"),
        format!("flush table {table}"),
        format!("flush chain {table} output"),
        format!("flush chain {table} balance"),
        format!("flush map {table} weights"),
        format!("add rule {table} balance {family} daddr {} accept", service.ip()),
        format!("insert rule {table} balance return"),
        format!("insert rule {table} output tcp dport 6443 accept"),
        format!("delete element {table} weights {{ {} }}", server(1)),
        format!(
            "delete element {table} weights {{ {} }}; add element {table} weights {{ {} : 9 }}",
            server(2),
            server(2)
        ),
        format!("add element {table} weights {{ {} : 1 }}", server(9)),
        format!("add element {table} weights {{ {} : 70000 }}", server(9)),
        format!("chain {table} output {{ policy drop; }}"),
        format!("flush chain {table} prerouting; delete chain {table} prerouting"),
        format!("replace rule {table} output handle OUTPUT tcp dport 6443 accept"),
        format!(
            "flush chain {table} balance; add rule {table} balance {family} daddr {} tcp dport 6443 dnat to {}",
            service.ip(),
            if six { "[fd01::1]:6443" } else { "10.1.0.1:6443" }
        ),
    ];
    let plane = within(&host, open);
    for line in changes {
        let clean = within(&host, async || {
            become_(&plane, &wanted).await;
            nft(&host, "list ruleset")
        });
        nft(&host, &line.replace("OUTPUT", &handle(&host, table, "jump balance")));
        within(&host, async || {
            let observed = plane.observe(service).await.expect("observe");
            assert!(!reconcile(&wanted, observed.as_ref()).is_empty(), "not seen: {line}");
            become_(&plane, &wanted).await;
        });
        assert_eq!(sorted(&nft(&host, "list ruleset")), sorted(&clean), "after {line}");
    }
    // What others change elsewhere is nothing to us.
    nft(&host, "add table ip other; add chain ip other balance; add rule ip other balance counter");
    within(&host, async || {
        let observed = plane.observe(service).await.expect("observe");
        assert_eq!(reconcile(&wanted, observed.as_ref()), []);
    });
}

/// The kernel's number of the first rule with this text.
fn handle(host: &str, table: &str, rule: &str) -> String {
    let listed = text_in(host, &["nft", "-a", &format!("list table {table}")]);
    let line = listed.lines().find(|line| line.trim_start().starts_with(rule)).expect("the rule is listed");
    line.rsplit(' ').next().expect("its number").to_owned()
}

fn what_others_did_meanwhile_is_no_failure() {
    let world = World::new(0);
    let host = world.host();
    let service = at(100, 6443, false);
    let before = rules(Scheduler::Rr, service, &[(at(1, 6443, false), 1), (at(2, 6443, false), 1)]);
    let after = rules(Scheduler::Wrr, service, &[(at(1, 6443, false), 1), (at(3, 6443, false), 2)]);
    for line in [
        "add table ip other",
        "flush ruleset",
        "flush chain ip lvscare-10.1.0.100-6443 output",
        "delete element ip lvscare-10.1.0.100-6443 weights { 10.1.0.1 . 6443 }",
    ] {
        within(&host, async || {
            let plane = open().await;
            become_(&plane, &before).await;
            let changes = reconcile(&after, plane.observe(service).await.expect("observe").as_ref());
            nft(&host, line);
            plane.apply(&after, &changes).await.expect("also after others were there");
            assert_eq!(plane.observe(service).await.expect("observe").as_ref(), Some(&after), "after {line}");
        });
    }
}

fn others_who_change_without_end_are_no_failure() {
    let world = World::new(0);
    let host = world.host();
    let servers: Vec<_> = (1..=5).map(|place| (at(place, 6443, false), 1)).collect();
    let wanted = rules(Scheduler::Rr, at(100, 6443, false), &servers);
    within(&host, async || become_(&open().await, &wanted).await);
    let start = Instant::now();
    let lasts = || start.elapsed() < Duration::from_secs(3);
    let change = |neighbour: u8| {
        within(&host, async || {
            let (plane, mut changes) = (open().await, 0);
            while lasts() {
                let server = (at(7, 80, false), 1 + changes % 2);
                let wanted = rules(Scheduler::Rr, at(neighbour, 80, false), &[server]);
                plane.apply(&wanted, &reconcile(&wanted, None)).await.expect("apply");
                changes += 1;
            }
            changes
        })
    };
    let look = || {
        within(&host, async || {
            let (plane, mut looks) = (open().await, Vec::new());
            while lasts() {
                looks.push(plane.observe(wanted.service.address).await.map_err(|error| error.to_string()));
            }
            looks
        })
    };
    let (looks, changes) = std::thread::scope(|scope| {
        let changing: Vec<_> = [101, 102, 103]
            .map(|neighbour| {
                let change = &change;
                scope.spawn(move || change(neighbour))
            })
            .into();
        let looks = look();
        (looks, changing.into_iter().map(|thread| thread.join().expect("no panic of a neighbour")).sum::<u16>())
    });
    figure(&format!("{} looks met {changes} changes of others", looks.len()));
    let strange: Vec<_> = looks.iter().filter(|look| look.as_ref().ok() != Some(&Some(wanted.clone()))).collect();
    assert!(strange.is_empty(), "{} looks were in vain, such as {:?}", strange.len(), strange[0]);
}

fn others_are_left_alone() {
    let world = World::new(0);
    let host = world.host();
    nft(
        &host,
        "add table ip lvscare; add table inet lvscare-10.1.0.100-6443; add chain inet lvscare-10.1.0.100-6443 c;
        add table ip filter; add chain ip filter output { type filter hook output priority 0; };
        add rule ip filter output ip daddr 10.1.0.100 tcp dport 6443 counter accept;
        add table ip nat; add chain ip nat output { type nat hook output priority -100; };
        add rule ip nat output tcp dport 80 dnat to 10.1.0.7:80",
    );
    let before = nft(&host, "list ruleset");
    within(&host, async || {
        let plane = open().await;
        let wanted = rules(Scheduler::Rr, at(100, 6443, false), &[(at(1, 6443, false), 1)]);
        assert_eq!(plane.observe(wanted.service.address).await.expect("observe"), None);
        become_(&plane, &wanted).await;
        become_(&plane, &rules(Scheduler::Wrr, at(100, 6443, false), &[(at(2, 6443, false), 3)])).await;
        plane.remove(&wanted.service).await.expect("remove");
    });
    assert_eq!(nft(&host, "list ruleset"), before);
}

/// A world whose host has a way out, so that the virtual address needs none of its own.
fn world(servers: u8) -> World {
    let world = World::new(servers);
    let (four, six) = (world.address(1, false).ip().to_string(), world.address(1, true).ip().to_string());
    run_in(&world.host(), &["ip", "route", "add", "default", "via", &four]);
    run_in(&world.host(), &["ip", "-6", "route", "add", "default", "via", &six]);
    world
}

fn connections_are_spread(six: bool) {
    let world = world(3);
    let _echo = Echo::start(&world, 3);
    let host = world.host();
    let servers = [1, 2, 3].map(|place| world.address(place, six));
    let service = at(100, 6443, six);
    let count = |wanted: &Rules, calls: usize| {
        within(&host, async || become_(&open().await, wanted).await);
        let mut counts = BTreeMap::new();
        for _ in 0..calls {
            *counts.entry(call(&host, service).expect("an answer").1).or_insert(0) += 1;
        }
        counts
    };
    let even = rules(Scheduler::Rr, service, &[(servers[0], 1), (servers[1], 1), (servers[2], 1)]);
    assert_eq!(count(&even, 30), BTreeMap::from([(1, 10), (2, 10), (3, 10)]));
    let weighted = rules(Scheduler::Wrr, service, &[(servers[0], 3), (servers[1], 1), (servers[2], 0)]);
    let counts = count(&weighted, 40);
    // A client port that was used a moment ago keeps its server and takes no turn; one such port moves a count by one.
    assert!(counts.get(&1).is_some_and(|calls| (29..=31).contains(calls)), "{counts:?}");
    assert_eq!(counts.len(), 2, "{counts:?}");
    for scheduler in [Scheduler::Sh, Scheduler::Dh] {
        let hashed = rules(scheduler, service, &[(servers[0], 1), (servers[1], 1), (servers[2], 1)]);
        let first = count(&hashed, 10);
        assert_eq!(first.len(), 1, "one client stays with one server: {first:?}");
        assert_eq!(count(&hashed, 5).keys().next(), first.keys().next(), "also after the rules were written anew");
    }
}

fn no_connection_fails_during_changes(six: bool) {
    let world = world(2);
    let _echo = Echo::start(&world, 2);
    let host = world.host();
    let service = at(100, 6443, six);
    let [one, two] = [1, 2].map(|place| world.address(place, six));
    let both = rules(Scheduler::Rr, service, &[(one, 1), (two, 1)]);
    let first = rules(Scheduler::Rr, service, &[(one, 1), (two, 0)]);
    within(&host, async || become_(&open().await, &both).await);
    // The number of the table, which another one in its place would not have.
    let table = || text_in(&host, &["nft", "-a", "list", "ruleset"]).lines().next().expect("a table").to_owned();
    let before = table();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            within(&host, async || {
                let plane = open().await;
                let start = Instant::now();
                for _ in 0..500 {
                    become_(&plane, &first).await;
                    become_(&plane, &both).await;
                }
                figure(&format!("look, change and look again: {:?}", start.elapsed() / 1000));
            });
        });
        let mut calls = 0;
        while !changing.is_finished() {
            call(&host, service).expect("no connection fails");
            calls += 1;
        }
        changing.join().expect("changes");
        figure(&format!("{calls} connections during 1000 changes"));
        assert!(calls > 20, "{calls} connections are not enough to see a gap");
    });
    assert_eq!(table(), before, "one table, changed in place");
}

fn connections_of_a_server_that_left_end(six: bool) {
    let world = world(2);
    let _echo = Echo::start(&world, 2);
    let host = world.host();
    let service = at(100, 6443, six);
    let [one, two] = [1, 2].map(|place| world.address(place, six));
    let plane = within(&host, open);
    within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, &[(one, 1), (two, 1)])).await);
    let mut calls: Vec<_> = (0..8).map(|_| call(&host, service).expect("an answer")).collect();
    let mut direct = call(&host, two).expect("not through the service").0;
    // The cable is pulled: nothing but the guard can tell the clients.
    world.wire(2, false);
    within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, &[(one, 1), (two, 0)])).await);
    let (stream, _) = calls.iter_mut().find(|(_, server)| *server == 2).expect("one through the second");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("set a time-out");
    assert_eq!(silence(stream), Duration::MAX, "a weight of 0 keeps connections");
    within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, &[(one, 1)])).await);
    for (stream, server) in &mut calls {
        let patience = Duration::from_millis(if *server == 2 { 2000 } else { 200 });
        stream.set_read_timeout(Some(patience)).expect("set a time-out");
        let silence = silence(stream);
        if *server == 2 {
            assert!(silence < Duration::from_millis(50), "the reader hears of it at once, not after {silence:?}");
        } else {
            assert_eq!(silence, Duration::MAX, "connections through the other server live on");
            stream.write_all(b"?").expect("and can be written to");
        }
    }
    let left = text_in(
        &host,
        &["conntrack", "-L", "-f", if six { "ipv6" } else { "ipv4" }, "-p", "tcp", "--dst", &service.ip().to_string()],
    );
    let gone = format!("src={} ", two.ip());
    assert!(left.contains(&format!("src={} ", one.ip())) && !left.contains(&gone), "other entries are left: {left}");
    direct.set_read_timeout(Some(Duration::from_millis(200))).expect("set a time-out");
    assert_eq!(silence(&mut direct), Duration::MAX, "what does not go through the service is left alone");
}

fn connections_of_containers_are_balanced_and_cut() {
    let world = World::new(3);
    run_in(&world.host(), &["ip", "route", "add", "default", "via", "10.77.0.11"]);
    let _echo = Echo::start(&world, 2);
    let host = world.host();
    let container = world.server(3);
    let gateway = "10.78.0.1";
    run_in(&host, &["ip", "link", "add", "inside", "type", "veth", "peer", "name", "outside", "netns", &container]);
    run_in(&host, &["ip", "address", "add", "10.78.0.1/24", "dev", "inside"]);
    run_in(&host, &["ip", "link", "set", "inside", "up"]);
    run_in(&host, &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    run_in(&container, &["ip", "link", "set", "eth0", "down"]);
    run_in(&container, &["ip", "address", "add", "10.78.0.2/24", "dev", "outside"]);
    run_in(&container, &["ip", "link", "set", "outside", "up"]);
    run_in(&container, &["ip", "route", "add", "default", "via", gateway]);
    for place in [1, 2] {
        run_in(&world.server(place), &["ip", "route", "add", "10.78.0.0/24", "via", "10.77.0.10"]);
    }
    let service = at(100, 6443, false);
    let [one, two] = [1, 2].map(|place| world.address(place, false));
    let plane = within(&host, open);
    within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, &[(one, 1), (two, 1)])).await);
    let mut calls: Vec<_> = (0..4).map(|_| call(&container, service).expect("an answer")).collect();
    assert_eq!(calls.iter().filter(|(_, server)| *server == 2).count(), 2);
    world.wire(2, false);
    within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, &[(one, 1)])).await);
    let (stream, _) = calls.iter_mut().find(|(_, server)| *server == 2).expect("one through the second");
    // The next word of the client reaches the other server, which resets the connection.
    stream.write_all(b"?").expect("write into the dead connection");
    let silence = silence(stream);
    assert!(silence < Duration::from_millis(100), "the reader hears of it at once, not after {silence:?}");
    figure(&format!("a container hears of it {silence:?} after its next word"));
}

fn without_servers_connections_are_refused() {
    let world = world(1);
    let host = world.host();
    for six in [false, true] {
        let service = at(100, 6443, six);
        let plane = within(&host, open);
        for servers in [&[][..], &[(world.address(1, six), 0)]] {
            within(&host, async || become_(&plane, &rules(Scheduler::Rr, service, servers)).await);
            let start = Instant::now();
            let refused = call(&host, service).expect_err("nobody is there");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            assert!(clock::since(start) < Duration::from_millis(500));
        }
    }
}

fn schedulers_that_need_counts_are_refused() {
    let world = World::new(0);
    within(&world.host(), async || {
        let wanted = rules(Scheduler::Wlc, at(100, 6443, false), &[(at(1, 6443, false), 1)]);
        let plane = open().await;
        let failed = plane.apply(&wanted, &reconcile(&wanted, None)).await.expect_err("cannot be");
        assert!(failed.to_string().contains("choose the scheduler rr, wrr, sh or dh"), "{failed}");
        assert_eq!(plane.observe(wanted.service.address).await.expect("observe"), None, "nothing was written");
        let mut mixed = rules(Scheduler::Rr, at(100, 6443, false), &[(at(1, 6443, true), 1)]);
        plane.apply(&mixed, &[]).await.expect_err("mixed families");
        mixed.servers = (0..600).map(|n| (SocketAddr::new(at(1, 1, false).ip(), 1000 + n), 1)).collect();
        plane.apply(&mixed, &[]).await.expect_err("more servers than the map has room for");
        assert_eq!(plane.observe(wanted.service.address).await.expect("observe"), None, "nothing was written");
    });
}

fn a_look_is_cheap() {
    let world = World::new(0);
    within(&world.host(), async || {
        let plane = open().await;
        let servers: Vec<_> = (1..=5).map(|host| (at(host, 6443, false), 1)).collect();
        let wanted = rules(Scheduler::Rr, at(100, 6443, false), &servers);
        become_(&plane, &wanted).await;
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(plane.observe(wanted.service.address).await.expect("observe").as_ref(), Some(&wanted));
        }
        let each = clock::since(start) / 500;
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(open().await.observe(wanted.service.address).await.expect("observe").as_ref(), Some(&wanted));
        }
        figure(&format!("observe, 5 servers: {each:?}; after a change or a start {:?}", start.elapsed() / 100));
        assert!(each < Duration::from_millis(20), "{each:?}");
    });
}

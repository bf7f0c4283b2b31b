//! Tests that local clients can use a virtual address that only we put there.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvscare::{
    Addressing, AddressingMode, Dataplane, DataplaneKind, Rules, Scheduler, Service, Vip, detect, reconcile,
};

use crate::echo::{Echo, call};
use crate::harness::{Plane, Test, World, clock, figure, run_in, test, text_in, within};

/// Everything about the address, with the dataplane that this kernel has.
pub fn tests(plane: Plane) -> Vec<Test> {
    let mut tests = Vec::new();
    for (family, six) in [("ipv4", false), ("ipv6", true)] {
        tests.push(test(format!("addressing::route::{family}"), move || a_route_will_do(plane, six)));
        tests.push(test(format!("addressing::external_change::{family}"), move || {
            what_others_take_away_comes_back(six)
        }));
        tests.push(test(format!("addressing::link::{family}"), move || a_link_will_do(plane, six)));
        tests.push(test(format!("addressing::no_gap::{family}"), move || another_source_leaves_no_gap(six)));
        tests.push(test(format!("addressing::steady::{family}"), move || the_source_outlives_its_server(six)));
    }
    tests.push(test("addressing::source", the_source_can_be_chosen_and_follows_the_host));
    tests.push(test("addressing::foreign", addresses_of_others_are_left_alone));
    tests.push(test("addressing::words", what_cannot_be_is_told_in_words));
    tests.push(test("addressing::cost_of_a_look", a_look_is_cheap));
    tests.push(test("addressing::detect", move || the_dataplane_is_found(plane)));
    if plane == Plane::Ipvs {
        tests.push(test("addressing::settings", settings_are_set_and_given_back));
    }
    tests
}

fn service(six: bool) -> SocketAddr {
    if six { "[fd01::64]:6443" } else { "10.103.97.2:6443" }.parse().expect("an address")
}

fn record() -> PathBuf {
    std::env::temp_dir().join(format!("lvscare-record-{}", std::process::id()))
}

fn by_route() -> Vip {
    Vip::new(AddressingMode::Route { source: None }, record())
}

fn by_link() -> Vip {
    Vip::new(AddressingMode::Link { name: "lvscare".to_owned() }, record())
}

async fn open(plane: Plane) -> Arc<dyn Dataplane> {
    let kind = if plane == Plane::Ipvs { DataplaneKind::Ipvs } else { DataplaneKind::Nftables };
    detect(kind, Scheduler::Rr).await.expect("the dataplane that was found")
}

async fn balance(plane: &dyn Dataplane, service: SocketAddr, servers: &[SocketAddr]) {
    let servers = servers.iter().map(|server| (*server, 1)).collect();
    let wanted = Rules { service: Service { address: service, scheduler: Scheduler::Rr }, servers };
    let observed = plane.observe(service).await.expect("observe");
    plane.apply(&wanted, &reconcile(&wanted, observed.as_ref())).await.expect("apply");
}

fn answers(host: &str, service: SocketAddr) {
    let mut answered: Vec<u8> = (0..4).map(|_| call(host, service).expect("an answer").1).collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 1, 2, 2], "both servers answer");
}

/// Routes, addresses and links of a host, without what changes by itself.
fn state(host: &str) -> String {
    let mut all = String::new();
    for line in
        [&["-4", "route", "show", "table", "all"][..], &["-6", "route", "show", "table", "all"], &["-br", "link"]]
    {
        all += &text_in(host, &[&["ip"], line].concat());
    }
    // The kernel gives links such addresses whenever it likes.
    all.lines().filter(|line| !line.contains("fe80::")).collect::<Vec<_>>().join("\n")
}

fn a_route_will_do(plane: Plane, six: bool) {
    let world = World::new(2);
    let _echo = Echo::start(&world, 2);
    let (host, service) = (world.host(), service(six));
    let before = state(&host);
    let servers = [1, 2].map(|place| world.address(place, six));
    within(&host, async || {
        assert!(by_route().ensure(service.ip(), &servers).await.expect("ensure"), "nothing was there");
        assert!(!by_route().ensure(service.ip(), &servers).await.expect("ensure"), "all is there");
    });
    // No rules yet: it is this host that refuses, at once.
    let start = Instant::now();
    assert_eq!(call(&host, service).expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    assert!(clock::since(start) < Duration::from_millis(200));
    within(&host, async || balance(&*open(plane).await, service, &servers).await);
    answers(&host, service);
    within(&host, async || {
        let removed = Service { address: service, scheduler: Scheduler::Rr };
        open(plane).await.remove(&removed).await.expect("remove");
        for _ in 0..2 {
            by_route().remove(service.ip()).await.expect("remove");
        }
    });
    assert_eq!(state(&host), before, "nothing is left");
}

fn what_others_take_away_comes_back(six: bool) {
    let world = World::new(1);
    let (host, service) = (world.host(), service(six));
    let servers = [world.address(1, six)];
    let family = if six { "-6" } else { "-4" };
    let vip = service.ip().to_string();
    assert!(within(&host, async || by_route().ensure(service.ip(), &servers).await.expect("ensure")));
    let whole = state(&host);
    run_in(&host, &["ip", family, "route", "del", "local", &vip, "table", "local"]);
    within(&host, async || {
        assert!(by_route().ensure(service.ip(), &servers).await.expect("ensure"), "it was missing");
        assert!(!by_route().ensure(service.ip(), &servers).await.expect("ensure"), "all is there");
    });
    assert_eq!(state(&host), whole);
    // One with another source is in the way.
    run_in(&host, &["ip", family, "route", "del", "local", &vip, "table", "local"]);
    run_in(&host, &["ip", family, "route", "add", "local", &vip, "dev", "lo", "table", "local"]);
    within(&host, async || {
        let ensured = by_route().ensure(service.ip(), &servers).await;
        if six {
            // Two routes of the same rank: the first one stays first, and that is told.
            assert!(ensured.is_ok_and(|repaired| repaired) || !state(&host).contains("proto 76"), "{}", state(&host));
        } else {
            assert!(ensured.expect("ensure"), "it was wrong");
        }
    });
}

fn the_source_can_be_chosen_and_follows_the_host() {
    let world = World::new(1);
    let host = world.host();
    let (service, server) = (service(false), world.address(1, false));
    let source = || text_in(&host, &["ip", "route", "get", &service.ip().to_string()]);
    run_in(&host, &["ip", "address", "add", "10.77.0.200/24", "dev", "eth0"]);
    let chosen: IpAddr = "10.77.0.200".parse().expect("an address");
    within(&host, async || {
        let vip = Vip::new(AddressingMode::Route { source: Some(chosen) }, record());
        assert!(vip.ensure(service.ip(), &[server]).await.expect("ensure"));
        assert!(source().contains("src 10.77.0.200"), "{}", source());
        assert!(by_route().ensure(service.ip(), &[server]).await.expect("ensure"), "another source is wanted");
        assert!(source().contains("src 10.77.0.10"), "{}", source());
    });
    // The host gets another address.
    run_in(&host, &["ip", "address", "del", "10.77.0.10/24", "dev", "eth0"]);
    run_in(&host, &["ip", "address", "replace", "10.77.0.200/24", "dev", "eth0"]);
    within(&host, async || {
        assert!(by_route().ensure(service.ip(), &[server]).await.expect("ensure"), "the old source is gone");
        assert!(source().contains("src 10.77.0.200"), "{}", source());
        assert!(!by_route().ensure(service.ip(), &[]).await.expect("ensure"), "without servers it stays");
    });
}

/// Gives the host one more address, usable at once.
fn give(host: &str, address: &str) {
    let line = ["ip", "address", "add", address, "dev", "eth0", "nodad"];
    run_in(host, &line[..if address.contains("::") { 7 } else { 6 }]);
}

fn another_source_leaves_no_gap(six: bool) {
    let world = World::new(1);
    let (host, service) = (world.host(), service(six));
    let (own, other) = if six { ("fd77::10", "fd77::200") } else { ("10.77.0.10", "10.77.0.200") };
    let length = if six { "64" } else { "24" };
    give(&host, &format!("{other}/{length}"));
    let vips = [own, other]
        .map(|source| Vip::new(AddressingMode::Route { source: Some(source.parse().expect("an address")) }, record()));
    within(&host, async || vips[0].ensure(service.ip(), &[]).await.expect("ensure"));
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            within(&host, async || {
                for turn in 1..=1000 {
                    assert!(
                        vips[turn % 2].ensure(service.ip(), &[]).await.expect("ensure"),
                        "another source is wanted"
                    );
                }
            });
        });
        let calls = within(&host, async || {
            let mut calls = 0;
            while !changing.is_finished() {
                // Without its route the address would lead nowhere.
                let refused = std::net::TcpStream::connect(service).expect_err("nobody listens");
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
                calls += 1;
            }
            calls
        });
        changing.join().expect("changes");
        figure(&format!("{calls} connections during 1000 changes"));
    });
    let family = if six { "-6" } else { "-4" };
    let routes = text_in(&host, &["ip", family, "route", "show", "table", "local", &service.ip().to_string()]);
    assert_eq!(routes.lines().count(), 1, "{routes}");
}

fn the_source_outlives_its_server(six: bool) {
    let world = World::new(2);
    let (host, service) = (world.host(), service(six).ip());
    let servers = [1, 2].map(|place| world.address(place, six));
    let (family, length, other) = if six { ("-6", "128", "fd77::200/64") } else { ("-4", "32", "10.77.0.200/24") };
    give(&host, other);
    let other = other.split('/').next().expect("an address");
    let own = if six { "fd77::10" } else { "10.77.0.10" };
    let lead = |place: usize, source: &str| {
        let server = format!("{}/{length}", servers[place].ip());
        run_in(&host, &["ip", family, "route", "replace", &server, "dev", "eth0", "src", source]);
    };
    lead(0, own);
    lead(1, other);
    let source = || text_in(&host, &["ip", family, "route", "get", &service.to_string()]);
    let from_other = || source().contains(&format!("src {other} "));
    within(&host, async || {
        let vip = by_route();
        assert!(vip.ensure(service, &servers).await.expect("ensure") && !from_other(), "{}", source());
        assert!(!vip.ensure(service, &servers[1..]).await.expect("ensure") && !from_other(), "{}", source());
        // The way to the first server is another now, which is looked up every two seconds.
        lead(0, other);
        tokio::time::sleep(Duration::from_millis(2100)).await;
        assert!(vip.ensure(service, &servers[1..]).await.expect("ensure") && from_other(), "{}", source());
    });
}

fn addresses_of_others_are_left_alone() {
    let world = World::new(1);
    let host = world.host();
    let servers = [world.address(1, false)];
    run_in(&host, &["ip", "address", "add", "10.103.97.2/32", "dev", "lo"]);
    run_in(&host, &["ip", "address", "add", "10.103.97.3/32", "dev", "lo"]);
    let before = state(&host);
    within(&host, async || {
        assert!(by_route().ensure(service(false).ip(), &servers).await.expect("ensure"), "its source is of no use");
        by_route().remove(service(false).ip()).await.expect("remove");
    });
    assert_eq!(state(&host), before);
}

fn a_link_will_do(plane: Plane, six: bool) {
    let world = World::new(2);
    let _echo = Echo::start(&world, 2);
    let (host, service) = (world.host(), service(six));
    let before = state(&host);
    let servers = [1, 2].map(|place| world.address(place, six));
    if !dummy_links_are_known(&world) {
        let failed = within(&host, async || by_link().ensure(service.ip(), &servers).await.expect_err("cannot be"));
        assert_eq!(failed.to_string(), "this kernel has no dummy links; load the module dummy, or use `--mode route`");
        assert_eq!(state(&host), before, "nothing is left");
        return;
    }
    let ensure = || within(&host, async || by_link().ensure(service.ip(), &servers).await.expect("ensure"));
    assert!(ensure(), "nothing was there");
    assert!(!ensure(), "all is there");
    let shown = text_in(&host, &["ip", "address", "show", "dev", "lvscare"]);
    assert!(shown.contains(&format!("{}/{} scope global", service.ip(), if six { 128 } else { 32 })), "{shown}");
    assert_eq!(call(&host, service).expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    within(&host, async || balance(&*open(plane).await, service, &servers).await);
    answers(&host, service);
    let vip = service.ip().to_string();
    for change in [
        &["ip", "link", "set", "lvscare", "down"][..],
        &["ip", "link", "del", "lvscare"],
        &["ip", "address", "flush", "dev", "lvscare"],
        &["ip", if six { "-6" } else { "-4" }, "route", "del", "local", &vip, "table", "local", "proto", "76"],
    ] {
        run_in(&host, change);
        assert!(ensure(), "not seen: {change:?}");
        assert!(!ensure(), "all is there");
        answers(&host, service);
    }
    // A second address on the link keeps it there.
    run_in(&host, &["ip", "address", "add", "10.103.97.9/32", "dev", "lvscare"]);
    let remove = || within(&host, async || by_link().remove(service.ip()).await.expect("remove"));
    remove();
    run_in(&host, &["ip", "address", "del", "10.103.97.9/32", "dev", "lvscare"]);
    remove();
    remove();
    assert_eq!(state(&host), before, "nothing is left");
}

fn dummy_links_are_known(world: &World) -> bool {
    let host = world.host();
    within(&host, async || {
        let vip = Vip::new(AddressingMode::Link { name: "trial".to_owned() }, record());
        let address = service(false).ip();
        let known = vip.ensure(address, &[world.address(1, false)]).await.is_ok();
        vip.remove(address).await.expect("remove");
        // An independent word about it; the program runs in this thread's namespace.
        let ip = std::process::Command::new("ip").args(["link", "add", "trial", "type", "dummy"]).output();
        let listed = ip.expect("run ip").status.success();
        assert_eq!(known, listed, "we and ip agree");
        if listed {
            run_in(&host, &["ip", "link", "del", "trial"]);
        }
        known
    })
}

fn what_cannot_be_is_told_in_words() {
    let world = World::new(1);
    within(&world.host(), async || {
        let six = Vip::new(AddressingMode::Route { source: Some("fd77::10".parse().expect("an address")) }, record());
        let failed = six.ensure(service(false).ip(), &[]).await.expect_err("mixed families").to_string();
        assert!(failed.contains("the source address is not of the same address family"), "{failed}");
        let foreign =
            Vip::new(AddressingMode::Route { source: Some("10.9.9.9".parse().expect("an address")) }, record());
        let failed = foreign.ensure(service(false).ip(), &[]).await.expect_err("not ours").to_string();
        assert!(failed.contains("10.9.9.9"), "{failed}");
        let named = Vip::new(AddressingMode::Link { name: "a name that is too long".to_owned() }, record());
        let failed = named.ensure(service(false).ip(), &[]).await.expect_err("too long").to_string();
        assert!(failed.contains("up to 15 letters"), "{failed}");
        let unreachable: SocketAddr = "203.0.113.1:6443".parse().expect("an address");
        let failed = by_route().ensure(service(false).ip(), &[unreachable]).await.expect_err("no route").to_string();
        assert!(failed.contains("cannot find a route to the server 203.0.113.1"), "{failed}");
    });
}

fn a_look_is_cheap() {
    let world = World::new(1);
    within(&world.host(), async || {
        let servers = [world.address(1, false)];
        let vip = by_route();
        vip.ensure(service(false).ip(), &servers).await.expect("ensure");
        let start = Instant::now();
        for _ in 0..500 {
            assert!(!vip.ensure(service(false).ip(), &servers).await.expect("ensure"));
        }
        figure(&format!("see to the address: {:?}", start.elapsed() / 500));
        assert!(clock::since(start) / 500 < Duration::from_millis(20));
    });
}

fn the_dataplane_is_found(plane: Plane) {
    let world = World::new(0);
    within(&world.host(), async || {
        let found = detect(DataplaneKind::Auto, Scheduler::Rr).await.expect("there is one");
        assert_eq!(found.name(), if plane == Plane::Ipvs { "ipvs" } else { "nftables" });
        if plane == Plane::Nftables {
            let failed = detect(DataplaneKind::Auto, Scheduler::Wlc).await.expect_err("neither").to_string();
            assert!(failed.contains("modprobe ip_vs") && failed.contains("choose the scheduler"), "{failed}");
            assert!(detect(DataplaneKind::Ipvs, Scheduler::Rr).await.is_err());
        }
        // We and nft agree on whether this kernel's nftables will do.
        let rules = "add table ip trial; add chain ip trial c { type nat hook output priority -100; };
            add rule ip trial c tcp dport 1 dnat to numgen inc mod 1 map { 0 : 192.0.2.1 . 1 };
            add rule ip trial c tcp dport 1 dnat to jhash ip saddr mod 1 map { 0 : 192.0.2.1 . 1 }";
        let nft = std::process::Command::new("nft").arg(rules).output().expect("run nft").status.success();
        match detect(DataplaneKind::Nftables, Scheduler::Rr).await {
            Ok(_) => assert!(nft, "nft cannot write such rules"),
            Err(error) => {
                assert!(!nft, "nft can write such rules, but: {error}");
                assert!(error.to_string().contains("load the modules nf_tables"), "{error}");
            }
        }
    });
}

fn settings_are_set_and_given_back() {
    let world = World::new(1);
    let host = world.host();
    let record = record();
    let value = |name: &str| text_in(&host, &["cat", &format!("/proc/sys/net/ipv4/vs/{name}")]).trim().to_owned();
    within(&host, async || {
        let ipvs = open(Plane::Ipvs).await;
        let vip = Vip::new(AddressingMode::Route { source: None }, record.clone()).with_settings_for(&*ipvs);
        let before = ["conntrack", "expire_nodest_conn"].map(value);
        vip.ensure(service(false).ip(), &[world.address(1, false)]).await.expect("ensure");
        assert_eq!(["conntrack", "expire_nodest_conn"].map(value), ["1", "1"]);
        vip.remove(service(false).ip()).await.expect("remove");
        assert_eq!(["conntrack", "expire_nodest_conn"].map(value), before);
        assert!(!record.exists());
    });
}

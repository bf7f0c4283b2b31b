//! Tests that we and Debian's `ipvsadm` read from the kernel what the other wrote.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lvscare::{Change, Dataplane, FOREIGN, Ipvs, Result, Rules, Scheduler, Service, contract, reconcile};

use crate::harness::{Plane, Stage, Test, World, clock, figure, itself, run_in, test, text_in, within};

/// Everything that only IPVS has.
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (family, six) in [("ipv4", false), ("ipv6", true)] {
        tests.push(test(format!("ipvs::contract::{family}"), move || fulfils_the_contract(six)));
        tests.push(test(format!("ipvs::written::{family}"), move || ipvsadm_reads_what_we_write(six)));
        tests.push(test(format!("ipvs::read::{family}"), move || we_read_what_ipvsadm_writes(six)));
    }
    tests.push(test("ipvs::others_are_left_alone", others_are_left_alone));
    tests.push(test("ipvs::others_meanwhile", what_others_did_meanwhile_is_no_failure));
    tests.push(test("ipvs::traffic", we_count_what_ipvsadm_counts));
    tests.push(test("ipvs::without_privilege", without_privilege_it_says_so));
    tests.push(test("ipvs::cost_of_a_look", a_look_is_cheap));
    tests
}

/// The same numbers in both families: `10.1.0.9:80` and `[fd01::9]:80`.
fn at(host: u8, port: u16, six: bool) -> SocketAddr {
    let text = if six { format!("[fd01::{host:x}]:{port}") } else { format!("10.1.0.{host}:{port}") };
    text.parse().expect("an address")
}

fn rules(scheduler: Scheduler, six: bool, servers: &[(u8, u16)]) -> Rules {
    let servers = servers.iter().map(|(host, weight)| (at(*host, 6443, six), u32::from(*weight))).collect();
    Rules { service: Service { address: at(100, 6443, six), scheduler }, servers }
}

fn fulfils_the_contract(six: bool) {
    let world = World::new(0);
    within(&world.host(), async || {
        let stage = contract::Stage {
            dataplane: Arc::new(Ipvs::open().await.expect("open IPVS")),
            again: Box::new(|| Arc::new(Anew)),
            service: at(100, 6443, six),
            neighbours: [at(100, 80, six), at(101, 6443, six)],
            servers: [at(1, 6443, six), at(2, 6443, six), at(3, 6443, six), at(3, 6444, six)],
            schedulers: Scheduler::ALL.to_vec(),
        };
        contract::all(&stage).await;
    });
}

/// A process that opens IPVS for every single call.
#[derive(Debug)]
struct Anew;

#[async_trait]
impl Dataplane for Anew {
    fn name(&self) -> &'static str {
        "ipvs"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        Ipvs::open().await?.observe(service).await
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        Ipvs::open().await?.apply(wanted, changes).await
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        Ipvs::open().await?.remove(service).await
    }
}

fn ipvsadm_reads_what_we_write(six: bool) {
    let world = World::new(0);
    let host = world.host();
    for scheduler in Scheduler::ALL {
        let wanted = rules(scheduler, six, &[(1, 1), (2, 0), (3, u16::MAX)]);
        within(&host, async || become_(&Ipvs::open().await.expect("open IPVS"), &wanted).await);
        let service = wanted.service.address;
        let mut expected = format!("-A -t {service} -s {scheduler}\n");
        for (server, weight) in &wanted.servers {
            expected += &format!("-a -t {service} -r {server} -m -w {weight}\n");
        }
        assert_eq!(sorted(&text_in(&host, &["ipvsadm", "-Sn"])), sorted(&expected));
    }
    within(&host, async || {
        Ipvs::open().await.expect("open IPVS").remove(&rules(Scheduler::Rr, six, &[]).service).await.expect("remove");
    });
    assert_eq!(text_in(&host, &["ipvsadm", "-Sn"]), "");
}

fn we_read_what_ipvsadm_writes(six: bool) {
    let world = World::new(0);
    let host = world.host();
    let service = at(100, 6443, six).to_string();
    let wanted = rules(Scheduler::Wlc, six, &[(1, 7), (2, 0)]);
    let servers: Vec<String> = [at(1, 6443, six), at(2, 6443, six)].map(|server| server.to_string()).to_vec();
    let ours = || {
        run_in(&host, &["ipvsadm", "-A", "-t", &service, "-s", "wlc"]);
        run_in(&host, &["ipvsadm", "-a", "-t", &service, "-r", &servers[0], "-m", "-w", "7"]);
        run_in(&host, &["ipvsadm", "-a", "-t", &service, "-r", &servers[1], "-m", "-w", "0"]);
    };
    let observed = || {
        within(&host, async || {
            Ipvs::open().await.expect("open IPVS").observe(wanted.service.address).await.expect("observe")
        })
    };
    ours();
    assert_eq!(observed().as_ref(), Some(&wanted));
    // What we never want is seen as something else, and put right without taking anything out.
    let changes: [(&[&str], Scheduler, u32); 6] = [
        (&["-E", "-t", &service, "-s", "wlc", "-p", "60"], Scheduler::Other, 7),
        (&["-E", "-t", &service, "-s", "nq"], Scheduler::Other, 7),
        (&["-E", "-t", &service, "-s", "sh", "-b", "sh-port"], Scheduler::Other, 7),
        (&["-e", "-t", &service, "-r", &servers[0], "-g", "-w", "7"], Scheduler::Wlc, FOREIGN),
        (&["-e", "-t", &service, "-r", &servers[0], "-i", "-w", "7"], Scheduler::Wlc, FOREIGN),
        (&["-e", "-t", &service, "-r", &servers[0], "-m", "-w", "7", "-x", "9"], Scheduler::Wlc, FOREIGN),
    ];
    for (words, scheduler, weight) in changes {
        let line: Vec<&str> = ["ipvsadm"].into_iter().chain(words.iter().copied()).collect();
        run_in(&host, &line);
        let found = observed().expect("it is still there");
        assert_eq!(found.service.scheduler, scheduler, "{line:?}");
        assert_eq!(found.servers[&at(1, 6443, six)], weight, "{line:?}");
        within(&host, async || become_(&Ipvs::open().await.expect("open IPVS"), &wanted).await);
        let clean = text_in(&host, &["ipvsadm", "-Sn"]);
        run_in(&host, &["ipvsadm", "-C"]);
        ours();
        assert_eq!(sorted(&clean), sorted(&text_in(&host, &["ipvsadm", "-Sn"])), "after {line:?}");
    }
}

fn others_are_left_alone() {
    let world = World::new(0);
    let host = world.host();
    let foreign: [&[&str]; 9] = [
        &["-A", "-t", "10.1.0.100:80", "-s", "sh", "-p", "50"],
        &["-a", "-t", "10.1.0.100:80", "-r", "10.1.0.1", "-g", "-w", "3"],
        &["-A", "-u", "10.1.0.100:6443", "-s", "wrr", "-o"],
        &["-a", "-u", "10.1.0.100:6443", "-r", "10.1.0.1:6443", "-m"],
        &["-A", "--sctp-service", "10.1.0.100:6443", "-s", "rr"],
        &["-A", "-f", "7", "-s", "lc"],
        &["-a", "-f", "7", "-r", "10.1.0.2:0", "-i"],
        &["-A", "-f", "8", "-6", "-s", "lc"],
        &["-A", "-t", "[fd01::64]:6443", "-s", "nq"],
    ];
    for words in foreign {
        run_in(&host, &["ipvsadm"].into_iter().chain(words.iter().copied()).collect::<Vec<_>>());
    }
    let before = sorted(&text_in(&host, &["ipvsadm", "-Sn"]));
    within(&host, async || {
        let ipvs = Ipvs::open().await.expect("open IPVS");
        let wanted = rules(Scheduler::Rr, false, &[(1, 1), (2, 1)]);
        assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe"), None);
        become_(&ipvs, &wanted).await;
        become_(&ipvs, &rules(Scheduler::Wrr, false, &[(2, 3)])).await;
        ipvs.remove(&wanted.service).await.expect("remove");
    });
    assert_eq!(sorted(&text_in(&host, &["ipvsadm", "-Sn"])), before);
}

fn what_others_did_meanwhile_is_no_failure() {
    let world = World::new(0);
    within(&world.host(), async || {
        let ipvs = Ipvs::open().await.expect("open IPVS");
        let wanted = rules(Scheduler::Rr, false, &[(1, 1), (2, 1)]);
        let everything = reconcile(&wanted, None);
        for _ in 0..2 {
            ipvs.apply(&wanted, &everything).await.expect("also when it is there already");
            assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe").as_ref(), Some(&wanted));
        }
        let gone = at(9, 6443, false);
        ipvs.apply(&wanted, &[Change::RemoveServer(gone)]).await.expect("also when it is gone already");
        ipvs.apply(&wanted, &[Change::SetServer(gone, 4)]).await.expect("also when it is gone already");
        assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe").expect("there").servers[&gone], 4);
        run_in(&world.host(), &["ipvsadm", "-C"]);
        assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe"), None);
        let failed = ipvs.apply(&wanted, &[Change::SetServer(gone, 1)]).await.expect_err("no service");
        assert_eq!(
            failed.to_string(),
            "cannot set the server 10.1.0.9:6443 of 10.1.0.100:6443: there is no such virtual service"
        );
        let mut mixed = wanted.clone();
        mixed.servers.insert(at(1, 6443, true), 1);
        ipvs.apply(&mixed, &reconcile(&mixed, None)).await.expect_err("mixed families");
    });
}

fn we_count_what_ipvsadm_counts() {
    let stage = Stage::new(Plane::Ipvs, false);
    let mut daemon = stage.care(&[1, 2, 3]);
    daemon.kill();
    let held = stage.hold(3);
    let client = stage.client();
    std::thread::sleep(Duration::from_millis(500));
    assert!(client.stop().failed().is_empty());
    // The kernel adds up its counters every two seconds.
    std::thread::sleep(Duration::from_secs(5));
    let host = stage.world.host();
    let ours = within(&host, async || {
        Ipvs::open().await.expect("open IPVS").traffic(stage.service()).await.expect("read the counters")
    });
    let theirs = text_in(&host, &["ipvsadm", "-Ln", "--stats", "--exact"]);
    assert_eq!(ours.len(), 3);
    for (server, traffic) in ours {
        assert!(traffic.active >= 1 && traffic.connections > 10 && traffic.bytes_in > 100, "{traffic:?}");
        let counters =
            [traffic.connections, traffic.packets_in, traffic.packets_out, traffic.bytes_in, traffic.bytes_out];
        let line = theirs.lines().find(|line| line.contains(&server.to_string())).expect("its line");
        let told: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert_eq!(told, counters, "{line}");
    }
    assert!(held.look().iter().all(|(_, alive)| *alive));
}

fn without_privilege_it_says_so() {
    let world = World::new(0);
    let told = text_in(&world.host(), &[&itself(), "actor", "look-without-privilege"]);
    let expected = "cannot read the virtual service 10.1.0.100:6443: not permitted; \
                    this needs root (CAP_NET_ADMIN) in this network namespace";
    assert_eq!(told.trim(), expected);
}

fn a_look_is_cheap() {
    let world = World::new(0);
    within(&world.host(), async || {
        let ipvs = Ipvs::open().await.expect("open IPVS");
        let wanted = rules(Scheduler::Rr, false, &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
        become_(&ipvs, &wanted).await;
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe").as_ref(), Some(&wanted));
        }
        let each = clock::since(start) / 500;
        figure(&format!("observe, 5 servers: {each:?}"));
        assert!(each < Duration::from_millis(5), "{each:?}");
    });
}

/// What the guard does: observe, compare, change; and the result is what was wanted.
async fn become_(ipvs: &Ipvs, wanted: &Rules) {
    let observed = ipvs.observe(wanted.service.address).await.expect("observe");
    ipvs.apply(wanted, &reconcile(wanted, observed.as_ref())).await.expect("apply");
    assert_eq!(ipvs.observe(wanted.service.address).await.expect("observe").as_ref(), Some(wanted));
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_string()).collect();
    lines.sort();
    lines
}

//! Measures what a check costs: `cargo test --release -p lvscare --test probes -- --ignored --nocapture cost`.

use std::time::{Duration, Instant};

use lvscare::{HealthConfig, HealthProbe, Probe};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::check;
use crate::identity::Authority;
use crate::server::{OK, Server};

const SERVERS: usize = 5;
const ROUNDS: u32 = 200;

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_https() {
    let authority = Authority::new();
    let acceptor = authority.server(&["127.0.0.1"]);
    let probe = HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap();
    measure("HTTPS", probe, async || Server::tls(acceptor.clone()).await);
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_http() {
    measure("HTTP", crate::http(), async || Server::answering(OK).await);
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_tcp() {
    measure("TCP", crate::tcp(), async || Server::answering(OK).await);
}

#[expect(clippy::print_stdout)]
fn measure(name: &str, probe: impl Probe + 'static, server: impl AsyncFn() -> Server) {
    // The servers have a thread of their own, whose time does not count.
    let serving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers = serving.block_on(async {
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            servers.push(server().await);
        }
        servers
    });
    let probe = std::sync::Arc::new(probe);
    let probing = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for gap in [0, 5, 50] {
        let (before, start) = (thread_time(), Instant::now());
        let rounds = ROUNDS / (1 + gap / 5);
        probing.block_on(async {
            for _ in 0..rounds {
                let mut checks = JoinSet::new();
                for server in &servers {
                    let (probe, address) = (std::sync::Arc::clone(&probe), server.address);
                    checks.spawn(async move { check(&*probe, address).await.unwrap() });
                }
                checks.join_all().await;
                sleep(Duration::from_millis(gap.into())).await;
            }
        });
        let checks = rounds * u32::try_from(SERVERS).unwrap();
        let (time, wall) = ((thread_time() - before) / checks, start.elapsed() / rounds);
        println!("{name}: {time:?} of CPU time for a check, a round of {SERVERS} each {wall:?}");
    }
    println!("{name}: {} connections", servers[0].connections());
}

/// The CPU time that this thread has used (`/proc/thread-self/schedstat`, proc(5)).
pub(crate) fn thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

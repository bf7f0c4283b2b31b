//! Tests that a guard over hostile servers keeps its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvscare::{
    Desired, FakeDataplane, Guard, HealthConfig, HealthPolicy, HealthProbe, Scheduler, ServerState, Service,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::hostile::{FLOODS, changing_keys, flooding};
use crate::http;
use crate::identity::Authority;
use crate::server::{OK, Server};

#[test]
fn hostile_servers_take_no_time_from_others() {
    let [serving, others] = runtimes();
    let hostile = others.block_on(async {
        let mut hostile = vec![flooding(FLOODS[0].0, FLOODS[0].1, 1).await];
        for (begin, again, _) in FLOODS {
            hostile.push(flooding(begin, again, usize::MAX).await);
        }
        hostile
    });
    let good = serving.block_on(async { [Server::answering(OK).await, Server::answering(OK).await] });
    guarded(&good, &hostile, http());
}

#[test]
fn hostile_servers_of_tls_take_no_time_from_others() {
    let [serving, others] = runtimes();
    let authority = Authority::new();
    let acceptor = authority.server(&["127.0.0.1"]);
    let hostile = others.block_on(async {
        let (left, _) = mpsc::channel(1);
        [
            Server::tls(authority.talkative(&["127.0.0.1"], 2000)).await,
            changing_keys(acceptor.clone(), 0, left.clone()).await,
            changing_keys(acceptor.clone(), 3, left).await,
        ]
    });
    let good = serving.block_on(async { [Server::tls(acceptor.clone()).await, Server::tls(acceptor.clone()).await] });
    guarded(&good, &hostile, HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap());
}

/// A thread for the good servers and one for the others.
fn runtimes() -> [Runtime; 2] {
    [(); 2].map(|()| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

/// Guards these servers for a while: the good ones stay in, and what others change is repaired in time.
fn guarded(good: &[Server], hostile: &[Server], probe: HealthProbe) {
    let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr };
    let servers = good.iter().chain(hostile).map(|server| (server.address, 1)).collect();
    // Handshakes of servers that are not optimised take long on a busy machine; the interval is the usual one.
    let health = HealthPolicy { timeout: Duration::from_secs(3), ..HealthPolicy::default() };
    let desired = Desired { service: service.clone(), servers, health };
    let table = Arc::new(FakeDataplane::new());
    let guarding = Builder::new_current_thread().enable_all().build().unwrap();
    guarding.block_on(async {
        let guard = Guard::new(desired, table.clone(), Arc::new(probe));
        let (handle, cancel) = (guard.handle(), CancellationToken::new());
        let running = tokio::spawn(guard.run(cancel.clone()));
        sleep(Duration::from_secs(1)).await;
        let state = |address: SocketAddr| {
            let servers = handle.status().servers;
            servers.into_iter().find(|server| server.server == address).unwrap()
        };
        let mut repairs = Vec::new();
        for _ in 0..5 {
            table.interfere(|all| drop(all.remove(&service.address)));
            let start = Instant::now();
            while table.rules(service.address).is_none() {
                sleep(Duration::from_millis(5)).await;
            }
            repairs.push(start.elapsed());
            sleep(Duration::from_millis(130)).await;
        }
        // The fastest: other work on the machine delays one or the other.
        assert!(repairs.iter().min().unwrap() < &Duration::from_millis(500), "{repairs:?}");
        for server in good {
            let status = state(server.address);
            assert_eq!((status.state, status.transitions), (ServerState::Up, 1), "{status:?}");
        }
        cancel.cancel();
        running.await.unwrap().unwrap();
    });
}

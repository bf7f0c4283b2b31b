//! Shows how a program uses the guard: five servers on loopback, rules in memory; one server dies and returns.
//!
//! `cargo run -p lvscare --features testing --example embed-guard [SECONDS]`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lvscare::{
    Desired, FakeDataplane, Guard, HealthConfig, HealthPolicy, HealthProbe, HealthScheme, Scheduler, Service,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let mut servers = Vec::new();
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        servers.push((listener.local_addr()?, serve(listener)));
    }
    let service = Service { address: "10.103.97.2:6443".parse()?, scheduler: Scheduler::Rr };
    let weights = servers.iter().map(|(address, _)| (*address, 1)).collect();
    let desired = Desired { service: service.clone(), servers: weights, health: HealthPolicy::default() };

    let probe = HealthProbe::new(&HealthConfig { scheme: HealthScheme::Tcp, ..HealthConfig::default() }, &[])?;
    let (begun, table) = (Instant::now(), Arc::new(FakeDataplane::new()));
    let guard = Guard::new(desired, table.clone(), Arc::new(probe))
        .with_events(move |event| println!("{:7.3} s  {event:?}", begun.elapsed().as_secs_f64()));
    let (handle, cancel) = (guard.handle(), CancellationToken::new());
    let running = tokio::spawn(guard.run(cancel.clone()));

    sleep(Duration::from_secs(1)).await;
    let (address, server) = servers.swap_remove(0);
    println!("{:7.3} s  {address} is killed", begun.elapsed().as_secs_f64());
    server.abort();
    sleep(Duration::from_secs(1)).await;
    let back = serve(TcpListener::bind(address).await?);
    sleep(Duration::from_secs(seconds)).await;

    let rules = table.rules(service.address).map_or(0, |rules| rules.servers.len());
    println!("{} of 5 servers are healthy, {rules} are in", handle.status().healthy());
    cancel.cancel();
    running.await??;
    back.abort();
    Ok(())
}

/// A server that takes connections and holds them until it is killed.
fn serve(listener: TcpListener) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut held: Vec<(tokio::net::TcpStream, SocketAddr)> = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
            // Clients that have gone make room.
            held.retain(|(stream, _)| stream.try_read(&mut [0]).is_err());
        }
    })
}

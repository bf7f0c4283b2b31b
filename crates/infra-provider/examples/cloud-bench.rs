//! Measures how many calls and how much time ALI_CLOUD takes to make and free machines, beside other tools.
//!
//! The cloud is the test double, with the two time profiles at which the others were measured. Its time is virtual, so
//! that minutes pass in an instant; one row is measured in real time, over HTTP on loopback. Run by
//! `cargo xtask bench cloud`.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cloud_double::{Double, Options, Timing, serve};
use clusterfile::{Cluster, MachineSpec, ProviderName};
use http::{Request, Response};
use infra_provider::ali_cloud::api::{
    AccessKey, Credentials, Endpoints, HttpOptions, HttpTransport, Product, Transport, TransportFailure, WallClock,
};
use infra_provider::ali_cloud::{AliCloud, AliCloudOptions};
use infra_provider::{Context, Provider, Release};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Between making and freeing, so that nothing is under way any more.
const PAUSE: Duration = Duration::from_secs(30);
const PROFILES: [(&str, Timing); 2] = [("A", Timing::A), ("B", Timing::B)];

/// Who else was measured: profile, name, calls and refused calls and seconds of creation, the same of deletion.
type Measured = (&'static str, &'static str, (u32, u32, f64), (u32, u32, f64));
/// On a double with the same times, with the Go package of sealer v0.8.6 and a prototype on the vendor's client.
const EARLIER: [Measured; 7] = [
    ("A", "Go sealer v0.8.6", (24, 7, 23.3), (15, 7, 15.7)),
    ("A", "prototype, blind", (19, 6, 19.0), (14, 8, 6.7)),
    ("A", "prototype, learned", (11, 0, 18.0), (8, 2, 5.7)),
    ("B", "Go sealer v0.8.6", (25, 8, 33.0), (17, 9, 25.6)),
    ("B", "prototype, blind", (22, 7, 26.9), (18, 12, 12.8)),
    ("B", "prototype, stale", (17, 3, 27.0), (18, 12, 12.7)),
    ("B", "prototype, learned", (11, 0, 26.6), (8, 2, 11.1)),
];

fn main() -> Outcome<()> {
    println!("3 masters + 3 nodes      ------------- create --------------   ----- delete ------");
    println!("                         calls refused  peak seconds × floor   calls refused seconds");
    for (name, timing) in PROFILES {
        println!("profile {name}, floor {:.1} s (its states and six round trips)", floor(timing));
        row("sealer", timing, &virtually(round(timing, &wanted(3, 3), Way::Within))?);
        for (_, who, create, delete) in EARLIER.iter().filter(|(profile, ..)| *profile == name) {
            let (calls, refused, seconds) = *create;
            let ratio = seconds / floor(timing);
            print!("  {who:<23}{calls:>5} {refused:>7}     - {seconds:>7.1} {ratio:>7.2}");
            println!("   {:>5} {:>7} {:>7.1}   measured earlier on a like double", delete.0, delete.1, delete.2);
        }
    }
    println!("blind, learned, stale: first run, later runs, and with what was learned on the other profile");
    println!("terraform, any profile     ≥ 66 for six instances, about 87 with the network      counted from its code");
    in_real_time()?;
    many()
}

/// What no client can be faster than: the states that wait for each other, and six round trips.
fn floor(timing: Timing) -> f64 {
    (timing.vpc + timing.vswitch + timing.running + timing.call * 6).as_secs_f64()
}

/// The real client over HTTP, in real time.
fn in_real_time() -> Outcome<()> {
    println!("profile A in real time, over HTTP on loopback");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    row("sealer", Timing::A, &runtime.block_on(round(Timing::A, &wanted(3, 3), Way::Http))?);
    Ok(())
}

/// Calls grow with pages of a hundred machines, not with machines.
fn many() -> Outcome<()> {
    println!("profile A, 100 masters + 100 nodes");
    row("sealer", Timing::A, &virtually(round(Timing::A, &wanted(100, 100), Way::Within))?);
    Ok(())
}

fn row(who: &str, timing: Timing, [create, delete]: &[Cost; 2]) {
    print!("  {who:<23}{:>5} {:>7} {:>5} {:>7.1}", create.calls, create.refused, create.peak, create.seconds);
    println!(
        " {:>7.2}   {:>5} {:>7} {:>7.1}",
        create.seconds / floor(timing),
        delete.calls,
        delete.refused,
        delete.seconds
    );
}

/// How the stand-in is reached.
#[derive(Clone, Copy)]
enum Way {
    Within,
    Http,
}

struct Cost {
    calls: usize,
    refused: usize,
    peak: usize,
    seconds: f64,
}

/// Makes and frees a cluster on a fresh account.
async fn round(timing: Timing, wanted: &Cluster, way: Way) -> Outcome<[Cost; 2]> {
    let double = Double::new(Options { timing, ..Options::default() });
    let clock = WallClock::starting_at(double.wall());
    let (mut options, _server) = match way {
        Way::Within => (AliCloudOptions::new(Arc::new(Wire(double.clone()))), None),
        Way::Http => {
            let server = serve(&double, TcpListener::bind("127.0.0.1:0").await?)?;
            let address = format!("http://{}", server.address());
            let endpoints = Endpoints::default().with(Product::Ecs, &address)?.with(Product::Vpc, &address)?;
            let transport = HttpTransport::new(&HttpOptions::default())?;
            let mut options = AliCloudOptions::new(Arc::new(transport));
            options.endpoints = endpoints;
            (options, Some(server))
        }
    };
    options.credentials = Some(Credentials::Key(AccessKey::new("testid", "testsecret")));
    options.clock = clock;
    options.admin_cidrs = vec!["203.0.113.7/32".to_owned()];
    let state = tempfile::tempdir()?;
    let (provider, context) = (AliCloud::new(options), Context::new(state.path(), &|_| ()));

    let began = Instant::now();
    let made = provider.provision(wanted, None, &context).await?.cluster;
    let create = cost(&double, began);
    if matches!(way, Way::Within) {
        sleep(PAUSE).await;
    } else {
        sleep(timing.eip).await;
    }
    double.forget_calls();
    let began = Instant::now();
    provider.release(&made, Release::All, &context).await?;
    let delete = cost(&double, began);
    match double.leftovers().as_slice() {
        [] => Ok([create, delete]),
        left => Err(format!("left over: {}", left.join(", ")).into()),
    }
}

fn cost(double: &Double, began: Instant) -> Cost {
    let seconds = began.elapsed().as_secs_f64();
    Cost { calls: double.calls().len(), refused: double.refused().len(), peak: double.peak_concurrency(), seconds }
}

/// Runs in a time that passes whenever everybody waits.
fn virtually<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(work)
}

fn wanted(masters: u32, nodes: u32) -> Cluster {
    let mut cluster = Cluster::new("shop", "shop:1.4");
    cluster.provider = ProviderName::ALI_CLOUD;
    cluster.machines.masters = Some(MachineSpec::of(masters));
    cluster.machines.nodes = Some(MachineSpec::of(nodes));
    cluster
}

/// The stand-in without a network in between.
#[derive(Debug)]
struct Wire(Double);

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request<Bytes>, after: Duration) -> Result<Response<Bytes>, TransportFailure> {
        let host = "double".to_owned();
        match timeout(after, self.0.handle(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(lost)) => Err(TransportFailure::Interrupted { host, source: lost.into() }),
            Err(_) => Err(TransportFailure::TimedOut { host, after }),
        }
    }
}

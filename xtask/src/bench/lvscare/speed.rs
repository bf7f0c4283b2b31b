//! Measures throughput and added latency of a load balancer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::backend::Backends;
use super::client::body;
use super::contender::{Contender, Orders};
use super::gap::await_all;
use super::table::{Table, quantile, ratio};
use super::world::{World, within};
use crate::error::{Error, Result};
use crate::program::{program, read};

/// Load of one case.
const LOAD: &str = "1s";
/// One client that asks one after the other, for so long.
const ALONE: Duration = Duration::from_millis(800);
const CONTENDERS: [Option<Contender>; 4] =
    [None, Some(Contender::Sealer), Some(Contender::HaproxyTuned), Some(Contender::NginxTuned)];
/// The two ways to call.
const MANNERS: [(&str, bool); 2] = [("new connections", false), ("kept connections", true)];

/// What one contender did in one pass.
#[derive(Debug, Default, Clone)]
struct Pass {
    per_second: f64,
    /// In microseconds, sorted.
    latencies: Vec<f64>,
}

/// Measures on the kernel of this machine, `passes` times in turn; the lines of the table.
pub(super) fn speed(orders: &Orders, passes: u32) -> Result<Vec<String>> {
    let mut all: Vec<[Vec<Pass>; 2]> = CONTENDERS.iter().map(|_| Default::default()).collect();
    for _ in 0..passes {
        for (contender, results) in CONTENDERS.iter().zip(&mut all) {
            // One server: what is measured is the way to it, not how several share the processors.
            let world = World::new(1)?;
            let _backends = Backends::start(&world, &orders.directory, None)?;
            let process = contender.map(|contender| contender.start(&world, orders)).transpose()?;
            match contender {
                Some(contender) => await_all(&world, *contender)?,
                None => std::thread::sleep(Duration::from_millis(500)),
            }
            let service = contender.map_or(world.address(1), Contender::service);
            for ((_, kept), results) in MANNERS.iter().zip(results.iter_mut()) {
                results.push(pass(&world, service, *kept)?);
            }
            drop(process);
        }
    }
    Ok(lines(&all))
}

fn pass(world: &World, service: SocketAddr, kept: bool) -> Result<Pass> {
    let latencies = within(&world.host(), || if kept { on_one(service) } else { on_many(service) })?;
    let mut latencies = latencies
        .map_err(|error| Error::Shape { what: format!("the way through {service}"), found: error.to_string() })?;
    latencies.sort_by(f64::total_cmp);
    Ok(Pass { per_second: load(world, service, kept)?, latencies })
}

fn load(world: &World, service: SocketAddr, kept: bool) -> Result<f64> {
    let mut command = program("ip");
    command.args(["netns", "exec", &world.host(), "wrk", "-t1", "-c16", "-d", LOAD]);
    if !kept {
        command.args(["-H", "Connection: close"]);
    }
    let said = read(command.arg(format!("http://{service}/")))?;
    let odd = || Error::Shape { what: "output of wrk".into(), found: said.clone() };
    let line = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok());
    line("Requests/sec:").ok_or_else(odd)
}

/// Latencies in microseconds of requests on one connection.
fn on_one(service: SocketAddr) -> std::io::Result<Vec<f64>> {
    let mut stream = connect(service)?;
    measure(|| ask(&mut stream))
}

/// Latencies in microseconds of requests on a new connection each, connecting included.
fn on_many(service: SocketAddr) -> std::io::Result<Vec<f64>> {
    measure(|| ask(&mut connect(service)?))
}

fn measure(mut act: impl FnMut() -> std::io::Result<()>) -> std::io::Result<Vec<f64>> {
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < ALONE {
        let begun = Instant::now();
        act()?;
        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
}

fn connect(service: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&service, Duration::from_secs(1))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: service\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while body(&answer).is_none() {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(())
}

/// The best of all passes: what else runs on the machine only makes figures worse.
fn best(passes: &[Pass]) -> [f64; 3] {
    let least =
        |per_mille| passes.iter().map(|pass| quantile(&pass.latencies, per_mille)).fold(f64::INFINITY, f64::min);
    let most = passes.iter().map(|pass| pass.per_second).fold(0.0, f64::max);
    [most, least(500), least(990)]
}

fn lines(all: &[[Vec<Pass>; 2]]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, (manner, _)) in MANNERS.iter().enumerate() {
        let figures: Vec<[f64; 3]> = all.iter().map(|results| best(&results[index])).collect();
        let (direct, ours) = (figures[0], figures[1]);
        let mut table = Table::new(&[manner, "requests/s", "to ours", "p50 us", "added", "p99 us", "added"]);
        for (contender, [per_second, p50, p99]) in CONTENDERS.iter().zip(&figures) {
            table.row(vec![
                contender.map_or("direct, no balancing", Contender::name).to_owned(),
                format!("{per_second:.0}"),
                ratio(*per_second, ours[0]),
                format!("{p50:.0}"),
                format!("{:+.0}", p50 - direct[1]),
                format!("{p99:.0}"),
                format!("{:+.0}", p99 - direct[2]),
            ]);
        }
        lines.extend(table.lines());
        lines.push(String::new());
    }
    lines
}

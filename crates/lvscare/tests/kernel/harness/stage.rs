//! What a scenario is made of.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

use super::child::Actor;
use super::{Calls, Client, Held, Plane, World, connect_from, view, within};

/// How long anything may take that is not itself under test.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Three servers, a host with room for a daemon and clients, and files.
pub struct Stage {
    /// The part of the kernel that balances.
    pub plane: Plane,
    /// The hosts.
    pub world: World,
    /// The servers by their place, counted from 0; not all of them need run.
    pub servers: Vec<Option<Actor>>,
    /// Whether all is IPv6.
    pub six: bool,
    /// `route`, or the name of a link.
    pub addressing: &'static str,
    /// Files.
    pub files: TempDir,
}

impl Stage {
    /// With three servers that answer over HTTP.
    pub fn new(plane: Plane, six: bool) -> Self {
        let mut stage = Self::empty(plane, six, 3);
        for place in 1..=3 {
            stage.serve(place, &[]);
        }
        stage
    }

    /// With hosts for so many servers, none of which runs.
    pub fn empty(plane: Plane, six: bool, count: u8) -> Self {
        let world = World::new(count);
        let files = tempfile::tempdir().expect("make a directory");
        let servers = (0..count).map(|_| None).collect();
        Self { plane, world, servers, six, addressing: "route", files }
    }

    /// Starts a server, counted from 1, with a certificate and a key or without.
    pub fn serve(&mut self, place: u8, identity: &[&str]) {
        let address = self.server(place).to_string();
        let name = format!("s{place}");
        let words = [&["serve", &address, &name], identity].concat();
        let actor = Actor::start(&self.world.server(place), &words);
        actor.await_line(0, "serving", TIMEOUT);
        self.await_wire(place);
        self.servers[usize::from(place) - 1] = Some(actor);
    }

    /// Waits until a server can be reached: a new wire needs its time.
    fn await_wire(&self, place: u8) {
        let (address, start) = (self.server(place), Instant::now());
        within(&self.world.host(), async || {
            while timeout(Duration::from_millis(100), connect_from(1000 + u16::from(place), address)).await.is_err() {
                assert!(start.elapsed() < TIMEOUT, "{address} cannot be reached");
            }
        });
    }

    /// A server's process, counted from 1.
    pub fn actor(&mut self, place: u8) -> &mut Actor {
        self.servers[usize::from(place) - 1].as_mut().expect("it runs")
    }

    /// A server's address, counted from 1.
    pub fn server(&self, place: u8) -> SocketAddr {
        self.world.address(place, self.six)
    }

    /// The addresses of servers.
    pub fn set(&self, places: &[u8]) -> BTreeSet<SocketAddr> {
        places.iter().map(|place| self.server(*place)).collect()
    }

    /// The virtual address.
    pub fn service(&self) -> SocketAddr {
        let text = if self.six { "[fd00:103::2]:6443" } else { "10.103.97.2:6443" };
        text.parse().expect("an address")
    }

    /// Writes what the daemon is to do, with these servers and checks.
    pub fn configure(&self, places: &[u8], health: &serde_json::Value) {
        let servers: Vec<String> = places.iter().map(|place| self.server(*place).to_string()).collect();
        let mut config = json!({ "vs": self.service().to_string(), "rs": servers, "health": health });
        if self.plane.is_slow() {
            config["interval"] = json!("800ms");
            if health.get("timeout").is_none() {
                config["health"]["timeout"] = json!("900ms");
            }
        }
        let partial = self.files.path().join("care.json.new");
        fs::write(&partial, config.to_string()).expect("write the configuration");
        fs::rename(partial, self.config()).expect("put the configuration in place");
    }

    /// Starts a daemon over servers that are checked by HTTP, and waits until all of them are in. What it told of that does
    /// not count any more.
    pub fn care(&self, places: &[u8]) -> Actor {
        self.configure(places, &json!({ "scheme": "http" }));
        let daemon = self.care_as_configured();
        self.await_seen(places);
        // The kernel has them before we have read of the last.
        daemon.forget_lines(TIMEOUT, |lines| told_healthy(lines) == places.len());
        daemon
    }

    /// Starts a daemon, and waits until it says that the rules are right.
    pub fn care_as_configured(&self) -> Actor {
        let daemon = self.daemon(&[]);
        daemon.await_line(0, "Started", TIMEOUT);
        daemon
    }

    /// As a duration where the kernel is a process: tests then ask for twice the time of the defaults.
    pub fn bound(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(if self.plane.is_slow() { 2 * milliseconds } else { milliseconds })
    }

    /// Starts a daemon with these flags.
    pub fn daemon(&self, flags: &[&str]) -> Actor {
        let (config, socket) = (self.config().display().to_string(), self.socket().display().to_string());
        let words = [&["care", self.plane.name(), self.addressing, &config, &socket], flags].concat();
        Actor::start(&self.world.host(), &words)
    }

    /// Has everything taken away that a daemon made.
    pub fn clean(&self) {
        let (service, socket) = (self.service().to_string(), self.socket().display().to_string());
        let words = ["clean", self.plane.name(), self.addressing, &service, &socket];
        let mut cleaner = Actor::start(&self.world.host(), &words);
        assert!(cleaner.ended(TIMEOUT), "{:#?}", cleaner.lines());
    }

    /// A client that calls in the rhythm that is asked of us: every 5 ms, less often where the kernel is a process.
    pub fn client(&self) -> Client {
        let rhythm = if self.plane.is_slow() { 10 } else { 5 };
        Client::start(&self.world.host(), self.service(), Duration::from_millis(rhythm))
    }

    /// Connections that stay open.
    pub fn hold(&self, count: usize) -> Held {
        Held::open(&self.world.host(), self.service(), count)
    }

    /// The servers that get new connections, as another program reads them from the kernel.
    pub fn seen(&self) -> BTreeSet<SocketAddr> {
        view::servers(self.plane, &self.world.host(), self.service())
    }

    /// Waits until just these servers get new connections; how long that took.
    pub fn await_seen(&self, places: &[u8]) -> Duration {
        let (start, wanted) = (Instant::now(), self.set(places));
        while self.seen() != wanted {
            assert!(start.elapsed() < TIMEOUT, "{:?} where {wanted:?} should be", self.seen());
            std::thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }

    /// Lets the client call for a while, does something, and lets it call until `until` says when.
    pub fn calls_around<T>(
        &mut self,
        act: impl FnOnce(&mut Self),
        until: impl FnOnce(&mut Self) -> T,
    ) -> (Instant, Calls) {
        let client = self.client();
        std::thread::sleep(Duration::from_millis(500));
        let fault = Instant::now();
        act(self);
        let _ = until(self);
        std::thread::sleep(Duration::from_millis(500));
        (fault, client.stop())
    }

    fn config(&self) -> PathBuf {
        self.files.path().join("care.json")
    }

    fn socket(&self) -> PathBuf {
        self.files.path().join("run/care.sock")
    }
}

/// How many servers are healthy, by what a daemon told: so many at its start, and each that came up or went down since.
fn told_healthy(lines: &[String]) -> usize {
    let at_start = lines.iter().find_map(|line| line.strip_prefix("Started")?.split_once("healthy: "));
    let at_start = at_start.and_then(|(_, rest)| rest.split(',').next()?.parse::<usize>().ok()).unwrap_or_default();
    let begun = lines.iter().skip_while(|line| !line.starts_with("Started"));
    begun.fold(at_start, |healthy, line| match line.split([' ', '{']).next() {
        Some("Up") => healthy + 1,
        Some("Down") => healthy.saturating_sub(1),
        _ => healthy,
    })
}

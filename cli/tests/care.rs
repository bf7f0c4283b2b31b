//! The daemon as a service: ready, alive, reloaded, stopped, cleaned. Needs root; uses a network of its own.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what another process does")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

const SERVICE: &str = "10.103.97.2:5000";
const SERVERS: [&str; 2] = ["10.9.0.1:5000", "10.9.0.2:5000"];

/// A network without anybody else, and what runs in it; everything ends with it.
struct Network {
    directory: tempfile::TempDir,
    children: Vec<Child>,
}

impl Network {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let holder = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let network = Self { directory, children: vec![holder] };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let other = || fs::read_link(network.namespace()).is_ok_and(|namespace| namespace != own);
        wait_until("a network of its own", other);
        let set_up = "ip link set lo up && ip address add 10.9.0.1/32 dev lo && ip address add 10.9.0.2/32 dev lo";
        assert!(network.command("sh", &["-c", set_up]).status().unwrap().success());
        network
    }

    fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.children[0].id()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program that will run in this network.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace().display())).arg(program).args(arguments);
        command.env("HOME", self.path("home")).env("SEALER_ROOT", self.path("root")).stdin(Stdio::null());
        command
    }

    fn lvscare(&self, command: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_sealer"), &["lvscare", command]);
        command.args(arguments).arg("--socket").arg(self.path("carer.sock"));
        command
    }

    /// Starts a server and returns its place among the children.
    fn serve(&mut self, address: &str) -> usize {
        let mut server = self.command(env!("CARGO_BIN_EXE_sealer"), &["registry", "serve", "--listen", address]);
        self.children.push(server.stderr(Stdio::null()).spawn().unwrap());
        self.children.len() - 1
    }

    fn end(&mut self, child: usize, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.children[child]), signal).unwrap();
        self.children[child].wait().unwrap().code()
    }

    /// Writes the daemon's configuration as a whole.
    fn configure(&self, servers: &[&str]) {
        let config = json!({ "vs": SERVICE, "rs": servers, "health": { "scheme": "http", "path": "/v2/" } });
        fs::write(self.path("new.json"), config.to_string()).unwrap();
        fs::rename(self.path("new.json"), self.path("lvscare.json")).unwrap();
    }

    fn status(&self) -> Value {
        let output = self.lvscare("status", &["--vs", SERVICE, "-o", "json"]).output().unwrap();
        serde_json::from_slice(&succeeded(output).stdout).unwrap()
    }

    /// Whether the virtual address answers.
    fn answers(&self) -> bool {
        self.answers_at(SERVICE)
    }

    /// Whether an address answers; enters the network with the thread that asks.
    fn answers_at(&self, address: &str) -> bool {
        let address: SocketAddr = address.parse().unwrap();
        let namespace = File::open(self.namespace()).unwrap();
        let asking = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer.starts_with("HTTP/1.1 200 "))
        });
        asking.join().unwrap().unwrap_or(false)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 15 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a message to the service manager that contains a text.
fn hears(manager: &UnixDatagram, text: &str) {
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let Ok(length) = manager.recv(&mut buffer) else { panic!("heard {heard:?}, not {text}") };
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if message.contains(text) {
            return;
        }
        heard.push(message);
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_daemon_works_as_a_service_from_start_to_clean_up() {
    let mut network = Network::new();
    network.serve(SERVERS[0]);
    let second = network.serve(SERVERS[1]);
    network.configure(&SERVERS);
    let manager = UnixDatagram::bind(network.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let (config, metrics) = (network.path("lvscare.json"), network.path("lvscare.prom"));
    let (config, metrics) = (config.to_str().unwrap(), metrics.to_str().unwrap());
    // The servers are there when the daemon first asks.
    SERVERS.iter().for_each(|server| wait_until(server, || network.answers_at(server)));
    let mut care = network.lvscare("care", &["--config", config, "--metrics-file", metrics]);
    care.env("NOTIFY_SOCKET", network.path("notify")).env("WATCHDOG_USEC", "2000000");
    let log = network.path("log");
    network.children.push(care.stderr(File::create(&log).unwrap()).spawn().unwrap());
    let daemon = network.children.len() - 1;

    hears(&manager, "READY=1");
    hears(&manager, "WATCHDOG=1");
    assert!(network.answers());
    let status = network.status();
    assert_eq!(status[0]["carer"]["pid"], network.children[daemon].id());
    assert_eq!(status[0]["servers"][0]["weight"], 1, "{status}");
    let again = network.lvscare("care", &["--config", config]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("another daemon is at work"), "{again:?}");

    network.end(second, Signal::KILL);
    hears(&manager, "1 of 2 servers are healthy");
    assert_eq!(network.status()[0]["servers"][1]["weight"], Value::Null);
    assert!((0..4).all(|_| network.answers()));
    network.configure(&SERVERS[..1]);
    hears(&manager, "RELOADING=1");
    hears(&manager, "READY=1");
    fs::write(config, "{").unwrap();
    kill_process(Pid::from_child(&network.children[daemon]), Signal::HUP).unwrap();
    wait_until("the broken file is told", || lines(&log).iter().any(|line| line.contains("stays as it was")));
    wait_until("metrics", || fs::read_to_string(metrics).is_ok_and(|text| text.contains("lvscare_server_up{")));

    assert_eq!(network.end(daemon, Signal::TERM), Some(0));
    hears(&manager, "STOPPING=1");
    assert!(network.answers(), "the rules stay");
    assert_eq!(network.status()[0]["carer"], Value::Null);
    succeeded(network.lvscare("clean", &["--vs", SERVICE]).output().unwrap());
    assert!(!network.answers() && network.status()[0]["dataplane"].is_null());
    let told = lines(&log);
    // On a busy machine a server may be late, and is told to be out and back.
    assert!(told[0].starts_with(SERVICE) && told[0].ends_with(" of 2 servers healthy"), "{told:?}");
    let (out, changed) = (format!("{} is out: ", SERVERS[1]), format!("configuration changed -{}", SERVERS[1]));
    let mut rest = told.iter();
    for wanted in [out.as_str(), &changed, "lvscare.json cannot be used"] {
        assert!(rest.any(|line| line.contains(wanted)), "{wanted} comes in this order: {told:?}");
    }
}

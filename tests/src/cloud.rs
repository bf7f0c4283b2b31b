//! A fake of Alibaba Cloud whose instances are real machines in the container engine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cloud_double::{Addresses, Double, InstanceHook, InstanceSeed, Options, Server, serve};
use tokio::runtime::Runtime;

use crate::machines::{LABEL, Machine, docker, remove};
use crate::program::finish;

/// Network of the machines: they reach each other, and the machine of the test has no way into it.
const INSIDE: &str = "sealer-test-cloud-inside";
/// The provider's own range of addresses.
const INSIDE_SUBNET: &str = "172.16.0.0/20";
/// Network of the public addresses. Its name comes after the other's: the engine takes the first one's gateway.
const OUTSIDE: &str = "sealer-test-cloud-outside";
const OUTSIDE_SUBNET: &str = "203.0.113.0/24";
/// The address by which the machine of the test is seen there.
pub const OPERATOR: &str = "203.0.113.1";

/// A cloud that answers on loopback; all its machines are gone when it is dropped.
#[derive(Debug)]
pub struct Cloud {
    /// The stand-in, to ask what was asked of it.
    pub double: Double,
    server: Server,
    machines: Arc<Machines>,
    _runtime: Runtime,
}

impl Cloud {
    /// An empty cloud whose machines start from the node image.
    ///
    /// # Panics
    ///
    /// When the engine refuses, or another network of this machine is in the way.
    #[must_use]
    pub fn start(options: Options, image: &str) -> Self {
        let machines = Arc::new(Machines { image: image.to_owned(), running: Mutex::default() });
        machines.clear();
        inside();
        docker(&["network", "create", "--label", LABEL, "--subnet", OUTSIDE_SUBNET, "--gateway", OPERATOR, OUTSIDE]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = Options { first_eip: Ipv4Addr::new(203, 0, 113, 10), ..options };
        let hook: Arc<dyn InstanceHook> = machines.clone();
        let (double, server) = runtime.block_on(async {
            let double = Double::with_hook(options, hook);
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let server = serve(&double, listener).unwrap();
            let clock = double.clone();
            // What comes about by time alone is done when somebody looks.
            tokio::spawn(async move {
                loop {
                    clock.quiesce().await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            (double, server)
        });
        Self { double, server, machines, _runtime: runtime }
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Waits until no machine runs any more, for at most half a minute; names of those that do.
    #[must_use]
    pub fn still_running(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let running: Vec<String> =
                self.machines.running.lock().unwrap().values().map(|machine| machine.name.clone()).collect();
            if running.is_empty() || Instant::now() > deadline {
                return running;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.machines.clear();
    }
}

/// The network of the machines, out of reach for the machine of the test: packets that it sends there end here.
fn inside() {
    let bridge = "sealer-cloud";
    let name = format!("com.docker.network.bridge.name={bridge}");
    let create = ["network", "create", "--label", LABEL, "--opt", &name, "--subnet", INSIDE_SUBNET];
    docker(&[&create[..], &["--gateway", "172.16.15.253", INSIDE]].concat());
    ip(&["address", "flush", "dev", bridge]);
    ip(&["route", "replace", "unreachable", INSIDE_SUBNET]);
}

fn ip(arguments: &[&str]) {
    let outcome = finish(Command::new("ip").args(arguments));
    assert!(outcome.code == 0, "ip {arguments:?} failed: {}", outcome.stderr);
}

/// Machines by the id of their instance.
#[derive(Debug)]
struct Machines {
    image: String,
    running: Mutex<BTreeMap<String, Machine>>,
}

impl Machines {
    fn clear(&self) {
        std::mem::take(&mut *self.running.lock().unwrap()).values().for_each(Machine::remove);
        [INSIDE, OUTSIDE].into_iter().for_each(remove);
        let _ = finish(Command::new("ip").args(["route", "del", "unreachable", INSIDE_SUBNET]));
    }
}

#[async_trait]
impl InstanceHook for Machines {
    async fn started(&self, seed: &InstanceSeed) -> Result<Addresses, String> {
        let (seed, image) = (seed.clone(), self.image.clone());
        let boot = tokio::task::spawn_blocking(move || {
            let address = seed.private_ip.to_string();
            let machine = Machine::boot(&seed.host_name, &image, &["--network", INSIDE, "--ip", &address]);
            // As cloud-init does; nobody waits for sshd.
            machine.authorize("root", &seed.public_key.unwrap_or_default());
            (seed.id, machine)
        });
        let (id, machine) = boot.await.map_err(|error| error.to_string())?;
        self.running.lock().unwrap().insert(id, machine);
        Ok(Addresses::default())
    }

    async fn released(&self, id: &str) {
        let name = self.running.lock().unwrap().get(id).map(|machine| machine.name.clone());
        let Some(name) = name else { return };
        let removed = tokio::task::spawn_blocking(move || docker(&["rm", "-f", "-v", &name])).await;
        // One that cannot be removed is what the test finds.
        if removed.is_ok() {
            self.running.lock().unwrap().remove(id);
        }
    }

    async fn bound(&self, id: &str, eip: Ipv4Addr) {
        let name = self.running.lock().unwrap().get(id).map(|machine| machine.name.clone());
        let Some(name) = name else { return };
        let connect = move || docker(&["network", "connect", "--ip", &eip.to_string(), OUTSIDE, &name]);
        let _ = tokio::task::spawn_blocking(connect).await;
    }
}

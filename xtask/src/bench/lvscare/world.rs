//! The network of the measurement: clients, load balancers, servers.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::program::{program, run_quietly};

/// The port on which all servers listen.
const PORT: u16 = 6443;

/// A host with clients and a load balancer, and hosts with a server each: network namespaces around a bridge, which has
/// one of its own. Gone when dropped, and with the namespaces in which the measurement runs.
pub(super) struct World {
    prefix: String,
    servers: u8,
}

impl World {
    /// A host and so many servers' hosts.
    pub(super) fn new(servers: u8) -> Result<World> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let world = World { prefix: format!("bench-{}", NUMBER.fetch_add(1, Ordering::Relaxed)), servers };
        batch(None, &world.names().iter().map(|name| format!("netns add {name}\n")).collect::<String>())?;
        let mut wires = "link add bridge type bridge\nlink set bridge up\nlink set lo up\n".to_string();
        for place in 0..=servers {
            let name = world.name(place);
            wires += &format!("link add port{place} type veth peer name eth0 netns {name}\n");
            wires += &format!("link set port{place} master bridge up\n");
        }
        batch(Some(&world.bridge()), &wires)?;
        for place in 0..=servers {
            let address = address(place);
            let lines = format!("link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n");
            batch(Some(&world.name(place)), &lines)?;
        }
        within(&world.host(), || {
            let ports = "/proc/sys/net/ipv4/ip_local_port_range";
            fs::write(ports, "12000 60999").map_err(Error::file("write", ports.as_ref()))
        })??;
        Ok(world)
    }

    /// The namespace of the clients and the load balancer.
    pub(super) fn host(&self) -> String {
        self.name(0)
    }

    /// The namespace of a server, counted from 1.
    pub(super) fn server(&self, place: u8) -> String {
        self.name(place)
    }

    /// The places of all servers.
    pub(super) fn places(&self) -> impl Iterator<Item = u8> {
        1..=self.servers
    }

    /// The address of a server, counted from 1.
    pub(super) fn address(&self, place: u8) -> SocketAddr {
        SocketAddr::new(address(place).into(), PORT)
    }

    /// The address of the host.
    pub(super) fn host_address(&self) -> Ipv4Addr {
        address(0)
    }

    /// Pulls or plugs the cable of a server: nothing is refused, packets just vanish.
    pub(super) fn wire(&self, place: u8, whole: bool) -> Result<()> {
        let state = if whole { "up" } else { "down" };
        batch(Some(&self.bridge()), &format!("link set port{place} {state}\n"))
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.prefix)
    }

    fn name(&self, place: u8) -> String {
        format!("{}-{place}", self.prefix)
    }

    fn names(&self) -> Vec<String> {
        (0..=self.servers).map(|place| self.name(place)).chain([self.bridge()]).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What stays goes with the namespaces of the whole measurement.
        let _ = batch(None, &self.names().iter().map(|name| format!("netns delete {name}\n")).collect::<String>());
    }
}

/// Runs `act` on a thread of its own inside a network namespace.
pub(super) fn within<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            enter(namespace)?;
            Ok(act())
        });
        acting.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

/// Brings this thread into a network namespace.
pub(super) fn enter(namespace: &str) -> Result<()> {
    let path = std::path::PathBuf::from(format!("/run/netns/{namespace}"));
    let file = File::open(&path).map_err(Error::file("open", &path))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::file("enter", &path)(errno.into()))
}

/// Hands lines to one `ip -batch`, in a namespace or outside.
fn batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new().map_err(Error::file("create a file in", &std::env::temp_dir()))?;
    fs::write(file.path(), lines).map_err(Error::file("write", file.path()))?;
    let mut command = program("ip");
    command.args(namespace.map(|name| ["-n", name]).into_iter().flatten()).arg("-batch").arg(file.path());
    run_quietly(&mut command)
}

fn address(place: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + place)
}

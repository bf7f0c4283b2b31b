//! The hosts that take part, and how they are wired.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use super::program::batch;

/// A host that has clients and a guard, and hosts that have servers: network namespaces around one bridge, which has a
/// namespace of its own. Gone when dropped.
pub struct World {
    prefix: String,
    servers: u8,
}

/// The port on which all servers listen.
const PORT: u16 = 6443;

impl World {
    /// One host and so many servers.
    pub fn new(servers: u8) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("lvscare-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = Self { prefix, servers };
        let names = world.names();
        batch(None, &names.iter().map(|name| format!("netns add {name}\n")).collect::<String>());
        let mut wires = "link add bridge type bridge\nlink set bridge up\nlink set lo up\n".to_string();
        for place in 0..=servers {
            let name = world.namespace(place);
            wires += &format!("link add port{place} type veth peer name eth0 netns {name}\n");
            wires += &format!("link set port{place} master bridge up\n");
        }
        batch(Some(&world.bridge()), &wires);
        for place in 0..=servers {
            let (four, six) = (four(place), six(place));
            let lines = format!(
                "link set lo up\nlink set eth0 addrgenmode none\naddress add {four}/24 dev eth0\naddress add {six}/64 dev eth0 nodad\nlink set eth0 up\n"
            );
            batch(Some(&world.namespace(place)), &lines);
        }
        world
    }

    /// The namespace with the clients and the guard.
    pub fn host(&self) -> String {
        self.namespace(0)
    }

    /// The namespace of a server, counted from 1.
    pub fn server(&self, place: u8) -> String {
        assert!((1..=self.servers).contains(&place), "there are {} servers", self.servers);
        self.namespace(place)
    }

    /// The address of a server, counted from 1.
    pub fn address(&self, place: u8, six_wanted: bool) -> SocketAddr {
        let ip: IpAddr = if six_wanted { six(place).into() } else { four(place).into() };
        SocketAddr::new(ip, PORT)
    }

    /// Cuts or repairs the wire of a server, as if its cable was pulled: nothing is refused, packets just vanish.
    pub fn wire(&self, place: u8, whole: bool) {
        let state = if whole { "up" } else { "down" };
        batch(Some(&self.bridge()), &format!("link set port{place} {state}\n"));
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.prefix)
    }

    fn namespace(&self, place: u8) -> String {
        format!("{}-{place}", self.prefix)
    }

    fn names(&self) -> Vec<String> {
        (0..=self.servers).map(|place| self.namespace(place)).chain([self.bridge()]).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        batch(None, &self.names().iter().map(|name| format!("netns delete {name}\n")).collect::<String>());
    }
}

/// Runs `play` on a thread of its own inside a network namespace, within a runtime; what it panics with comes through.
pub fn within<T: Send>(namespace: &str, play: impl AsyncFnOnce() -> T + Send) -> T {
    let entered = || {
        let file = File::open(format!("/run/netns/{namespace}")).expect("open the namespace");
        setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("make a runtime");
        runtime.block_on(play())
    };
    std::thread::scope(|scope| {
        scope.spawn(entered).join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

fn four(place: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + place)
}

fn six(place: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x10 + u16::from(place))
}

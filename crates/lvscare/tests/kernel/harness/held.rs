//! Connections that stay open.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::ask;
use super::world::within;

/// Open connections through the virtual address.
pub struct Held {
    orders: Sender<()>,
    thread: JoinHandle<Vec<(String, bool)>>,
}

impl Held {
    /// Opens so many connections from this namespace, and asks once on each.
    pub fn open(namespace: &str, service: SocketAddr, count: usize) -> Self {
        let (orders, ordered) = channel::<()>();
        let (ready, opened) = channel();
        let namespace = namespace.to_owned();
        let thread = std::thread::spawn(move || {
            within(&namespace, async move || {
                let mut held = Vec::new();
                for _ in 0..count {
                    let mut stream = TcpStream::connect(service).await.expect("connect");
                    held.push((ask(&mut stream).await.expect("an answer"), stream));
                }
                ready.send(()).expect("tell that they are open");
                ordered.recv().expect("hear when to look again");
                let mut alive = Vec::new();
                for (name, mut stream) in held {
                    let again = timeout(Duration::from_secs(2), ask(&mut stream)).await;
                    alive.push((name.clone(), matches!(again, Ok(Ok(again)) if again == name)));
                }
                alive
            })
        });
        opened.recv().expect("open connections");
        Self { orders, thread }
    }

    /// Asks again on each: the name of its server, and whether that answered.
    pub fn look(self) -> Vec<(String, bool)> {
        self.orders.send(()).expect("tell to look");
        self.thread.join().expect("no panic among connections")
    }
}

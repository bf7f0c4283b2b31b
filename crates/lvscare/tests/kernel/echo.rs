//! Servers that answer connections to the virtual address.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::harness::{World, clock, within};

/// Servers that send their number to everyone who connects and keep the connection open. Gone when dropped.
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// On the servers 1 to `last`, in both address families.
    pub fn start(world: &World, last: u8) -> Self {
        Self::on(world, 1..=last)
    }

    /// On these servers.
    pub fn on(world: &World, places: RangeInclusive<u8>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for place in places.clone() {
            let (namespace, stop) = (world.server(place), Arc::clone(&stop));
            threads.push(std::thread::spawn(move || {
                within(&namespace, async move || serve(place, &stop).await);
            }));
        }
        let echo = Self { stop, threads };
        for place in places {
            for six in [false, true] {
                let listens = || call(&world.host(), world.address(place, six)).is_ok();
                let start = Instant::now();
                while !listens() {
                    assert!(start.elapsed() < Duration::from_secs(10), "server {place} listens");
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        echo
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

async fn serve(place: u8, stop: &AtomicBool) {
    let listener = TcpListener::bind("[::]:6443").await.expect("listen in both families");
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await {
            let _ = stream.write_all(&[place]).await;
            kept.push(stream);
        }
    }
}

/// Connects from a namespace: the connection, and the number of the server that answered.
pub fn call(namespace: &str, service: SocketAddr) -> std::io::Result<(TcpStream, u8)> {
    within(namespace, async || {
        let mut stream = TcpStream::connect_timeout(&service, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut number = [0];
        stream.read_exact(&mut number)?;
        Ok((stream, number[0]))
    })
}

/// How long a reader of this connection waits until it hears that the connection is dead.
pub fn silence(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    match stream.read(&mut [0]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Duration::MAX,
        _ => clock::since(start),
    }
}

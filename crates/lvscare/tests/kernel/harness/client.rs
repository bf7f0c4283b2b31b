//! Clients of the virtual address, and what they notice.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::clock;
use super::world::within;

/// Longer than any outage that is to be seen.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it began.
    pub start: Instant,
    /// How long it took to its answer or failure.
    pub took: Duration,
    /// The name of the server that answered, or why none did.
    pub outcome: std::result::Result<String, String>,
}

/// A client that begins a request, on a connection of its own, in a steady rhythm, whatever becomes of those before.
pub struct Client {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Call>>>,
}

/// What a client noticed.
#[derive(Debug)]
pub struct Calls(pub Vec<Call>);

impl Client {
    /// Begins to call from this namespace.
    pub fn start(namespace: &str, service: SocketAddr, rhythm: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (namespace, stopped) = (namespace.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            within(&namespace, async move || {
                let mut calls = JoinSet::new();
                let mut beat = tokio::time::interval(rhythm);
                while !stopped.load(Ordering::Relaxed) {
                    beat.tick().await;
                    calls.spawn(call(service));
                }
                calls.join_all().await
            })
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the rhythm, and waits for the last answers.
    pub fn stop(mut self) -> Calls {
        self.stop.store(true, Ordering::Relaxed);
        let mut calls = self.thread.take().expect("it runs").join().expect("no panic among clients");
        calls.sort_by_key(|call| call.start);
        Calls(calls)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Calls {
    /// The calls that failed.
    pub fn failed(&self) -> Vec<&Call> {
        self.0.iter().filter(|call| call.outcome.is_err()).collect()
    }

    /// Whether there was a moment at which every call that failed was on its way: what one change of the rules may
    /// cost, however slow the machine is.
    pub fn failed_together(&self) -> bool {
        let failed = self.failed();
        let last_start = failed.iter().map(|call| call.start).max();
        let first_end = failed.iter().map(|call| call.start + call.took).min();
        last_start.zip(first_end).is_none_or(|(start, end)| start <= end)
    }

    /// How long after `fault` the last call began that failed; zero when none did.
    pub fn trouble_after(&self, fault: Instant) -> Duration {
        let last = self.failed().iter().map(|call| call.start).max();
        last.map_or(Duration::ZERO, |last| clock::between(fault, last))
    }

    /// How long a caller had to wait at most for an answer or a failure.
    pub fn longest(&self) -> Duration {
        self.0.iter().map(|call| clock::between(call.start, call.start + call.took)).max().unwrap_or_default()
    }

    /// How long no call was answered at most.
    pub fn silence(&self) -> Duration {
        let mut answers: Vec<Instant> =
            self.0.iter().filter(|call| call.outcome.is_ok()).map(|call| call.start + call.took).collect();
        answers.sort();
        answers.windows(2).map(|two| clock::between(two[0], two[1])).max().unwrap_or(Duration::MAX)
    }

    /// Which servers answered.
    pub fn servers(&self) -> std::collections::BTreeSet<String> {
        self.0.iter().filter_map(|call| call.outcome.clone().ok()).collect()
    }

    /// In a line.
    pub fn summary(&self, fault: Instant) -> String {
        let (all, failed) = (self.0.len(), self.failed().len());
        let [trouble, silence, longest] =
            [self.trouble_after(fault), self.silence(), self.longest()].map(|time| time.as_millis());
        format!(
            "{all} calls, {failed} failed until {trouble} ms after the fault; no answer for {silence} ms, the slowest took {longest} ms"
        )
    }
}

async fn call(service: SocketAddr) -> Call {
    let start = Instant::now();
    let outcome = match tokio::time::timeout(TIMEOUT, TcpStream::connect(service)).await {
        Ok(Ok(mut stream)) => match tokio::time::timeout(TIMEOUT, ask(&mut stream)).await {
            Ok(answer) => answer.map_err(|error| format!("asking: {error}")),
            Err(_) => Err(format!("no answer on {:?}", stream.local_addr())),
        },
        Ok(Err(error)) => Err(format!("connecting: {error}")),
        Err(_) => Err("no connection".to_owned()),
    };
    Call { start, took: start.elapsed(), outcome }
}

/// One request on an open connection: the name of the server.
pub async fn ask(stream: &mut TcpStream) -> Result<String> {
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: service\r\n\r\n").await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
        if length != Some(body.len()) {
            continue;
        }
        return match head.strip_prefix("HTTP/1.1 200 ") {
            Some(_) => Ok(body.to_owned()),
            None => Err(Error::other(head.lines().next().unwrap_or_default().to_owned())),
        };
    }
}

/// Connects from a port of one's choice.
pub async fn connect_from(port: u16, to: SocketAddr) -> Result<TcpStream> {
    let socket = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    let any = if to.is_ipv6() { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { IpAddr::from(Ipv4Addr::UNSPECIFIED) };
    socket.bind(SocketAddr::new(any, port))?;
    socket.connect(to).await
}

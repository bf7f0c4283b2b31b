//! The clients of a virtual address, and what they notice while a server fails.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{interval, sleep_until, timeout};

use super::world::enter;
use crate::error::{Error, Result};

/// A request in the rhythm has failed when it has no answer after this time.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Those that go on only with an answer wait for so long: longer than anything is looked at.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that stay open: two for each of three servers.
const KEPT: usize = 6;
const KEPT_RHYTHM: Duration = Duration::from_millis(20);

/// Clients that call at the same time: one in a steady rhythm whatever becomes of its requests, one request after the
/// other, and some on connections that they keep.
pub(super) struct Clients {
    log: Arc<Mutex<Log>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<()>>,
}

/// What was noticed since the fault.
#[derive(Debug, Clone)]
pub(super) struct Log {
    fault: Option<Instant>,
    /// Requests in the rhythm that failed.
    pub(super) failed: u64,
    /// When the last one of them began.
    last_failed: Option<Instant>,
    sequential: Lane,
    kept: Vec<Lane>,
}

/// A client that goes on only with an answer.
#[derive(Debug, Clone, Copy)]
struct Lane {
    answered: Instant,
    longest: Duration,
}

impl Clients {
    /// Begins to call from a namespace.
    pub(super) fn start(namespace: &str, service: SocketAddr, rhythm: Duration) -> Clients {
        let log = Arc::new(Mutex::new(Log::new()));
        let (stop, stopped) = watch::channel(false);
        let (namespace, written) = (namespace.to_owned(), Arc::clone(&log));
        let thread = std::thread::spawn(move || {
            enter(&namespace)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|source| Error::Start { program: "clients".into(), source })?;
            runtime.block_on(call_until(stopped, service, rhythm, &written));
            Ok(())
        });
        Clients { log, stop, thread }
    }

    /// From now on it counts.
    pub(super) fn fault(&self) -> Instant {
        let now = Instant::now();
        let mut log = lock(&self.log);
        *log = Log { fault: Some(now), ..Log::new() };
        now
    }

    /// What was noticed so far.
    pub(super) fn log(&self) -> Log {
        lock(&self.log).clone()
    }

    /// Ends all calls.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        self.thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    }
}

impl Log {
    fn new() -> Log {
        let lane = Lane { answered: Instant::now(), longest: Duration::ZERO };
        Log { fault: None, failed: 0, last_failed: None, sequential: lane, kept: vec![lane; KEPT] }
    }

    /// How long after the fault the last request began that failed.
    pub(super) fn until(&self) -> Duration {
        let after = |last: Instant| Some(last.saturating_duration_since(self.fault?));
        self.last_failed.and_then(after).unwrap_or_default()
    }

    /// How long the client that asks one after the other had no answer.
    pub(super) fn gap(&self) -> Duration {
        self.sequential.gap()
    }

    /// The same for the worst of the kept connections.
    pub(super) fn kept_gap(&self) -> Duration {
        self.kept.iter().map(Lane::gap).max().unwrap_or_default()
    }

    /// Whether all has been well for so long.
    pub(super) fn is_calm(&self, time: Duration) -> bool {
        let lanes = self.kept.iter().chain([&self.sequential]);
        let since = self.last_failed.or(self.fault);
        since.is_some_and(|since| since.elapsed() > time)
            && lanes.into_iter().all(|lane| lane.answered.elapsed() < time / 2)
    }

    fn failed(&mut self, begun: Instant) {
        if self.fault.is_some_and(|fault| begun + ANSWER_WITHIN > fault) {
            self.failed += 1;
            self.last_failed = self.last_failed.max(Some(begun));
        }
    }
}

impl Lane {
    fn answered(&mut self) {
        self.longest = self.gap();
        self.answered = Instant::now();
    }

    fn gap(&self) -> Duration {
        self.longest.max(self.answered.elapsed())
    }
}

/// One request on a new connection, within this time: the server's answer.
pub(super) async fn ask_afresh(service: SocketAddr, time: Duration) -> Option<String> {
    let asking = async {
        let mut stream = TcpStream::connect(service).await.ok()?;
        stream.set_nodelay(true).ok()?;
        ask(&mut stream).await
    };
    timeout(time, asking).await.ok().flatten()
}

async fn call_until(mut stopped: watch::Receiver<bool>, service: SocketAddr, rhythm: Duration, log: &Arc<Mutex<Log>>) {
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(one_after_the_other(service, rhythm, Arc::clone(log)));
    for place in 0..KEPT {
        calls.spawn(on_a_kept_connection(service, place, Arc::clone(log)));
    }
    let mut beat = interval(rhythm);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = beat.tick() => drop(calls.spawn(in_the_rhythm(service, Arc::clone(log)))),
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn in_the_rhythm(service: SocketAddr, log: Arc<Mutex<Log>>) {
    let begun = Instant::now();
    if ask_afresh(service, ANSWER_WITHIN).await.is_none() {
        lock(&log).failed(begun);
    }
}

async fn one_after_the_other(service: SocketAddr, rhythm: Duration, log: Arc<Mutex<Log>>) {
    loop {
        let next = tokio::time::Instant::now() + rhythm;
        if ask_afresh(service, TIMEOUT).await.is_some() {
            lock(&log).sequential.answered();
        }
        sleep_until(next).await;
    }
}

async fn on_a_kept_connection(service: SocketAddr, place: usize, log: Arc<Mutex<Log>>) {
    let mut kept: Option<TcpStream> = None;
    loop {
        let next = tokio::time::Instant::now() + KEPT_RHYTHM;
        let asking = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => TcpStream::connect(service).await.ok()?,
            };
            ask(&mut stream).await.map(|_| stream)
        };
        kept = timeout(TIMEOUT, asking).await.ok().flatten();
        if kept.is_some() {
            lock(&log).kept[place].answered();
            sleep_until(next).await;
        } else {
            // A client that calls again at once, but not without end.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// One request on an open connection: the server's answer, when it is a good one.
async fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: service\r\n\r\n").await.ok()?;
    let mut answer = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
        if let Some(body) = body(&answer) {
            return answer.starts_with(b"HTTP/1.1 200 ").then_some(body);
        }
    }
}

/// The body, once all of it is there.
pub(super) fn body(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())?;
    (body.len() == length).then(|| body.to_owned())
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_there_when_it_is_complete() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ns").as_deref(), None);
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ns1").as_deref(), Some("s1"));
    }

    #[test]
    fn only_what_fails_after_the_fault_counts() {
        let mut log = Log::new();
        log.failed(Instant::now());
        assert_eq!(log.failed, 0);
        log.fault = Some(Instant::now());
        log.failed(Instant::now());
        assert_eq!(log.failed, 1);
        assert!(!log.is_calm(Duration::from_secs(60)) && log.until() < Duration::from_secs(60));
    }
}

//! Follows a started command to its end: its input, its output, its time limit.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::io::StreamReader;

use super::launch::{Launch, Privilege};
use super::{Command, Output, Session};
use crate::Error;

/// Bytes of standard output that [`Output`] keeps.
const STDOUT_LIMIT: usize = 4 << 20;
/// Bytes of standard error that [`Output`] keeps.
const STDERR_LIMIT: usize = 1 << 20;
/// Bytes of standard error that a session's end keeps.
const SESSION_STDERR_LIMIT: usize = 64 << 10;
/// How long output may pause after the end of a command whose children hold its output open.
const LINGER: Duration = Duration::from_secs(5);
/// The same for a stream, where cutting off too early would look like its end.
const STREAM_LINGER: Duration = Duration::from_secs(10);
/// How long output may come after the end of a command at all.
const LINGER_LIMIT: Duration = Duration::from_secs(60);
/// What is said of a command of which we do not know how it ended.
const NO_END: &str = "the command's end was not told";
/// The host ends a command when its time is up; this much later we stop waiting for the news.
const GRACE: Duration = Duration::from_secs(15);

/// Starts a line of shell on a host; all else is built on it.
#[async_trait]
pub(super) trait Transport: Send + Sync {
    /// The host's address.
    fn address(&self) -> IpAddr;

    /// Starts `line` by the login shell.
    async fn start(&self, line: &str) -> Result<Box<dyn Running>, Error>;
}

/// A started command.
#[async_trait]
pub(super) trait Running: Send + Sync {
    /// Its standard input, once; dropping it is the end of the input.
    fn stdin(&mut self) -> Box<dyn AsyncWrite + Send + Unpin>;

    /// The next thing that happens; can be dropped and asked again.
    async fn next(&mut self) -> Chunk;

    /// Ends the command's processes as far as that is possible from here.
    async fn kill(&mut self);
}

/// What a started command says.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(String),
    /// Nothing more will come.
    End,
    /// The way to it is lost.
    Lost(String),
}

/// Runs a command to its end, keeping the last `stdout_limit` bytes of output.
pub(super) async fn run(
    transport: &dyn Transport,
    privilege: &Privilege,
    command: &Command,
    stdout_limit: Option<usize>,
) -> Result<Output, Error> {
    let launch = Launch::of(transport.address(), command, privilege, command.stdin.is_some())?;
    run_launch(transport, &launch, command, stdout_limit.unwrap_or(STDOUT_LIMIT)).await
}

/// Runs a launch to its end.
pub(super) async fn run_launch(
    transport: &dyn Transport,
    launch: &Launch,
    command: &Command,
    stdout_limit: usize,
) -> Result<Output, Error> {
    let mut running = transport.start(&launch.line).await?;
    let mut stdin = running.stdin();
    let data = command.stdin.as_deref().unwrap_or_default();
    let feed = async move {
        // A command may well end without reading its input: that is no failure of its.
        let _ = feed(&mut stdin, &[&launch.preamble, data]).await;
    };
    finish(transport.address(), running.as_mut(), command, stdout_limit, feed).await
}

/// Feeds and collects until the command has ended or its time is up.
pub(super) async fn finish(
    host: IpAddr,
    running: &mut dyn Running,
    command: &Command,
    stdout_limit: usize,
    feed: impl Future<Output = ()>,
) -> Result<Output, Error> {
    let started = Instant::now();
    let ended = {
        let collect = collect(host, running, stdout_limit);
        let both = async {
            tokio::pin!(collect, feed);
            let mut fed = false;
            loop {
                tokio::select! {
                    ended = &mut collect => break ended,
                    () = &mut feed, if !fed => fed = true,
                }
            }
        };
        match command.timeout {
            Some(limit) => timeout(limit + GRACE, both).await.ok(),
            None => Some(both.await),
        }
    };
    let Some(ended) = ended else {
        running.kill().await;
        return Err(timed_out(host, command, &[]));
    };
    in_time(host, command, started, ended?)
}

/// Starts a command and hands out its standard input and output.
pub(super) async fn stream(
    transport: &dyn Transport,
    privilege: &Privilege,
    command: &Command,
) -> Result<Session, Error> {
    let host = transport.address();
    let launch = Launch::of(host, command, privilege, true)?;
    let mut running = transport.start(&launch.line).await?;
    let mut stdin = running.stdin();
    let first = feed_open(&mut stdin, &[&launch.preamble, command.stdin.as_deref().unwrap_or_default()]).await;
    first.map_err(|error| Error::ConnectionLost { host: host.into(), detail: error.to_string() })?;
    let (sender, reader) = backlog();
    let end = tokio::spawn(pump(host, running, command.clone(), sender));
    Ok(Session::new(tokio::io::join(reader, stdin), end))
}

/// Moves output to the reader until the command has ended.
async fn pump(host: IpAddr, mut running: Box<dyn Running>, command: Command, sender: Backlog) -> Result<Output, Error> {
    let started = Instant::now();
    let mut stderr = Tail::new(SESSION_STDERR_LIMIT);
    let mut output = Output::default();
    let mut ended = None;
    let moving = async {
        loop {
            let chunk = match ended {
                None => running.next().await,
                Some(_) => timeout(STREAM_LINGER, running.next()).await.unwrap_or(Chunk::End),
            };
            match chunk {
                Chunk::Stdout(bytes) => {
                    if !sender.send(bytes).await {
                        break Err(format!("its output was not read for {} s", STALL.as_secs()));
                    }
                }
                Chunk::Stderr(bytes) => stderr.push(&bytes),
                Chunk::Exit(code) => (output.code, ended) = (Some(code), Some(Instant::now())),
                Chunk::Signal(name) => (output.signal, ended) = (Some(name), Some(Instant::now())),
                Chunk::End | Chunk::Lost(_) if ended.is_some() => break Ok(()),
                Chunk::End => break Err(NO_END.to_owned()),
                Chunk::Lost(detail) => break Err(detail),
            }
        }
    };
    let moved = match command.timeout {
        Some(limit) => timeout(limit + GRACE, moving).await.ok(),
        None => Some(moving.await),
    };
    output.stderr = stderr.into_bytes();
    match moved {
        None => {
            running.kill().await;
            Err(timed_out(host, &command, &output.stderr))
        }
        Some(Err(detail)) => {
            let broken = format!("connection to {host} lost: {detail}");
            sender.fail(io::Error::new(io::ErrorKind::ConnectionReset, broken));
            Err(Error::ConnectionLost { host: host.into(), detail })
        }
        Some(Ok(())) => in_time(host, &command, started, output),
    }
}

/// Output on its way to the reader of a stream. As long as it is not too much, a reader that is slow does not hold up
/// the connection, on which other commands may be under way.
struct Backlog {
    sender: mpsc::UnboundedSender<io::Result<Bytes>>,
    room: Arc<Semaphore>,
}

/// Bytes that a stream's reader may be behind.
const BACKLOG: usize = 32 << 20;
/// A reader this far behind that reads nothing for so long will never read: the connection is freed of it.
const STALL: Duration = Duration::from_secs(120);

fn backlog() -> (Backlog, impl AsyncRead + Send + Unpin) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<io::Result<Bytes>>();
    let room = Arc::new(Semaphore::new(BACKLOG));
    let freed = room.clone();
    let reader = StreamReader::new(poll_fn(move |context| {
        let chunk = std::task::ready!(receiver.poll_recv(context));
        if let Some(Ok(bytes)) = &chunk {
            freed.add_permits(bytes.len());
        }
        Poll::Ready(chunk)
    }));
    (Backlog { sender, room }, reader)
}

impl Backlog {
    /// Passes on bytes as soon as there is room; `false` when the reader does not read at all. A reader that is gone
    /// wants no more, and holds nothing up.
    async fn send(&self, bytes: Bytes) -> bool {
        let needed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = timeout(STALL, self.room.acquire_many(needed));
        tokio::select! {
            biased;
            () = self.sender.closed() => true,
            room = room => match room {
                Ok(Ok(room)) => {
                    room.forget();
                    let _ = self.sender.send(Ok(bytes));
                    true
                }
                Ok(Err(_)) | Err(_) => false,
            },
        }
    }

    fn fail(&self, error: io::Error) {
        let _ = self.sender.send(Err(error));
    }
}

/// Takes in all output until the end.
async fn collect(host: IpAddr, running: &mut dyn Running, stdout_limit: usize) -> Result<Output, Error> {
    let mut stdout = Tail::new(stdout_limit);
    let mut stderr = Tail::new(STDERR_LIMIT);
    let mut output = Output::default();
    let mut ended = None;
    loop {
        match next(running, ended).await {
            Chunk::Stdout(bytes) => stdout.push(&bytes),
            Chunk::Stderr(bytes) => stderr.push(&bytes),
            Chunk::Exit(code) => (output.code, ended) = (Some(code), Some(Instant::now())),
            Chunk::Signal(name) => (output.signal, ended) = (Some(name), Some(Instant::now())),
            Chunk::End | Chunk::Lost(_) if ended.is_some() => break,
            Chunk::End => {
                return Err(Error::ConnectionLost { host: host.into(), detail: NO_END.to_owned() });
            }
            Chunk::Lost(detail) => return Err(Error::ConnectionLost { host: host.into(), detail }),
        }
    }
    output.stdout = stdout.into_bytes();
    output.stderr = stderr.into_bytes();
    Ok(output)
}

/// What comes next; a command that ended is not waited for long, its children may hold its output open.
async fn next(running: &mut dyn Running, ended: Option<Instant>) -> Chunk {
    match ended {
        None => running.next().await,
        Some(ended) if ended.elapsed() > LINGER_LIMIT => Chunk::End,
        Some(_) => timeout(LINGER, running.next()).await.unwrap_or(Chunk::End),
    }
}

/// Writes all parts and ends the input.
async fn feed(stdin: &mut (dyn AsyncWrite + Send + Unpin), parts: &[&[u8]]) -> io::Result<()> {
    feed_open(stdin, parts).await?;
    stdin.shutdown().await
}

async fn feed_open(stdin: &mut (dyn AsyncWrite + Send + Unpin), parts: &[&[u8]]) -> io::Result<()> {
    for part in parts.iter().filter(|part| !part.is_empty()) {
        stdin.write_all(part).await?;
    }
    stdin.flush().await
}

/// `timeout` on the host ends with 124, or 137 when it had to kill.
fn in_time(host: IpAddr, command: &Command, started: Instant, output: Output) -> Result<Output, Error> {
    match command.timeout {
        Some(limit) if matches!(output.code, Some(124 | 137)) && started.elapsed() >= limit => {
            Err(timed_out(host, command, &output.stderr))
        }
        _ => Ok(output),
    }
}

fn timed_out(host: IpAddr, command: &Command, stderr: &[u8]) -> Error {
    let detail = crate::text::last_lines(stderr, 5);
    Error::TimedOut { host, seconds: command.timeout.unwrap_or_default().as_secs(), detail }
}

/// The last bytes of something that may be long.
pub(super) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let more = &more[more.len().saturating_sub(self.limit)..];
        if self.bytes.len() + more.len() > self.limit.saturating_mul(2) {
            self.cut(self.limit.saturating_sub(more.len()));
        }
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.cut(self.limit);
        self.bytes
    }

    fn cut(&mut self, keep: usize) {
        self.bytes.drain(..self.bytes.len().saturating_sub(keep));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_bytes_and_stays_small() {
        let mut tail = Tail::new(10);
        for byte in 0..100u8 {
            tail.push(&[byte, byte]);
            assert!(tail.bytes.len() <= 20);
        }
        assert_eq!(tail.into_bytes(), [95, 95, 96, 96, 97, 97, 98, 98, 99, 99]);
        let mut tail = Tail::new(4);
        tail.push(b"0123456789");
        assert_eq!(tail.into_bytes(), b"6789");
    }
}

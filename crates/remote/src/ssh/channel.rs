//! Shares one connection among many commands, and makes a new one after it broke.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::AsyncWrite;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connect::Connection;
use super::route::Route;
use crate::Error;
use crate::process::{Chunk, Running, Transport};

/// Commands at once on a connection; servers allow ten by default.
const CHANNELS: usize = 8;
/// How long a server that allows fewer is asked again.
const CROWDED: Duration = Duration::from_secs(60);

/// A connection that is made anew when it broke between commands.
#[derive(Debug)]
pub(super) struct SshTransport {
    route: Arc<Route>,
    link: Mutex<Arc<Connection>>,
    places: Arc<Semaphore>,
}

impl SshTransport {
    pub(super) async fn open(route: Arc<Route>) -> Result<Self, Error> {
        let link = route.connect().await?;
        Ok(Self { route, link: Mutex::new(Arc::new(link)), places: Arc::new(Semaphore::new(CHANNELS)) })
    }

    /// Whether the host may be given passwords.
    pub(super) async fn is_trusted(&self) -> bool {
        self.link.lock().await.trusted
    }

    /// A connection other than the broken one; whoever comes first makes it.
    async fn renewed(&self, broken: &Arc<Connection>) -> Result<Arc<Connection>, Error> {
        let mut link = self.link.lock().await;
        if Arc::ptr_eq(&link, broken) {
            *link = Arc::new(self.route.reconnect(link.trusted).await?);
        }
        Ok(link.clone())
    }

    async fn channel(&self, link: &Connection) -> Result<russh::Channel<Msg>, Opening> {
        let started = Instant::now();
        let target = &self.route.target;
        loop {
            let alone = self.places.available_permits() == CHANNELS - 1;
            // Beside a busy stream on a slow line an answer may take long; a dead line is noticed by its keepalives.
            let limit = if alone { target.timeout } else { target.timeout + target.keepalive * 4 };
            match timeout(limit, link.handle.channel_open_session()).await {
                Ok(Ok(channel)) => return Ok(channel),
                // Too many at once for this server: wait for one of ours to end.
                Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                    if alone || started.elapsed() > CROWDED {
                        return Err(Opening::Refused(reason.description().to_owned()));
                    }
                    sleep(Duration::from_millis(100)).await;
                }
                Ok(Err(error)) => {
                    return Err(Opening::Broken(link.end().unwrap_or_else(|| error.to_string().to_lowercase())));
                }
                Err(_) => return Err(Opening::Broken("no answer".to_owned())),
            }
        }
    }
}

enum Opening {
    Refused(String),
    Broken(String),
}

#[async_trait]
impl Transport for SshTransport {
    fn address(&self) -> IpAddr {
        self.route.address
    }

    async fn start(&self, line: &str) -> Result<Box<dyn Running>, Error> {
        let host = self.route.address;
        let lost = |detail| Error::ConnectionLost { host: host.into(), detail };
        let place = self.places.clone().acquire_owned().await.map_err(|error| lost(error.to_string()))?;
        let mut link = self.link.lock().await.clone();
        let mut renewed = false;
        let channel = loop {
            match self.channel(&link).await {
                Ok(channel) => break channel,
                Err(Opening::Refused(detail)) => {
                    return Err(Error::ChannelRefused { host, detail });
                }
                Err(Opening::Broken(detail)) if renewed => return Err(lost(detail)),
                Err(Opening::Broken(_)) => {
                    link = self.renewed(&link).await?;
                    renewed = true;
                }
            }
        };
        channel.exec(true, line).await.map_err(|error| lost(error.to_string()))?;
        let (read, write) = channel.split();
        let write = Arc::new(write);
        Ok(Box::new(SshProcess {
            read,
            write,
            link,
            input: Arc::default(),
            ended: false,
            closed: false,
            _place: place,
        }))
    }
}

/// A command on a channel.
struct SshProcess {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    link: Arc<Connection>,
    input: Arc<Input>,
    ended: bool,
    closed: bool,
    _place: OwnedSemaphorePermit,
}

/// What the command and its standard input know of each other.
#[derive(Default)]
struct Input {
    /// The command ended: nobody reads its input any more.
    unread: CancellationToken,
    /// The writer said that this was all.
    finished: AtomicBool,
}

#[async_trait]
impl Running for SshProcess {
    fn stdin(&mut self) -> Box<dyn AsyncWrite + Send + Unpin> {
        Box::new(Stdin {
            writer: Box::new(self.write.make_writer()),
            channel: self.write.clone(),
            unread: Box::pin(self.input.unread.clone().cancelled_owned()),
            input: self.input.clone(),
        })
    }

    async fn next(&mut self) -> Chunk {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => return Chunk::Stdout(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => return Chunk::Stderr(data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.ended = true;
                    self.input.unread.cancel();
                    return Chunk::Exit(i32::try_from(exit_status).unwrap_or(i32::MAX));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.ended = true;
                    self.input.unread.cancel();
                    return Chunk::Signal(signal_name_of(&signal_name));
                }
                Some(ChannelMsg::Failure) => {
                    return Chunk::Lost("the host refuses to run commands".to_owned());
                }
                Some(_) => {}
                None => {
                    self.closed = true;
                    self.input.unread.cancel();
                    return self.link.end().map_or(Chunk::End, Chunk::Lost);
                }
            }
        }
    }

    async fn kill(&mut self) {
        self.abandon(Sig::KILL);
    }
}

impl SshProcess {
    /// Ends the command if it runs, and the channel if it is open. Does not wait: the connection may at this moment
    /// wait for this very channel to be read.
    fn abandon(&mut self, signal: Sig) {
        self.input.unread.cancel();
        let (running, open) = (!self.ended && !self.closed, !self.closed);
        self.closed = true;
        if let (true, Ok(runtime)) = (open, tokio::runtime::Handle::try_current()) {
            let write = self.write.clone();
            drop(runtime.spawn(async move {
                if running {
                    let _ = write.signal(signal).await;
                }
                let _ = write.close().await;
            }));
        }
    }
}

impl Drop for SshProcess {
    /// Whoever stops listening to a command wants it to end.
    fn drop(&mut self) {
        self.abandon(Sig::TERM);
    }
}

fn signal_name_of(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => crate::text::printable(name),
        known => format!("{known:?}"),
    }
}

/// Standard input that ends when dropped, and that fails when the command is gone instead of waiting for ever.
struct Stdin {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    channel: Arc<ChannelWriteHalf<Msg>>,
    unread: Pin<Box<WaitForCancellationFutureOwned>>,
    input: Arc<Input>,
}

impl Stdin {
    fn poll_gone(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        match self.unread.as_mut().poll(context) {
            Poll::Ready(()) => Err(std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the command ended")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_gone(context)?;
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_gone(context)?;
        let ended = std::task::ready!(Pin::new(&mut self.writer).poll_shutdown(context));
        self.input.finished.store(true, Ordering::Release);
        Poll::Ready(ended)
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        let over = self.input.finished.load(Ordering::Acquire) || self.input.unread.is_cancelled();
        if let (false, Ok(runtime)) = (over, tokio::runtime::Handle::try_current()) {
            let channel = self.channel.clone();
            drop(runtime.spawn(async move { channel.eof().await }));
        }
    }
}

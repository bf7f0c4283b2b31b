//! How do request and answer travel over one connection, plain or TLS?

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConnection;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::response::Response;
use super::tls::{self, TlsClient};
use super::{Unhealthy, UnhealthyKind, failure, port};

/// What is read at once.
const CHUNK: usize = 4096;

/// The most that is read from a TLS connection for one answer, handshake and framing included.
const MAX_TLS: usize = 512 * 1024;

/// The most that a server may say without being asked before its connection is of no use.
const MAX_UNASKED: usize = 64 * 1024;

/// An open connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Arc<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    made: Instant,
    /// Bytes of TLS that came since the last request.
    received: usize,
    /// Bytes that came while nothing was asked.
    unasked: usize,
    response: Response,
}

/// What an idle connection is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// Nothing happened.
    Quiet,
    /// The server closed it or broke it.
    Ended,
    /// The server says things nobody asked for.
    Noisy,
}

impl Connection {
    /// Connects; TLS begins with the first exchange.
    pub(super) async fn open(server: SocketAddr, tls: Option<&TlsClient>) -> Result<Self, Unhealthy> {
        let socket = port::connect(server).await.map_err(|error| failure::connecting(&error))?;
        // With a port of the range that the kernel gives out, a connection on one host can meet itself.
        if socket.local_addr().is_ok_and(|local| local == server) {
            return Err(Unhealthy { kind: UnhealthyKind::Refused, reason: "refuses connections".to_owned() });
        }
        // Best effort: it saves nothing but time.
        let _ = socket.set_nodelay(true);
        let tls = tls.map(|tls| tls.connection(server.ip())).transpose()?;
        let response = Response::new();
        Ok(Self { socket: Arc::new(socket), tls, made: Instant::now(), received: 0, unasked: 0, response })
    }

    /// The socket, to await its being readable beside exchanges.
    pub(super) fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// When it was made.
    pub(super) fn made(&self) -> Instant {
        self.made
    }

    /// The last answer.
    pub(super) fn response(&self) -> &Response {
        &self.response
    }

    /// Sends `request` and reads the whole answer, which [`Self::response`] then has. After an error or when dropped
    /// on the way the connection must not be used again.
    pub(super) async fn exchange(&mut self, request: &[u8], head_only: bool, keep_body: bool) -> Result<(), Unhealthy> {
        self.response.expect(head_only, keep_body);
        let mut unsent = request;
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(request).map_err(|error| failure::talking(&error))?;
            unsent = &[];
        }
        self.received = 0;
        loop {
            self.send(&mut unsent)?;
            let complete = self.receive()?;
            // In a handshake, what was read has to be answered.
            let sending = !unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            if complete {
                if sending {
                    self.response.spoil();
                }
                return Ok(());
            }
            let interest = if sending { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.socket.ready(interest).await.map_err(|error| failure::talking(&error))?;
        }
    }

    /// Looks, without waiting, what an idle connection has to say.
    pub(super) fn idle(&mut self) -> Idle {
        let mut bytes = [0; CHUNK];
        loop {
            match self.read(&mut bytes) {
                Ok(Read::Nothing) => return Idle::Quiet,
                Ok(Read::Ended) | Err(_) => return Idle::Ended,
                Ok(Read::Data(count)) => self.unasked += count,
            }
            if self.unasked > MAX_UNASKED {
                return Idle::Noisy;
            }
        }
    }

    /// Whether the next answer can be told from what the server said while nothing was asked.
    pub(super) fn is_clean(&self) -> bool {
        self.unasked == 0
    }

    /// Sends what can be sent without waiting.
    fn send(&mut self, unsent: &mut &[u8]) -> Result<(), Unhealthy> {
        let Some(tls) = &mut self.tls else {
            while !unsent.is_empty() {
                match self.socket.try_write(unsent) {
                    Ok(count) => *unsent = &unsent[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(failure::talking(&error)),
                }
            }
            return Ok(());
        };
        write_tls(tls, &self.socket).map_err(|error| failure::talking(&error))
    }

    /// Takes in what is there of the answer, without waiting; true when it is complete.
    fn receive(&mut self) -> Result<bool, Unhealthy> {
        let mut bytes = [0; CHUNK];
        loop {
            match self.read(&mut bytes)? {
                Read::Nothing => return Ok(false),
                Read::Ended => return self.ended().map(|()| true),
                Read::Data(count) => {
                    if self.response.feed(&bytes[..count]).map_err(failure::answer)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Reads what is there, without waiting.
    fn read(&mut self, bytes: &mut [u8]) -> Result<Read, Unhealthy> {
        let Some(tls) = &mut self.tls else {
            return match self.socket.try_read(bytes) {
                Ok(0) => Ok(Read::Ended),
                Ok(count) => Ok(Read::Data(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Read::Nothing),
                Err(error) => Err(failure::talking(&error)),
            };
        };
        loop {
            match tls.reader().read(bytes) {
                Ok(0) => return Ok(Read::Ended),
                Ok(count) => return Ok(Read::Data(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The socket was closed, and TLS was not: what that means depends on what was answered before.
                Err(_) => return Ok(Read::Ended),
            }
            match tls.read_tls(&mut Wire(&self.socket)) {
                Ok(count) => self.received += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Nothing),
                Err(error) => return Err(failure::talking(&error)),
            }
            if self.received > MAX_TLS {
                return Err(failure::answer("sends without end"));
            }
            if let Err(error) = tls.process_new_packets() {
                // Tell the server why; it may be gone already.
                let _ = write_tls(tls, &self.socket);
                return Err(tls::failure(&error));
            }
        }
    }

    /// The server closed the connection: fine only where that ends the answer.
    fn ended(&mut self) -> Result<(), Unhealthy> {
        if self.response.close() {
            return Ok(());
        }
        let handshaking = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
        Err(failure::closed(match (handshaking, self.response.is_silent()) {
            (true, _) => "closed the connection during the TLS handshake",
            (false, true) => "closed the connection without an answer",
            (false, false) => "closed the connection in the middle of its answer",
        }))
    }
}

/// What was read.
enum Read {
    /// So many bytes.
    Data(usize),
    /// Nothing is there yet.
    Nothing,
    /// Nothing will come any more.
    Ended,
}

/// Writes what TLS has to say, as far as it goes without waiting.
fn write_tls(tls: &mut ClientConnection, socket: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut Wire(socket)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A socket as rustls wants it: never waiting.
struct Wire<'a>(&'a TcpStream);

impl io::Read for Wire<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
use super::{Unhealthy, UnhealthyKind, failure};

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
        let socket = TcpStream::connect(server).await.map_err(|error| failure::connecting(&error))?;
        // With a port of the range that the kernel gives out, a connection on one host can meet itself.
        if socket.local_addr().is_ok_and(|local| local == server) {
            return Err(Unhealthy { kind: UnhealthyKind::Refused, reason: "refuses connections".to_owned() });
        }
        // Best effort: it saves nothing but time.
        let _ = socket.set_nodelay(true);
        let tls = tls.map(|tls| tls.connection(server.ip())).transpose()?;
        let response = Response::new();
        Ok(Self { socket: Arc::new(socket), tls, made: Instant::now(), unasked: 0, response })
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
        let mut budget = MAX_TLS;
        loop {
            self.send(&mut unsent)?;
            let complete = self.receive(&mut budget)?;
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
            let read = match &mut self.tls {
                None => self.socket.try_read(&mut bytes),
                Some(tls) => match read_tls(tls, &self.socket) {
                    // Data that nobody asked for would be taken for the next answer.
                    Ok(count) if count > 0 => match tls.reader().read(&mut bytes) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(count),
                        Ok(0) | Err(_) => return Idle::Ended,
                        Ok(_) => return Idle::Noisy,
                    },
                    other => other.map_err(|error| match error {
                        Received::Io(error) => error,
                        Received::Tls(_) => ErrorKind::InvalidData.into(),
                    }),
                },
            };
            match read {
                Ok(0) => return Idle::Ended,
                Ok(count) => self.unasked += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Idle::Quiet,
                Err(_) => return Idle::Ended,
            }
            if self.unasked > MAX_UNASKED {
                return Idle::Noisy;
            }
        }
    }

    /// Whether bytes came in while nothing was asked; over TLS, whether too many did.
    pub(super) fn is_clean(&self) -> bool {
        self.tls.is_some() || self.unasked == 0
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

    /// Reads what can be read without waiting; true when the answer is complete.
    fn receive(&mut self, budget: &mut usize) -> Result<bool, Unhealthy> {
        let mut bytes = [0; CHUNK];
        loop {
            let Some(tls) = &mut self.tls else {
                match self.socket.try_read(&mut bytes) {
                    Ok(0) => return self.ended().map(|()| true),
                    Ok(count) if self.feed(&bytes[..count])? => return Ok(true),
                    Ok(_) => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(failure::talking(&error)),
                }
            };
            let ended = match read_tls(tls, &self.socket) {
                Ok(count) => {
                    *budget = budget.checked_sub(count).ok_or_else(|| failure::answer("answers without end"))?;
                    count == 0
                }
                Err(Received::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(Received::Io(error)) => return Err(failure::talking(&error)),
                Err(Received::Tls(error)) => return Err(tls::failure(&error)),
            };
            loop {
                let Some(tls) = &mut self.tls else { break };
                match tls.reader().read(&mut bytes) {
                    Ok(0) => return self.ended().map(|()| true),
                    Ok(count) if self.feed(&bytes[..count])? => return Ok(true),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return self.ended().map(|()| true),
                }
            }
            if ended {
                return self.ended().map(|()| true);
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<bool, Unhealthy> {
        self.response.feed(bytes).map_err(failure::answer)
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

/// Why nothing came out of a TLS connection.
enum Received {
    Io(io::Error),
    Tls(rustls::Error),
}

/// Reads once from the socket and lets TLS digest it; 0 when the server closed the socket.
fn read_tls(tls: &mut ClientConnection, socket: &TcpStream) -> Result<usize, Received> {
    let count = tls.read_tls(&mut Wire(socket)).map_err(Received::Io)?;
    if let Err(error) = tls.process_new_packets() {
        // Tell the server why; it may be gone already.
        let _ = write_tls(tls, socket);
        return Err(Received::Tls(error));
    }
    Ok(count)
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

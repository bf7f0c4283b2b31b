//! Opens a connection to an SSH server and checks its host key.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use russh::client::{self, DisconnectReason};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::authenticate::authenticate;
use super::jump::{ForwardGuard, ForwardedStream};
use super::route::Server;
use crate::known_hosts::{self, KnownHost, Verdict};
use crate::text::quote;
use crate::{Error, Host};

/// An authenticated connection.
pub(super) struct Connection {
    pub(super) handle: client::Handle<HostKeyVerifier>,
    notes: Arc<Mutex<ConnectionNotes>>,
    guard: Option<ForwardGuard>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.handle.is_closed()).finish_non_exhaustive()
    }
}

impl Connection {
    /// Reaches the server, directly or by a stream through jump hosts, checks its key, logs in.
    pub(super) async fn open(server: &Server, forwarded: Option<ForwardedStream>) -> Result<Self, Error> {
        let known = load(server).await?;
        let (stream, guard) = forwarded.map(|forwarded| (forwarded.stream, forwarded.guard)).unzip();
        let config = Arc::new(config(server, &known, guard.as_ref().map_or(0, |guard| guard.hops)));
        let notes = Arc::new(Mutex::new(ConnectionNotes::default()));
        let verifier = HostKeyVerifier { known, server: server.clone(), notes: notes.clone() };
        let reached = timeout(server.timeout, async {
            match stream {
                Some(stream) => greet(server, stream, config, verifier, &notes).await,
                None => greet(server, dial(server).await?, config, verifier, &notes).await,
            }
        });
        let handle = reached.await.unwrap_or_else(|_| {
            let through = guard.as_ref().map(|guard| guard.through.as_str());
            Err(server.unreachable(through, format!("no answer within {} s", server.timeout.as_secs())))
        })?;
        let mut link = Self { handle, notes, guard };
        let fresh = link.notes.lock().ok().and_then(|mut notes| notes.fresh.take());
        if let Some(key) = fresh {
            learn(server, key).await?;
        }
        authenticate(&mut link, server).await?;
        Ok(link)
    }

    /// The jump hosts on the way.
    pub(super) fn through(&self) -> Option<&str> {
        self.guard.as_ref().map(|guard| guard.through.as_str())
    }

    /// Why the connection ended, when it did.
    pub(super) fn end(&self) -> Option<String> {
        let end = self.notes.lock().ok()?.end.clone();
        let end = end.or_else(|| self.handle.is_closed().then(|| "the host closed it".to_owned()))?;
        Some(self.guard.as_ref().and_then(ForwardGuard::end).unwrap_or(end))
    }
}

async fn dial(server: &Server) -> Result<TcpStream, Error> {
    let connected = match &server.host {
        Host::Address(address) => TcpStream::connect((*address, server.port)).await,
        Host::Name(name) => TcpStream::connect((name.as_str(), server.port)).await,
    };
    let stream = connected.map_err(|error| server.unreachable(None, reason(&error)))?;
    // Small requests must not wait for one another; a failure costs only speed.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn greet<S>(
    server: &Server,
    stream: S,
    config: Arc<client::Config>,
    verifier: HostKeyVerifier,
    notes: &Mutex<ConnectionNotes>,
) -> Result<client::Handle<HostKeyVerifier>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connected = client::connect_stream(config, stream, verifier).await;
    connected.map_err(|error| {
        let refused = notes.lock().ok().and_then(|mut notes| notes.refused.take());
        refused.unwrap_or_else(|| Error::Handshake {
            host: server.host.clone(),
            port: server.port,
            source: Box::new(error),
        })
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused: no SSH server listens there".to_owned(),
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => "no route to it".to_owned(),
        std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

async fn load(server: &Server) -> Result<KnownHost, Error> {
    let (policy, host, port) = (server.known_hosts.clone(), server.host.clone(), server.port);
    let loading = tokio::task::spawn_blocking(move || KnownHost::load(&policy, &host, port));
    loading.await.map_err(|error| Error::Task { detail: error.to_string() })?
}

async fn learn(server: &Server, key: PublicKey) -> Result<(), Error> {
    let (policy, host, port) = (server.known_hosts.clone(), server.host.clone(), server.port);
    let learning = tokio::task::spawn_blocking(move || known_hosts::learn(&policy, &host, port, &key));
    learning.await.map_err(|error| Error::Task { detail: error.to_string() })?
}

fn config(server: &Server, known: &KnownHost, hops: usize) -> client::Config {
    // A host is asked first for the kinds of key that we know of it: another kind would look like another host.
    let mut kinds = Preferred::DEFAULT.key.to_vec();
    kinds.sort_by_key(|kind| !known.knows_kind(|key| same_kind(kind, &key.algorithm())));
    let certificates = if known.has_authority() { kinds.clone() } else { Vec::new() };
    client::Config {
        preferred: Preferred {
            key: Cow::Owned(kinds),
            host_key_certificates: Cow::Owned(certificates),
            // AES with hardware support takes half the time of the others.
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        window_size: 16 << 20,
        maximum_packet_size: 65_535,
        inactivity_timeout: None,
        keepalive_interval: Some(server.keepalive),
        // A jump host that falls silent is noticed before those behind it, so that they find a new way at once.
        keepalive_max: 3 + hops,
        nodelay: true,
        ..client::Config::default()
    }
}

fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match (one, other) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (one, other) => one == other,
    }
}

/// What the connection's own task has to tell.
#[derive(Default)]
struct ConnectionNotes {
    /// Why the host's key was refused.
    refused: Option<Error>,
    /// The key of a host met for the first time.
    fresh: Option<PublicKey>,
    /// Why the connection ended.
    end: Option<String>,
}

/// Answers the connection's questions.
pub(super) struct HostKeyVerifier {
    known: KnownHost,
    server: Server,
    notes: Arc<Mutex<ConnectionNotes>>,
}

impl HostKeyVerifier {
    fn refusal(&self, key: &PublicKey, verdict: &Verdict) -> Option<Error> {
        let host = self.server.host.clone();
        let name = known_hosts::name(&host, self.server.port);
        let shown = known_hosts::describe(key);
        match verdict {
            Verdict::Known | Verdict::New => None,
            Verdict::Changed { known, file, line } => Some(Error::HostKeyChanged {
                host,
                shown,
                known: known.clone(),
                file: file.clone(),
                line: *line,
                accept: format!("ssh-keygen -R {} -f {}", quote(&name), quote(&file.display().to_string())),
            }),
            Verdict::Revoked { file, line } => {
                Some(Error::HostKeyRevoked { host, shown, file: file.clone(), line: *line })
            }
        }
    }
}

impl client::Handler for HostKeyVerifier {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let (key, verdict) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (key.clone(), self.known.check(key)),
            PublicKeyOrCertificate::Certificate(certificate) => (
                PublicKey::from(certificate.public_key().clone()),
                self.known.check_certificate(certificate, &self.server.host),
            ),
        };
        let refused = self.refusal(&key, &verdict);
        let accepted = refused.is_none();
        let Ok(mut notes) = self.notes.lock() else {
            return Ok(false);
        };
        notes.refused = refused;
        notes.fresh = (verdict == Verdict::New).then_some(key);
        Ok(accepted)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let end = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the host ended it: {}", crate::text::printable(&info.message))
            }
            DisconnectReason::Error(error) => error.to_string().to_lowercase(),
        };
        if let Ok(mut notes) = self.notes.lock() {
            notes.end = Some(end);
        }
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

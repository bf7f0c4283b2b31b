//! Opens a connection to an SSH server and checks its host key.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use russh::client::{self, DisconnectReason};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::authenticate::authenticate;
use super::jump::{ForwardGuard, ForwardedStream};
use super::route::Server;
use crate::host_key::{self, Decision};
use crate::known_hosts::{self, KnownHost};
use crate::{AcceptedHostKey, Error, Host};

/// An authenticated connection.
pub(super) struct Connection {
    pub(super) handle: client::Handle<HostKeyVerifier>,
    notes: Arc<Mutex<ConnectionNotes>>,
    guard: Option<ForwardGuard>,
    /// Whether nothing that we know contradicts the host's key; else the host gets no password.
    pub(super) trusted: bool,
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
        let shown = notes.lock().ok().and_then(|mut notes| notes.shown.take());
        let trusted = !matches!(shown, None | Some((Decision::Distrust, _)));
        let mut link = Self { handle, notes, guard, trusted };
        if let Some((decision, key)) = shown.filter(|(decision, _)| *decision != Decision::Trust) {
            meet(server, decision, key).await?;
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

/// Records a new key, and tells of it.
async fn meet(server: &Server, decision: Decision, key: PublicKey) -> Result<(), Error> {
    let policy = &server.known_hosts;
    let recorded =
        (decision == Decision::Record && !policy.record.as_os_str().is_empty()).then(|| policy.record.clone());
    let accepted = AcceptedHostKey {
        host: known_hosts::name(&server.host, server.port),
        algorithm: key.algorithm().to_string(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        recorded: recorded.clone(),
        contradicts: decision == Decision::Distrust,
    };
    if recorded.is_some() {
        let (policy, host, port) = (policy.clone(), server.host.clone(), server.port);
        let learning = tokio::task::spawn_blocking(move || known_hosts::learn(&policy, &host, port, &key));
        learning.await.map_err(|error| Error::Task { detail: error.to_string() })??;
    }
    policy.observer.tell(accepted);
    Ok(())
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
    /// The host's key, and how it was accepted.
    shown: Option<(Decision, PublicKey)>,
    /// Why the connection ended.
    end: Option<String>,
}

/// Answers the connection's questions.
pub(super) struct HostKeyVerifier {
    known: KnownHost,
    server: Server,
    notes: Arc<Mutex<ConnectionNotes>>,
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
        let Server { host, port, known_hosts, .. } = &self.server;
        let decision = host_key::decide(known_hosts.strict, &verdict, host, *port, &key);
        let Ok(mut notes) = self.notes.lock() else {
            return Ok(false);
        };
        match decision {
            Ok(decision) => notes.shown = Some((decision, key)),
            Err(refused) => notes.refused = Some(refused),
        }
        Ok(notes.shown.is_some())
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

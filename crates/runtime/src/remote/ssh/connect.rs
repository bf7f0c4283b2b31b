//! How is a connection to a host made, and is it the host that we know?

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use russh::client::{self, DisconnectReason};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SshOptions;
use super::authenticate::authenticate;
use crate::Error;
use crate::remote::known_hosts::{self, KnownHost, Verdict};
use crate::remote::quote;

/// An authenticated connection.
pub(super) struct Link {
    pub(super) handle: client::Handle<Guard>,
    notes: Arc<Mutex<Notes>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("closed", &self.handle.is_closed()).finish_non_exhaustive()
    }
}

impl Link {
    /// Reaches the host, checks its key, logs in.
    pub(super) async fn open(options: &SshOptions) -> Result<Self, Error> {
        let known = load(options).await?;
        let config = Arc::new(config(options, &known));
        let notes = Arc::new(Mutex::new(Notes::default()));
        let guard = Guard { known, options: options.clone(), notes: notes.clone() };
        let handle = timeout(options.timeout, reach(options, config, guard, &notes)).await;
        let handle =
            handle.map_err(|_| unreachable(options, format!("no answer within {} s", options.timeout.as_secs())))??;
        let mut link = Self { handle, notes };
        let fresh = link.notes.lock().ok().and_then(|mut notes| notes.fresh.take());
        if let Some(key) = fresh {
            learn(options, key).await?;
        }
        authenticate(&mut link, options).await?;
        Ok(link)
    }

    /// Why the connection ended, when it did.
    pub(super) fn end(&self) -> Option<String> {
        let notes = self.notes.lock().ok()?;
        notes.end.clone().or_else(|| self.handle.is_closed().then(|| "the host closed it".to_owned()))
    }
}

async fn reach(
    options: &SshOptions,
    config: Arc<client::Config>,
    guard: Guard,
    notes: &Mutex<Notes>,
) -> Result<client::Handle<Guard>, Error> {
    let stream = TcpStream::connect((options.address, options.port)).await;
    let stream = stream.map_err(|error| unreachable(options, reason(&error)))?;
    // Small requests must not wait for one another; a failure costs only speed.
    let _ = stream.set_nodelay(true);
    let connected = client::connect_stream(config, stream, guard).await;
    connected.map_err(|error| {
        let refused = notes.lock().ok().and_then(|mut notes| notes.refused.take());
        refused.unwrap_or_else(|| Error::Handshake {
            host: options.address,
            port: options.port,
            source: Box::new(error),
        })
    })
}

fn unreachable(options: &SshOptions, detail: String) -> Error {
    Error::Unreachable { host: options.address, port: options.port, detail }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused: no SSH server listens there".to_owned(),
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => "no route to it".to_owned(),
        std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

async fn load(options: &SshOptions) -> Result<KnownHost, Error> {
    let (policy, address, port) = (options.known_hosts.clone(), options.address, options.port);
    let loading = tokio::task::spawn_blocking(move || KnownHost::load(&policy, address, port));
    loading.await.map_err(|error| Error::Task { detail: error.to_string() })?
}

async fn learn(options: &SshOptions, key: PublicKey) -> Result<(), Error> {
    let (policy, address, port) = (options.known_hosts.clone(), options.address, options.port);
    let learning = tokio::task::spawn_blocking(move || known_hosts::learn(&policy, address, port, &key));
    learning.await.map_err(|error| Error::Task { detail: error.to_string() })?
}

fn config(options: &SshOptions, known: &KnownHost) -> client::Config {
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
        keepalive_interval: Some(options.keepalive),
        keepalive_max: 3,
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
struct Notes {
    /// Why the host's key was refused.
    refused: Option<Error>,
    /// The key of a host met for the first time.
    fresh: Option<PublicKey>,
    /// Why the connection ended.
    end: Option<String>,
}

/// Answers the connection's questions.
pub(super) struct Guard {
    known: KnownHost,
    options: SshOptions,
    notes: Arc<Mutex<Notes>>,
}

impl Guard {
    fn refusal(&self, key: &PublicKey, verdict: &Verdict) -> Option<Error> {
        let host = self.options.address;
        let shown = known_hosts::describe(key);
        match verdict {
            Verdict::Known | Verdict::New => None,
            Verdict::Changed { known, file, line } => Some(Error::HostKeyChanged {
                host,
                shown,
                known: known.clone(),
                file: file.clone(),
                line: *line,
                accept: format!(
                    "ssh-keygen -R {} -f {}",
                    quote(&known_hosts::name(host, self.options.port)),
                    quote(&file.display().to_string())
                ),
            }),
            Verdict::Revoked { file, line } => {
                Some(Error::HostKeyRevoked { host, shown, file: file.clone(), line: *line })
            }
        }
    }
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let (key, verdict) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (key.clone(), self.known.judge(key)),
            PublicKeyOrCertificate::Certificate(certificate) => (
                PublicKey::from(certificate.public_key().clone()),
                self.known.judge_certificate(certificate, self.options.address),
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
                format!("the host ended it: {}", crate::remote::printable(&info.message))
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

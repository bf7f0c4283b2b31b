//! A host over SSH: one connection, many commands at once on it.

mod authenticate;
mod channel;
mod connect;
mod jump;
mod route;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secret::Secret;

use super::launch::Privilege;
use super::{Command, KnownHostsPolicy, Output, Remote, Session, SmallFile, files, privilege, process};
use crate::{Error, Host};
use channel::SshTransport;
use route::Route;

pub use jump::Jumps;

/// How to reach a host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SshOptions {
    /// The host's address.
    pub address: IpAddr,
    /// The port of its SSH server.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The ways to log in, in the order in which they are tried; those that the host does not offer are left out.
    /// The first password among them is also the one that `sudo` gets, if it asks.
    pub auth: Vec<Auth>,
    /// The jump hosts on the way, the first to be reached in front. Each is found by the one before it, shows its host
    /// key, and is logged in to; settings below are theirs, too.
    pub jump: Vec<Hop>,
    /// Which host keys are known, and where a new one is recorded.
    pub known_hosts: KnownHostsPolicy,
    /// How long reaching the host and logging in may take, each.
    pub timeout: Duration,
    /// How often a silent connection is tested; three tests without an answer end it.
    pub keepalive: Duration,
}

impl SshOptions {
    /// Root on port 22 of this host, without any way to log in yet.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address, ..Self::default() }
    }
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 22,
            user: "root".to_owned(),
            auth: Vec::new(),
            jump: Vec::new(),
            known_hosts: KnownHostsPolicy::default(),
            timeout: Duration::from_secs(20),
            keepalive: Duration::from_secs(15),
        }
    }
}

/// A jump host: an SSH server that passes connections on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// Where it is.
    pub host: Host,
    /// The port of its SSH server.
    pub port: u16,
    /// Who logs in there.
    pub user: String,
    /// The ways to log in, in the order in which they are tried.
    pub auth: Vec<Auth>,
}

impl Hop {
    /// A jump host where `user` logs in on `port`.
    #[must_use]
    pub fn new(host: impl Into<Host>, port: u16, user: impl Into<String>, auth: Vec<Auth>) -> Self {
        Self { host: host.into(), port, user: user.into(), auth }
    }
}

/// One way to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By password, also where the server asks for it interactively.
    Password(Secret),
    /// By a private key.
    Key {
        /// What the key is called in messages: its path.
        name: String,
        /// The text of the key file (OpenSSH, PKCS#8 or PKCS#1).
        pem: Secret,
        /// What decrypts it.
        passphrase: Option<Secret>,
    },
    /// By the keys that an agent holds.
    Agent {
        /// The agent's socket.
        socket: PathBuf,
    },
}

/// A host reached over SSH. Commands run as root, by `sudo` when the login is another user's.
///
/// When the connection is found broken at the start of a command it is made anew, once; a command that was under way
/// is not repeated.
///
/// Hosts behind the same jump host share connections to it ([`Jumps`]): what is said of reading in [`Session`] holds
/// for all of them together.
#[derive(Debug)]
pub struct Ssh {
    line: SshTransport,
    privilege: Privilege,
}

impl Ssh {
    /// Connects, checks the host's key, logs in, and finds out how commands become root's.
    ///
    /// # Errors
    ///
    /// One for each thing that can be in the way: the host cannot be reached, its key changed or is revoked,
    /// no way to log in is accepted, a key cannot be used, the login is not root and `sudo` does not help.
    pub async fn connect(options: SshOptions) -> Result<Self, Error> {
        Self::connect_through(options, &Jumps::default()).await
    }

    /// Like [`Ssh::connect`], over jump hosts whose connections are shared with others.
    ///
    /// # Errors
    ///
    /// Those of [`Ssh::connect`]. What goes wrong at a jump host is the source of [`Error::JumpHost`]; a jump host
    /// that works and may not pass the connection on is [`Error::ForwardingRefused`].
    pub async fn connect_through(options: SshOptions, jumps: &Jumps) -> Result<Self, Error> {
        let password = options.auth.iter().find_map(|auth| match auth {
            Auth::Password(password) => Some(password.clone()),
            Auth::Key { .. } | Auth::Agent { .. } => None,
        });
        let user = options.user.clone();
        let line = SshTransport::open(Arc::new(Route::new(options, jumps.clone()))).await?;
        let password = if line.is_trusted().await { password } else { None };
        let privilege = privilege::probe(&line, &user, password.as_ref()).await?;
        Ok(Self { line, privilege })
    }
}

#[async_trait]
impl Remote for Ssh {
    fn address(&self) -> IpAddr {
        process::Transport::address(&self.line)
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        process::run(&self.line, &self.privilege, command, None).await
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        process::stream(&self.line, &self.privilege, command).await
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.write_all(&[SmallFile { path, mode, content }]).await
    }

    async fn write_all(&self, files: &[SmallFile<'_>]) -> Result<(), Error> {
        files::write(&self.line, &self.privilege, files).await
    }

    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        files::upload(&self.line, &self.privilege, local, remote, mode, progress).await
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        files::read(&self.line, &self.privilege, path, limit).await
    }
}

//! The failures of reaching a host and of running commands and moving files on it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Host, SudoProblem};

/// A reason that another library gives.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a host could not be reached, or an act on it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host cannot be reached.
    #[error(
        "{host}: cannot reach port {port}{}: {detail}",
        through.as_ref().map(|hops| format!(" through {hops}")).unwrap_or_default()
    )]
    Unreachable {
        /// The host.
        host: Host,
        /// Its SSH port.
        port: u16,
        /// The jump hosts on the way, all of which work; none when it is reached directly.
        through: Option<String>,
        /// Why.
        detail: String,
    },
    /// A jump host on the way to a host cannot be used.
    #[error("{host}: its jump host cannot be used: {source}")]
    JumpHost {
        /// The host that is not reached.
        host: Host,
        /// What failed, and at which jump host; the same for all hosts that waited for it.
        source: Arc<Error>,
    },
    /// A jump host works, but does not let us through.
    #[error("{host}: the jump host {jump} does not allow connections to port {port} of this host")]
    ForwardingRefused {
        /// The host that is not reached.
        host: Host,
        /// Its SSH port.
        port: u16,
        /// The jump host.
        jump: Host,
    },
    /// What listens on the port does not complete an SSH handshake.
    #[error("{host}: no SSH connection on port {port}")]
    Handshake {
        /// The host.
        host: Host,
        /// Its SSH port.
        port: u16,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A host shows another key than the one known.
    #[error(
        "{host}: the host key changed: the host shows {shown}, but {}:{line} says {known}; somebody may be listening in. If the machine was made anew: {accept}",
        file.display()
    )]
    HostKeyChanged {
        /// The host.
        host: Host,
        /// Kind and fingerprint of the key that it shows.
        shown: String,
        /// Kind and fingerprint of the key known.
        known: String,
        /// The file that knows it.
        file: PathBuf,
        /// The line there, from 1.
        line: usize,
        /// The command that forgets the known key.
        accept: String,
    },
    /// A host shows a key that no file knows, and such keys are refused.
    #[error("{host}: the host key {shown} is in no known_hosts file; add it after comparing it with the host's own")]
    HostKeyUnknown {
        /// The host.
        host: Host,
        /// Kind and fingerprint of the key.
        shown: String,
    },
    /// A host has a certificate authority and shows a key without its certificate.
    #[error(
        "{host}: the host shows the unknown key {shown} without a certificate of the authority in {}:{line}; somebody may be listening in. Give the host a certificate (HostCertificate in its sshd_config), or add its key to a known_hosts file",
        file.display()
    )]
    HostKeyUncertified {
        /// The host.
        host: Host,
        /// Kind and fingerprint of the key.
        shown: String,
        /// The file that names the authority.
        file: PathBuf,
        /// The line there, from 1.
        line: usize,
    },
    /// A host shows a key that is marked as revoked.
    #[error("{host}: the host key {shown} is revoked by {}:{line}", file.display())]
    HostKeyRevoked {
        /// The host.
        host: Host,
        /// The key.
        shown: String,
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// A file of known host keys cannot be used.
    #[error("cannot {act} the known hosts in {}", path.display())]
    KnownHosts {
        /// `read` or `extend`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No way to log in was accepted.
    #[error("{host}: login as {user} refused; tried: {}; the host offers: {}", tried.join(", "), offered.join(", "))]
    LoginRefused {
        /// The host.
        host: Host,
        /// Who.
        user: String,
        /// What was tried.
        tried: Vec<String>,
        /// What the host offers.
        offered: Vec<String>,
    },
    /// A private key is encrypted and no passphrase was given.
    #[error("the private key {name} is encrypted; give its passphrase, or load it into an agent")]
    KeyEncrypted {
        /// The key.
        name: String,
    },
    /// A private key cannot be decrypted.
    #[error("the passphrase does not fit the private key {name}")]
    KeyPassphrase {
        /// The key.
        name: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A private key cannot be understood.
    #[error("{name} is not a private key that can be used")]
    KeyUnreadable {
        /// The key.
        name: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The SSH agent does not answer.
    #[error("cannot use the SSH agent at {}", socket.display())]
    Agent {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A login works but gives no usable shell.
    #[error("{host}: the login shell of {user} runs no commands: {detail}")]
    NoShell {
        /// The host.
        host: IpAddr,
        /// Who.
        user: String,
        /// What it said.
        detail: String,
    },
    /// A login's start-up scripts write to standard output, where it would be taken for data.
    #[error(
        "{host}: start-up scripts of {user}'s shell print `{noise}` also when nobody is there; make them silent for non-interactive shells"
    )]
    NoisyLogin {
        /// The host.
        host: IpAddr,
        /// Who.
        user: String,
        /// The last line of it.
        noise: String,
    },
    /// `sudo` does not make us root.
    #[error("{host}: {user} cannot become root: {problem}")]
    Sudo {
        /// The host.
        host: IpAddr,
        /// Who.
        user: String,
        /// Why.
        problem: SudoProblem,
    },
    /// The way to a host broke while a command was under way.
    #[error("{host}: connection lost: {detail}")]
    ConnectionLost {
        /// The host.
        host: Host,
        /// Why.
        detail: String,
    },
    /// A host refuses another command beside those under way.
    #[error("{host}: the SSH server refuses to run another command: {detail}")]
    ChannelRefused {
        /// The host.
        host: IpAddr,
        /// Its reason.
        detail: String,
    },
    /// This machine cannot start a shell.
    #[error("{host}: cannot start /bin/sh")]
    Start {
        /// The address of this machine.
        host: IpAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command took longer than it may.
    #[error("{host}: no end after {seconds} s{}{detail}", if detail.is_empty() { "" } else { ": " })]
    TimedOut {
        /// The host.
        host: IpAddr,
        /// The limit.
        seconds: u64,
        /// Its last lines.
        detail: String,
    },
    /// A script is larger than can be passed on.
    #[error("{host}: a script of {bytes} bytes is too large to be passed on")]
    ScriptTooLarge {
        /// The host.
        host: IpAddr,
        /// Its size.
        bytes: usize,
    },
    /// A name cannot be an environment variable's.
    #[error("{host}: `{name}` cannot name an environment variable")]
    VariableName {
        /// The host.
        host: IpAddr,
        /// The name.
        name: String,
    },
    /// A path on a host is not an absolute path of a file.
    #[error("`{path}` is not an absolute path of a file on a host")]
    RemotePath {
        /// The path.
        path: String,
    },
    /// A host refuses to read or write a file.
    #[error("{host}: cannot {act} {path}: {detail}")]
    File {
        /// The host.
        host: IpAddr,
        /// What was tried.
        act: &'static str,
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// A file on a host is larger than it may be.
    #[error("{host}: {path} is larger than {limit} bytes")]
    FileTooLarge {
        /// The host.
        host: IpAddr,
        /// The file.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// A file of this machine cannot be read.
    #[error("cannot read {}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A task of this program broke down.
    #[error("a task of this program broke down: {detail}")]
    Task {
        /// How.
        detail: String,
    },
    /// The machine gave no random numbers.
    #[error("cannot make a random name")]
    Random {
        /// Why.
        #[source]
        source: getrandom::Error,
    },
}

impl Error {
    /// The failure itself: what went wrong at the jump host when that is why a host is not reached, else this.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::JumpHost { source, .. } => source,
            error => error,
        }
    }
}

//! What can go wrong while a cluster is observed, planned for or changed.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clusterfile::SshHost;

use crate::remote::SudoProblem;

/// A reason that another library gives.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an act of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path of the program that does not exist yet.
    #[error("{what} is not built yet")]
    NotBuilt {
        /// What is missing.
        what: &'static str,
    },
    /// A command on a host ended with another exit code than 0.
    #[error("{host}: {step} failed with {status}: {detail}")]
    Step {
        /// Where.
        host: IpAddr,
        /// The step's title.
        step: String,
        /// `exit code 1` or `signal KILL`.
        status: String,
        /// The lines of its output that matter.
        detail: String,
    },
    /// A host was not asked for its facts, so nothing can be planned for it.
    #[error("{host}: nothing is known about this host")]
    NoFacts {
        /// The host.
        host: IpAddr,
    },
    /// What a host said about itself cannot be understood.
    #[error("{host}: cannot read what the host says about itself: {reason}")]
    Facts {
        /// The host.
        host: IpAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// A cluster stands, but nothing can be said about it because its API server is silent.
    #[error(
        "{host}: cluster {cluster} stands, but its API server does not answer (journalctl -u kubelet on the host tells more)"
    )]
    ApiSilent {
        /// Its master.
        host: IpAddr,
        /// The cluster.
        cluster: String,
    },
    /// The image lacks something that a cluster needs.
    #[error("image {image} has no {missing}")]
    Payload {
        /// The image's name.
        image: String,
        /// What is missing, for example `bin/kubeadm (is it a cluster image?)`.
        missing: String,
    },
    /// The cluster cannot be made as wanted.
    #[error("cluster {cluster}: {reason}")]
    Unsupported {
        /// The cluster's name.
        cluster: String,
        /// What cannot be done, and what can.
        reason: String,
    },
    /// A version of Kubernetes is none, or not one that we know how to install.
    #[error("kubernetes version `{version}`: {reason}")]
    Version {
        /// The version as found.
        version: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A configuration document for kubeadm cannot be read.
    #[error("{document} is not a valid configuration for kubeadm: {reason}")]
    Document {
        /// Where it comes from, for example `etc/kubeadm.yml of shop:1.4`.
        document: String,
        /// What is wrong with it, with line and column when known.
        reason: String,
    },
    /// A certificate or key could not be made or read.
    #[error("cannot {act} {object}")]
    Certificate {
        /// `make`, `sign` or `read`.
        act: &'static str,
        /// Which one, for example `the certificate authority of etcd`.
        object: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The machine gave no random numbers.
    #[error("cannot make a random token")]
    Random {
        /// Why.
        #[source]
        source: getrandom::Error,
    },
    /// A file with secrets could not be read or written.
    #[error("cannot {act} {}", path.display())]
    SecretFile {
        /// `read`, `write` …
        act: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file with secrets is there but not what it should be.
    #[error("{} {reason}; remove the state directory of the cluster only when the cluster is gone", path.display())]
    SecretDamaged {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A host cannot be reached.
    #[error(
        "{host}: cannot reach port {port}{}: {detail}",
        through.as_ref().map(|hops| format!(" through {hops}")).unwrap_or_default()
    )]
    Unreachable {
        /** The host. */
        host: SshHost,
        /** Its SSH port. */
        port: u16,
        /** The jump hosts on the way, all of which work; none when it is reached directly. */
        through: Option<String>,
        /** Why. */
        detail: String,
    },
    /// A jump host on the way to a host cannot be used.
    #[error("{host}: its jump host cannot be used: {source}")]
    JumpHost {
        /// The host that is not reached.
        host: SshHost,
        /// What failed, and at which jump host; the same for all hosts that waited for it.
        source: Arc<Error>,
    },
    /// A jump host works, but does not let us through.
    #[error("{host}: the jump host {jump} does not allow connections to port {port} of this host")]
    ForwardingRefused {
        /// The host that is not reached.
        host: SshHost,
        /// Its SSH port.
        port: u16,
        /// The jump host.
        jump: SshHost,
    },
    /// What listens on the port does not complete an SSH handshake.
    #[error("{host}: no SSH connection on port {port}")]
    Handshake {
        /// The host.
        host: SshHost,
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
        host: SshHost,
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
    /// A host shows a key that is marked as revoked.
    #[error("{host}: the host key {shown} is revoked by {}:{line}", file.display())]
    HostKeyRevoked {
        /** The host. */
        host: SshHost,
        /** The key. */
        shown: String,
        /** The file. */
        file: PathBuf,
        /** The line. */
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
        /** The host. */
        host: SshHost,
        /** Who. */
        user: String,
        /** What was tried. */
        tried: Vec<String>,
        /** What the host offers. */
        offered: Vec<String>,
    },
    /// A private key is encrypted and no passphrase was given.
    #[error("the private key {name} is encrypted; give its passphrase, or load it into an agent")]
    KeyEncrypted {
        /** The key. */
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
        /** The host. */
        host: IpAddr,
        /** Who. */
        user: String,
        /** What it said. */
        detail: String,
    },
    /// A login's start-up scripts write to standard output, where it would be taken for data.
    #[error(
        "{host}: start-up scripts of {user}'s shell print `{noise}` also when nobody is there; make them silent for non-interactive shells"
    )]
    NoisyLogin {
        /** The host. */
        host: IpAddr,
        /** Who. */
        user: String,
        /** The last line of it. */
        noise: String,
    },
    /// `sudo` does not make us root.
    #[error("{host}: {user} cannot become root: {problem}")]
    Sudo {
        /** The host. */
        host: IpAddr,
        /** Who. */
        user: String,
        /** Why. */
        problem: SudoProblem,
    },
    /// The way to a host broke while a command was under way.
    #[error("{host}: connection lost: {detail}")]
    ConnectionLost {
        /** The host. */
        host: SshHost,
        /** Why. */
        detail: String,
    },
    /// A host refuses another command beside those under way.
    #[error("{host}: the SSH server refuses to run another command: {detail}")]
    ChannelRefused {
        /** The host. */
        host: IpAddr,
        /** Its reason. */
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
        /** The host. */
        host: IpAddr,
        /** The limit. */
        seconds: u64,
        /** Its last lines. */
        detail: String,
    },
    /// A script is larger than can be passed on.
    #[error("{host}: a script of {bytes} bytes is too large to be passed on")]
    ScriptTooLarge {
        /** The host. */
        host: IpAddr,
        /** Its size. */
        bytes: usize,
    },
    /// A name cannot be an environment variable's.
    #[error("{host}: `{name}` cannot name an environment variable")]
    VariableName {
        /** The host. */
        host: IpAddr,
        /** The name. */
        name: String,
    },
    /// A path on a host is not an absolute path of a file.
    #[error("`{path}` is not an absolute path of a file on a host")]
    RemotePath {
        /** The path. */
        path: String,
    },
    /// A host refuses to read or write a file.
    #[error("{host}: cannot {act} {path}: {detail}")]
    File {
        /** The host. */
        host: IpAddr,
        /** What was tried. */
        act: &'static str,
        /** The file. */
        path: String,
        /** Why. */
        detail: String,
    },
    /// A file on a host is larger than it may be.
    #[error("{host}: {path} is larger than {limit} bytes")]
    FileTooLarge {
        /** The host. */
        host: IpAddr,
        /** The file. */
        path: String,
        /** The limit. */
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
    /// Content could not be brought to a host.
    #[error("{host}: cannot bring the content there")]
    Content {
        /// The host.
        host: IpAddr,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A plan cannot be performed as it is.
    #[error("the plan for {cluster} cannot be performed: {reason}")]
    Plan {
        /** The cluster. */
        cluster: String,
        /** What is wrong with it. */
        reason: String,
    },
    /// The journal cannot be read or written.
    #[error("cannot {act} the journal {}", path.display())]
    Journal {
        /// `read`, `append to` or `clear`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was asked to stop; what was under way is finished.
    #[error("interrupted after {done} of {total} steps; the same command again continues")]
    Cancelled {
        /** Finished now and earlier. */
        done: usize,
        /** All. */
        total: usize,
    },
    /// A task of this program broke down.
    #[error("a task of this program broke down: {detail}")]
    Task {
        /** How. */
        detail: String,
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

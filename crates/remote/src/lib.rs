//! Runs commands and moves files on one host, over SSH or here.
//!
//! [`Remote`] is one host. [`Ssh`] reaches it over one SSH connection that many commands share, through jump hosts
//! where there are some; [`Local`] is this machine. Commands run as root, by `sudo` when the login is another user's.
//! The host needs a POSIX shell and coreutils, nothing of ours.
//!
//! # Steps
//!
//! 1. [`Ssh::connect`] with [`SshOptions`]: it checks the host's key, logs in, and finds out how to become root.
//! 2. [`Remote::run`] a [`Command`] to its end, or [`Remote::stream`] to talk to it while it runs.
//! 3. [`Remote::write`], [`Remote::upload`] and [`Remote::read`] move files, each verified and atomic.
//!
//! ```
//! # async fn demo() -> Result<(), remote::Error> {
//! use remote::{Command, Local, Remote};
//!
//! let here = Local::new([127, 0, 0, 1].into());
//! let output = here.run(&Command::new("uname -s")).await?;
//! assert_eq!(output.stdout, b"Linux\n");
//! # Ok(())
//! # }
//! # // Commands run as root: the example is performed where that is possible.
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
//! # match runtime.block_on(demo()) {
//! #     Ok(()) | Err(remote::Error::Sudo { .. }) => {}
//! #     Err(error) => panic!("{error}"),
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `testing` | `transcript::Transcript`, a host in memory, and the `contract` suite for other implementations |
//! | `service` | tests against a real `sshd` |
//!
//! # Errors
//!
//! [`Error`] names the host, the act and, where there is one, the next step. A command that exits with another code
//! than 0 is no error. A connection that is lost under a command is [`Error::ConnectionLost`]; the next command
//! connects again.

mod command;
#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod error;
mod files;
mod host;
mod host_key;
mod known_hosts;
mod launch;
mod local;
mod privilege;
mod process;
mod ssh;
pub mod text;
#[cfg(any(test, feature = "testing"))]
pub mod transcript;

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;

pub use command::{Command, Duplex, Output, Session};
pub use error::{Cause, Error};
pub use host::Host;
pub use host_key::{AcceptedHostKey, HostKeyObserver, StrictHostKey};
pub use known_hosts::KnownHostsPolicy;
pub use local::Local;
pub use privilege::SudoProblem;
pub use secret::Secret;
pub use ssh::{Auth, Hop, Jumps, Ssh, SshOptions};

/// A file to be written on a host.
#[derive(Debug, Clone, Copy)]
pub struct SmallFile<'a> {
    /// Its absolute path; missing parent directories are made (0755).
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: &'a [u8],
}

/// One host that can be reached. Commands run as root: an implementation for another user wraps them by sudo.
#[async_trait]
pub trait Remote: Send + Sync + std::fmt::Debug {
    /// The host's address, as the Clusterfile names it.
    fn address(&self) -> IpAddr;

    /// Runs a command to its end; output is kept up to a limit (the last bytes win).
    ///
    /// # Errors
    ///
    /// When the command could not be started or its end not be learned; not when it exits with another code than 0.
    async fn run(&self, command: &Command) -> Result<Output, Error>;

    /// Starts a command and joins its standard input and output to a byte stream.
    ///
    /// # Errors
    ///
    /// When the command could not be started.
    async fn stream(&self, command: &Command) -> Result<Session, Error>;

    /// Writes a small file atomically (temporary file beside it, fsync, rename), owner root.
    ///
    /// # Errors
    ///
    /// When the host refuses it, with its reason.
    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error>;

    /// Writes several small files, each atomically. Implementations may send many at once, which is faster than one after
    /// another; after an error some may be there.
    ///
    /// # Errors
    ///
    /// When the host refuses one of them, with its reason.
    async fn write_all(&self, files: &[SmallFile<'_>]) -> Result<(), Error> {
        for file in files {
            self.write(file.path, file.mode, file.content).await?;
        }
        Ok(())
    }

    /// Sends a local file; does nothing when the host already has it with the same sha256 and mode.
    /// Returns the bytes sent. `progress` is called with bytes sent so far.
    ///
    /// # Errors
    ///
    /// When reading, sending or verifying fails.
    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error>;

    /// Reads a file of at most `limit` bytes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it is larger than the limit or cannot be read.
    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;
}

#[cfg(test)]
mod tests {

    use super::*;

    #[tokio::test]
    async fn the_transcript_keeps_the_contract_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let remote = transcript::Transcript::new(IpAddr::from([10, 0, 0, 1]));
        contract::files(&remote, "/somewhere", &directory.path().join("local")).await;
    }
}

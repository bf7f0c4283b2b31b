//! The errors of this crate.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has not what a dataplane needs.
    #[error("this kernel has no {what}; {advice}")]
    Unsupported {
        /// What is missing, such as `IPVS`.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The kernel has nothing that balances.
    #[error("neither IPVS nor nftables can be used: {ipvs}; {nftables}")]
    NoDataplane {
        /// Why not IPVS.
        ipvs: Box<Error>,
        /// Why not nftables.
        nftables: Box<Error>,
    },
    /// The kernel refused an act, or its answer or that of a daemon cannot be understood.
    #[error("cannot {act} {object}: {reason}")]
    Refused {
        /// The act, such as `add the server`.
        act: &'static str,
        /// What it was done to.
        object: String,
        /// The reason in words.
        reason: String,
    },
    /// An operation on a socket, file or program failed.
    #[error("cannot {act}")]
    Io {
        /// The act with its object, such as `open the netlink socket`.
        act: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A configuration makes no sense.
    #[error("the configuration {} cannot be used: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// Another daemon is at work.
    #[error("another daemon is at work: it has the socket {}", .socket.display())]
    Busy {
        /// Its socket.
        socket: PathBuf,
    },
    /// What is wanted makes no sense.
    #[error("virtual service {service}: {reason}")]
    Invalid {
        /// The virtual address.
        service: SocketAddr,
        /// What is wrong.
        reason: String,
    },
    /// A health check that cannot be performed on any server.
    #[error("health check, {part}: {reason}")]
    Check {
        /// Which part of it is wrong, such as `CA`.
        part: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Short form.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! What can go wrong while a cluster is observed, planned for or changed.

use std::net::IpAddr;

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
}

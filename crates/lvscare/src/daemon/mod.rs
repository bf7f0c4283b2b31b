//! The long-running daemon: configuration, kernel, probes, guard, socket and metrics together.
//!
//! 1. [`CareConfig`] says what is wanted, in a file or by arguments.
//! 2. [`care`] runs a [`crate::Guard`] over it, rereads the file when it changes, and answers on a socket.
//! 3. [`overview`] asks daemons and the kernel how it is, [`clean`] takes everything away.

mod clean;
mod config;
mod dataplanes;
mod metrics_file;
mod overview;
mod run;
mod socket;
mod source;

pub use clean::{CleanRequest, clean};
pub use config::CareConfig;
pub use overview::{Daemon, Member, Overview, OverviewRequest, overview};
pub use run::{CareRequest, care};
pub use socket::{RUNTIME_DIRECTORY, socket_path};
pub use source::ConfigSource;

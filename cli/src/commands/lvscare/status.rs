//! `sealer lvscare status`: what daemons and the kernel say.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use sealer_core::Error;
use sealer_core::lvscare::DataplaneKind;
use sealer_core::lvscare::daemon::{OverviewRequest, RUNTIME_DIRECTORY, overview};

use crate::exit::Failure;
use crate::settings::Session;

/// Show virtual addresses and the state of their servers
///
/// Asks the daemon of each address, and always the kernel itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer lvscare status\n  sealer lvscare status --vs 10.103.97.2:6443 -o json")]
pub(super) struct Status {
    /// Virtual address and port [default: all that have or had a daemon]
    #[arg(long, value_name = "IP:PORT")]
    vs: Option<SocketAddr>,
    /// Which part of the kernel balances: auto (look everywhere), ipvs, nftables
    #[arg(long, value_name = "NAME", default_value = "auto")]
    dataplane: DataplaneKind,
    /// Socket of the daemon, when it is not in /run/sealer/lvscare
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

impl Status {
    pub(super) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let directory = PathBuf::from(RUNTIME_DIRECTORY);
        let request = OverviewRequest { vs: self.vs, directory, socket: self.socket, dataplane: self.dataplane };
        session.printer.overview(&overview(&request).await.map_err(Error::from)?)
    }
}

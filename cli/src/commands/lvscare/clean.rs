//! `sealer lvscare clean`: remove the rules of a virtual address.

use std::net::SocketAddr;

use clap::Args;
use sealer_core::Error;
use sealer_core::lvscare::daemon::clean;

use super::arguments::Place;
use crate::exit::Failure;
use crate::settings::Session;

/// Take the rules of a virtual address away
///
/// And what made it usable on this machine. Not while its daemon runs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer lvscare clean --vs 10.103.97.2:6443\n  sealer lvscare clean --vs 10.103.97.2:6443 --dataplane ipvs"
)]
pub(super) struct Clean {
    /// Virtual address and port
    #[arg(long, value_name = "IP:PORT")]
    vs: SocketAddr,
    #[command(flatten)]
    place: Place,
}

impl Clean {
    pub(super) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        clean(&self.place.clean_request(self.vs)).await.map_err(Error::from)?;
        session.printer.note(&format!("the rules of {} are gone", self.vs));
        Ok(())
    }
}

//! `sealer lvscare unit`: a systemd unit that runs `sealer lvscare care`.

use clap::Args;
use sealer_core::{Error, lvscare};

use super::arguments::CareArguments;
use crate::exit::Failure;
use crate::settings::Session;

/// Print a systemd unit that cares
///
/// It starts `sealer lvscare care` with the same options at each start of this machine, restarts it when it ends or no
/// longer works, and gives it no right but that to administrate the network.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer lvscare unit --config /etc/sealer/lvscare.json > /etc/systemd/system/sealer-lvscare.service\n  sealer lvscare unit --vs 10.103.97.2:6443 --rs 192.168.0.2:6443 --health-schem tcp"
)]
pub(super) struct Unit {
    #[command(flatten)]
    wanted: CareArguments,
    /// Unit that needs the virtual address and starts later (may be repeated)
    #[arg(long, value_name = "UNIT")]
    before: Vec<String>,
}

impl Unit {
    pub(super) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let unit = lvscare::Unit {
            service: self.wanted.care_request()?.config.read().map_err(Error::from)?.vs.to_string(),
            program: std::env::current_exe()?,
            arguments: self.wanted.words(),
            reads: self.wanted.reads(),
            writes: self.wanted.writes(),
            modules: self.wanted.place.modules(),
            before: self.before,
        };
        session.printer.raw(unit.to_text().as_bytes())
    }
}

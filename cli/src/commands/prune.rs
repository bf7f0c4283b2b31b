//! `sealer prune`: frees what no cluster image needs.

use clap::Args;
use sealer_core::cloudimage::PruneOptions;

use crate::exit::Failure;
use crate::settings::Session;

/// Free what no cluster image needs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer prune --dry-run\n  sealer prune --all")]
pub(crate) struct Prune {
    /// Also what only makes the next command faster: results of builds, unpacked layers, interrupted downloads
    #[arg(short, long)]
    all: bool,
    /// Only say what would be freed
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let pruned = sealer_core::prune(&sealer, PruneOptions::new(self.all, self.dry_run))?;
        session.printer.pruned(&pruned, self.dry_run)
    }
}

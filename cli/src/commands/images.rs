//! `sealer images`: the cluster images of this machine.

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::Filter;

use crate::exit::Failure;
use crate::output::ImageColumns;
use crate::settings::Session;

/// List cluster images
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer images\n  sealer images -o json\n  sealer images --filter 'reference=shop*' --filter label=team=shop"
)]
pub(crate) struct List {
    /// Only images that are like this: reference=PATTERN, label=KEY, label=KEY=VALUE or platform=OS/ARCH
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Print whole digests
    #[arg(long)]
    digests: bool,
    /// Print everything whole
    #[arg(long)]
    no_trunc: bool,
    /// Leave out the heading
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Also print the other names of each image
    #[arg(long)]
    history: bool,
    /// Taken for compatibility: all images are shown
    #[arg(short, long, hide = true)]
    all: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let filters: Result<Vec<Filter>, _> = self.filters.iter().map(|filter| filter.parse()).collect();
        let filters = filters.map_err(Error::from)?;
        let sealer = session.open()?;
        let columns = ImageColumns {
            whole_digests: self.digests || self.no_trunc,
            heading: !self.noheading,
            other_names: self.history,
        };
        session.printer.images(&sealer.images().list_matching(&filters).map_err(Error::from)?, columns)
    }
}

//! `sealer rmi`: removes cluster images.

use clap::Args;
use sealer_core::Error;

use crate::arguments::OutputFormat;
use crate::exit::Failure;
use crate::settings::Session;

/// Remove cluster images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer rmi shop:1.3\n  sealer rmi -f shop:1.3 shop:1.2")]
pub(crate) struct Remove {
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// No error when an image is not there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Remove {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let removed = sealer.images().remove(&self.images, self.force).map_err(Error::from)?;
        session.printer.removed(&removed)
    }
}

//! `sealer images`: the cluster images of this machine.

use clap::Args;
use sealer_core::Error;

use crate::arguments::OutputFormat;
use crate::exit::Failure;
use crate::settings::Session;

/// List cluster images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer images\n  sealer images -o json")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl List {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        session.printer.images(&sealer.images().list().map_err(Error::from)?)
    }
}

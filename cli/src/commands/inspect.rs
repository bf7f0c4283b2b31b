//! `sealer inspect`: what is inside a cluster image.

use clap::Args;
use sealer_core::Error;

use crate::arguments::OutputFormat;
use crate::exit::Failure;
use crate::settings::Session;

/// Show what is inside a cluster image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer inspect shop:1.4\n  sealer inspect -c shop:1.4 > Clusterfile")]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print the Clusterfile by which the image is run when nothing else is said
    #[arg(short = 'c', long = "Clusterfile", visible_alias = "clusterfile")]
    clusterfile: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Inspect {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        if self.clusterfile {
            return session.printer.clusterfile(&sealer.default_clusterfile(&self.image)?);
        }
        session.printer.inspection(&sealer.images().inspect(&self.image).map_err(Error::from)?)
    }
}

//! `sealer history`: the steps that made a cluster image.

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::Platform;

use crate::exit::Failure;
use crate::settings::Session;

/// Show the steps that made a cluster image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer history shop:1.4\n  sealer history --no-trunc shop:1.4")]
pub(crate) struct History {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The platform to show [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Print everything whole
    #[arg(long)]
    no_trunc: bool,
}

impl History {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let image = match &self.platform {
            Some(platform) => {
                let platform: Platform = platform.parse().map_err(Error::from)?;
                sealer.images().get_for(&self.image, &platform)
            }
            None => sealer.images().get(&self.image),
        };
        session.printer.history(&image.map_err(Error::from)?.history(), self.no_trunc)
    }
}

//! `sealer diff`: what is different in another cluster image.

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::{Platform, diff};

use crate::exit::Failure;
use crate::settings::Session;

/// Show what is different in another cluster image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer diff shop:1.3 shop:1.4\n  sealer diff -o json shop:1.3 shop:1.4")]
pub(crate) struct Diff {
    /// The image to compare with
    #[arg(value_name = "OLD")]
    old: String,
    /// The image that is compared
    #[arg(value_name = "NEW")]
    new: String,
    /// The platform to compare [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
}

impl Diff {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let platform = self.platform.as_ref().map(|platform| platform.parse::<Platform>()).transpose();
        let platform = platform.map_err(Error::from)?;
        let sealer = session.open()?;
        let get = |name: &str| match &platform {
            Some(platform) => sealer.images().get_for(name, platform),
            None => sealer.images().get(name),
        };
        let (old, new) = (get(&self.old).map_err(Error::from)?, get(&self.new).map_err(Error::from)?);
        session.printer.difference(&diff(&old, &new).map_err(Error::from)?)
    }
}

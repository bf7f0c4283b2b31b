//! `sealer tag`: further names of a cluster image.

use clap::Args;
use sealer_core::Error;

use crate::arguments::OutputFormat;
use crate::exit::Failure;
use crate::settings::Session;

/// Give a cluster image another name
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer tag shop:1.4 shop:latest\n  sealer tag shop:1.4 registry.example.com/team/shop:1.4"
)]
pub(crate) struct Tag {
    /// The image
    #[arg(value_name = "IMAGE")]
    source: String,
    /// Its further name
    #[arg(value_name = "NAME")]
    target: String,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Tag {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        sealer.images().tag(&self.source, &self.target).map_err(Error::from)?;
        session.printer.done(&self.target, &serde_json::json!({ "source": self.source, "target": self.target }))
    }
}

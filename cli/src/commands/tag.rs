//! `sealer tag`: further names of a cluster image.

use clap::Args;
use sealer_core::Error;

use crate::exit::Failure;
use crate::settings::Session;

/// Give a cluster image further names
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer tag shop:1.4 shop:latest\n  sealer tag shop:1.4 shop:latest registry.example.com/team/shop:1.4"
)]
pub(crate) struct Tag {
    /// The image
    #[arg(value_name = "IMAGE")]
    source: String,
    /// Its further names
    #[arg(value_name = "NAME", required = true)]
    targets: Vec<String>,
}

impl Tag {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        sealer.images().tag_all(&self.source, &self.targets).map_err(Error::from)?;
        let value = match self.targets.as_slice() {
            [target] => serde_json::json!({ "source": self.source, "target": target }),
            targets => serde_json::json!({ "source": self.source, "targets": targets }),
        };
        session.printer.done(&self.targets.join("\n"), &value)
    }
}

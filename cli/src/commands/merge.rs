//! `sealer merge`: several cluster images as one.

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::Platform;

use crate::exit::Failure;
use crate::settings::Session;

/// Merge cluster images into one
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer merge kubernetes:1.30 shop:1.4 -t shop-cluster:1.4\n  sealer merge -t all:1 --platform linux/amd64 base:1 shop:1.4"
)]
pub(crate) struct Merge {
    /// The images, the lowest first; where they disagree, the later one wins
    #[arg(value_name = "IMAGE", required = true, num_args = 2..)]
    images: Vec<String>,
    /// Name of the merged image
    #[arg(short, long = "target-image", visible_alias = "image-name", value_name = "NAME")]
    target_image: String,
    /// Platforms of the merged image [default: those that all images have]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<String>,
}

impl Merge {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let platforms: Result<Vec<Platform>, _> = self.platform.iter().map(|platform| platform.parse()).collect();
        let platforms = platforms.map_err(Error::from)?;
        let sealer = session.open()?;
        let merged = sealer.images().merge(&self.images, &self.target_image, &platforms).map_err(Error::from)?;
        session.printer.merged(&merged)
    }
}

//! `sealer rmi`: removes cluster images.

use clap::Args;
use sealer_core::{Error, RemoveRequest, remove};

use crate::exit::Failure;
use crate::settings::Session;

/// Remove cluster images
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer rmi shop:1.3\n  sealer rmi -f shop:1.3 shop:1.2\n  sealer rmi --platform linux/arm64 shop:1.4"
)]
pub(crate) struct Remove {
    /// The images
    #[arg(value_name = "IMAGE", required_unless_present_any = ["all", "prune"])]
    images: Vec<String>,
    /// All images; those that clusters of this machine run stay, unless --force is given
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Also without an image: free what no image needs, which is done in any case
    #[arg(short, long)]
    prune: bool,
    /// Only this platform of the images
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// No error when an image is not there
    #[arg(short, long)]
    force: bool,
}

impl Remove {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut request = RemoveRequest::default();
        request.platform = self.platform.map(|platform| platform.parse()).transpose().map_err(Error::from)?;
        (request.images, request.all, request.force) = (self.images, self.all, self.force);
        let sealer = session.open()?;
        session.printer.removed(&remove(&sealer, &request, &super::warnings(session))?)
    }
}

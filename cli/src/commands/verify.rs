//! `sealer verify`: reads everything of cluster images again.

use clap::Args;
use sealer_core::verify;

use crate::exit::Failure;
use crate::settings::Session;

/// Read everything of cluster images again and name what is damaged
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer verify shop:1.4\n  sealer verify --all")]
pub(crate) struct Verify {
    /// The images
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
    /// All images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
}

impl Verify {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let progress = session.printer.bytes_progress();
        let found = verify(&sealer, &self.images, &|event| progress.event(&event))?;
        drop(progress);
        session.printer.verification(&found)?;
        if found.damaged.is_empty() { Ok(()) } else { Err(Failure::Damaged(found.damaged.len())) }
    }
}

//! `sealer push`: a cluster image to a registry.

use clap::Args;
use sealer_core::{PushRequest, push};

use crate::exit::Failure;
use crate::interrupt;
use crate::settings::{RegistryArguments, Session};

/// Push a cluster image to a registry
///
/// Only what the registry lacks is sent. A push that was interrupted is continued by the same command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer push registry.example.com/team/shop:1.4\n  sealer push shop:1.4 registry.example.com/team/shop:1.4"
)]
pub(crate) struct Push {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The name that it gets in the registry [default: its own]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
    /// Push every platform and all carried images; this is done in any case, the option is upstream's
    #[arg(long, value_name = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    all: Option<bool>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Push {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        if self.all == Some(false) {
            let reason = "--all=false: a cluster image is pushed whole; `sealer pull --platform` takes a part of it";
            return Err(Failure::Usage(reason.to_owned()));
        }
        perform(session, self.image, self.destination, &self.registry).await
    }
}

/// Pushes an image and prints what was sent.
pub(crate) async fn perform(
    session: &Session<'_>,
    image: String,
    destination: Option<String>,
    registry: &RegistryArguments,
) -> Result<(), Failure> {
    let images = [Some(image.as_str()), destination.as_deref()];
    let images: Vec<&str> = images.into_iter().flatten().collect();
    let sealer = session.open_with_registries(registry, &images)?;
    let mut request = PushRequest::new(image);
    request.destination = destination;
    let progress = session.printer.transfer_progress();
    let interrupts = interrupt::stop(request.options.cancel.clone());
    let pushed = push(&sealer, &request, &|event| progress.event(&event)).await;
    interrupts.abort();
    progress.finish();
    session.printer.pushed(&pushed?)
}

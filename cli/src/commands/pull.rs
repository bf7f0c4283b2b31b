//! `sealer pull`: a cluster image from a registry.

use clap::{Args, ValueEnum};
use sealer_core::cloudimage::{Platform, Platforms, PullPolicy};
use sealer_core::{PullRequest, pull};

use crate::exit::Failure;
use crate::interrupt;
use crate::settings::{RegistryArguments, Session};

/// Pull a cluster image from a registry
///
/// Only what is not here is fetched, and verified. A pull that was interrupted is continued by the same command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer pull registry.example.com/team/shop:1.4\n  sealer pull --platform linux/amd64,linux/arm64 registry.example.com/team/shop:1.4"
)]
pub(crate) struct Pull {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Platforms, or `all` [default: this machine's]
    #[arg(long, value_name = "OS/ARCH,…", value_delimiter = ',')]
    platform: Vec<String>,
    /// When the registry is asked
    #[arg(long, value_enum, value_name = "POLICY", default_value = "always")]
    policy: PolicyArgument,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// When a registry is asked, as upstream and buildah write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyArgument {
    /// Always
    Always,
    /// When the image is not here
    #[value(alias = "ifmissing", alias = "false")]
    Missing,
    /// Never
    Never,
    /// Always; what is here is enough where the registry cannot be asked
    #[value(alias = "true")]
    Ifnewer,
}

impl From<PolicyArgument> for PullPolicy {
    fn from(argument: PolicyArgument) -> Self {
        match argument {
            PolicyArgument::Always => Self::Always,
            PolicyArgument::Missing => Self::Missing,
            PolicyArgument::Never => Self::Never,
            PolicyArgument::Ifnewer => Self::IfNewer,
        }
    }
}

impl Pull {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut request = PullRequest::new(&self.image);
        request.options.platforms = platforms(&self.platform)?;
        request.options.policy = self.policy.into();
        let sealer = session.open_with_registries(&self.registry, &[&self.image])?;
        let progress = session.printer.transfer_progress();
        let interrupts = interrupt::stop(request.options.cancel.clone());
        let pulled = pull(&sealer, &request, &|event| progress.event(&event)).await;
        interrupts.abort();
        progress.finish();
        session.printer.pulled(&pulled?)
    }
}

fn platforms(given: &[String]) -> Result<Platforms, Failure> {
    match given {
        [] => Ok(Platforms::Host),
        [all] if all == "all" => Ok(Platforms::All),
        given => {
            let parsed = given.iter().map(|text| text.parse::<Platform>());
            let parsed =
                parsed.collect::<Result<_, _>>().map_err(|error| Failure::Usage(format!("--platform: {error}")))?;
            Ok(Platforms::These(parsed))
        }
    }
}

//! `sealer host pull`: brings content to a host; called by sealer on the host, not by people.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use sealer_core::cloudimage::Platform;
use sealer_core::content_store::Digest;
use sealer_core::host::{PullRequest, pull_over_stdio};

use crate::exit::Failure;
use crate::settings::Session;

/// What sealer runs on hosts
#[derive(Debug, Args)]
pub(crate) struct Host {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, Subcommand)]
enum HostCommand {
    /// Fetch content over the HTTP/2 connection on standard input and output
    Pull(Pull),
}

#[derive(Debug, Args)]
struct Pull {
    /// Digest of the cluster image
    #[arg(long)]
    image: String,
    /// Where its rootfs is unpacked
    #[arg(long)]
    rootfs: PathBuf,
    /// The cluster that it is for
    #[arg(long)]
    cluster: String,
    /// Fetch the carried container images, too
    #[arg(long)]
    carried_images: bool,
    /// Further platform whose content is fetched, too
    #[arg(long = "platform")]
    platforms: Vec<Platform>,
    /// Registries to ask before standard input
    #[arg(long = "from")]
    from: Vec<String>,
    /// Certificate of the authority that signs those of these registries
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Logins for these registries, as docker's config.json; removed when the pull ends
    #[arg(long)]
    login: Option<PathBuf>,
}

impl Host {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let HostCommand::Pull(arguments) = self.command;
        let image = Digest::from_str(&arguments.image).map_err(|error| Failure::Usage(error.to_string()))?;
        let request = PullRequest {
            root: crate::settings::root(&session.global),
            image,
            rootfs: arguments.rootfs,
            cluster: arguments.cluster,
            carried_images: arguments.carried_images,
            platform: None,
            platforms: arguments.platforms,
            from: arguments.from,
            ca: arguments.ca,
            login: arguments.login,
        };
        Ok(pull_over_stdio(&request, tokio::io::join(tokio::io::stdin(), tokio::io::stdout())).await?)
    }
}

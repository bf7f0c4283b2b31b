//! `sealer scale-up`: add hosts to a cluster.

use std::path::PathBuf;

use clap::Args;
use sealer_core::{ScaleRequest, current, scale_up};

use crate::commands::apply;
use crate::commands::change::ChangeArguments;
use crate::commands::login::LoginArguments;
use crate::commands::old_cluster_flags::OldClusterFlags;
use crate::commands::pairs::listed;
use crate::exit::Failure;
use crate::settings::{CloudArguments, EndpointArguments, RegistryArguments, Session};

/// Add hosts to a cluster
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer scale-up --nodes 192.168.0.5,192.168.0.6 -p\n  sealer scale-up -c my-cluster --masters 2 --nodes 1"
)]
pub(crate) struct ScaleUp {
    /// Masters: addresses (comma separated, ranges a-b), or how many more a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT", required_unless_present = "nodes")]
    masters: Option<String>,
    /// Nodes: addresses (comma separated, ranges a-b), or how many more a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    nodes: Option<String>,
    /// Name of the cluster [default: the only one]
    #[arg(short = 'c', long = "cluster", visible_alias = "cluster-name", value_name = "NAME", conflicts_with = "file")]
    cluster: Option<String>,
    /// Clusterfile of the cluster
    #[arg(short = 'f', long = "Clusterfile", visible_alias = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Environment of the image's scripts and commands
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    env: Vec<String>,
    #[command(flatten)]
    endpoints: EndpointArguments,
    #[command(flatten)]
    login: LoginArguments,
    #[command(flatten)]
    change: ChangeArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    /// Print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    old: OldClusterFlags,
}

impl ScaleUp {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        self.old.check(&session.printer)?;
        let cloud = CloudArguments { endpoints: self.endpoints, ..CloudArguments::default() };
        let open = |image| session.open_with_cloud(&cloud, self.login.host_keys, &self.registry, image);
        let file = self.file.as_deref().map(apply::read).transpose()?;
        let mut sealer = open(None)?;
        let known = current(&sealer, self.cluster.as_deref(), file)?;
        if self.registry.skips_verification() {
            sealer = open(Some(&known.cluster.image))?;
        }
        let known = apply::renewed(&sealer, known, &self.change, session).await?;
        let mut request = ScaleRequest::new(self.masters.as_deref(), self.nodes.as_deref());
        request.env = listed(&self.env);
        // Before anybody is asked for a password.
        scale_up(&known, &request)?;
        request.login = self.login.login(&known.cluster.ssh.user, "the new hosts")?;
        apply::perform(&sealer, scale_up(&known, &request)?, self.dry_run, &self.change, session).await
    }
}

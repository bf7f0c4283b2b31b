//! `sealer delete`: delete a cluster.

use std::path::PathBuf;

use clap::Args;
use sealer_core::{DeleteOptions, delete};

use crate::arguments::OutputFormat;
use crate::commands::apply;
use crate::commands::login::HostKeyArguments;
use crate::exit::Failure;
use crate::settings::{CloudArguments, EndpointArguments, Session};

/// Delete a cluster and everything that was made for it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer delete -c my-cluster\n  sealer delete -f ~/.sealer/my-cluster/Clusterfile\n  sealer delete -c my-cluster --provider ALI_CLOUD --region cn-hangzhou"
)]
pub(crate) struct Delete {
    /// Name of the cluster
    #[arg(short = 'c', long = "cluster", value_name = "NAME", conflicts_with_all = ["file", "all"], required_unless_present_any = ["file", "all"])]
    cluster: Option<String>,
    /// Clusterfile of the cluster
    #[arg(short = 'f', long = "Clusterfile", visible_alias = "file", value_name = "FILE", conflicts_with = "all")]
    file: Option<PathBuf>,
    /// Every cluster of this user
    #[arg(short, long)]
    all: bool,
    /// Do not stop at hosts that cannot be reached
    #[arg(long)]
    force: bool,
    /// Find by this provider what nothing is remembered of: ALI_CLOUD
    #[arg(long, value_name = "NAME", requires = "cluster")]
    provider: Option<String>,
    /// Region to look in with --provider [default: the variable RegionID, else cn-chengdu]
    #[arg(long, value_name = "REGION", requires = "provider")]
    region: Option<String>,
    #[command(flatten)]
    endpoints: EndpointArguments,
    #[command(flatten)]
    host_keys: HostKeyArguments,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Delete {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let cloud =
            CloudArguments { region: self.region.clone(), endpoints: self.endpoints, ..CloudArguments::default() };
        let sealer = session.open_with_cloud(&cloud, self.host_keys)?;
        let provider = self.provider.as_deref().map(|given| sealer.provider_name(given)).transpose()?;
        let names = match (&self.cluster, &self.file) {
            (Some(name), _) => vec![name.clone()],
            (None, Some(file)) => vec![apply::read(file)?.cluster.name],
            (None, None) => sealer.state().clusters()?,
        };
        let mut deleted = Vec::new();
        let mut failure = None;
        for name in names {
            let options = DeleteOptions { force: self.force, provider: provider.clone(), ..DeleteOptions::default() };
            let progress = session.printer.cluster_progress();
            let interrupts = progress.cancel_on_interrupt(options.apply.cancel.clone());
            let done = delete(&sealer, &name, &options, &|event| progress.event(&event)).await;
            interrupts.abort();
            progress.finish();
            match done {
                Ok(done) => deleted.push(done),
                Err(error) => {
                    failure = Some(error.into());
                    break;
                }
            }
        }
        // What is gone is told also when another could not be deleted.
        if failure.is_none() || !deleted.is_empty() {
            session.printer.deleted(&deleted)?;
        }
        failure.map_or(Ok(()), Err)
    }
}

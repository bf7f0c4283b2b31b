//! `sealer delete`: delete a cluster, or take hosts out of it.

use std::path::PathBuf;

use clap::Args;
use sealer_core::{DeleteOptions, ScaleRequest, Sealer, current, delete, plan_delete, scale_down};

use crate::commands::apply;
use crate::commands::change::ChangeArguments;
use crate::commands::clean_host::HostArguments;
use crate::commands::login::HostKeyArguments;
use crate::commands::pairs::listed;
use crate::exit::Failure;
use crate::settings::{CloudArguments, EndpointArguments, RegistryArguments, Session};

/// Delete a cluster and everything that was made for it, or take single hosts out of it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer delete -c my-cluster\n  sealer delete -c my-cluster --nodes 192.168.0.4\n  sealer delete -f ~/.sealer/my-cluster/Clusterfile\n  sealer delete --host 192.168.0.4\n  sealer delete -c my-cluster --provider ALI_CLOUD --region cn-hangzhou"
)]
pub(crate) struct Delete {
    /// Name of the cluster [default with --masters or --nodes: the only one]
    #[arg(short = 'c', long = "cluster", visible_alias = "cluster-name", value_name = "NAME", conflicts_with_all = ["file", "all"], required_unless_present_any = ["file", "all", "masters", "nodes", "host"])]
    cluster: Option<String>,
    /// Clusterfile of the cluster
    #[arg(short = 'f', long = "Clusterfile", visible_alias = "file", value_name = "FILE", conflicts_with = "all")]
    file: Option<PathBuf>,
    /// Every cluster of this user
    #[arg(short, long)]
    all: bool,
    /// Only these masters: addresses (comma separated, ranges a-b), or how many fewer a provider shall keep
    #[arg(short, long, value_name = "ADDRESSES|COUNT", conflicts_with = "all")]
    masters: Option<String>,
    /// Only these nodes: addresses (comma separated, ranges a-b), or how many fewer a provider shall keep
    #[arg(short, long, value_name = "ADDRESSES|COUNT", conflicts_with = "all")]
    nodes: Option<String>,
    /// Remove the cluster's data too; this is done in any case, the option is upstream's
    #[arg(short, long, value_name = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    prune: Option<bool>,
    /// Variables for the plugins that clean hosts; with --masters or --nodes they become the cluster's
    #[arg(short, long, value_name = "KEY=VALUE", conflicts_with = "host")]
    env: Vec<String>,
    #[command(flatten)]
    host: HostArguments,
    #[command(flatten)]
    change: ChangeArguments,
    /// Print what would be done; change nothing
    #[arg(long, conflicts_with = "host")]
    dry_run: bool,
    /// Find by this provider what nothing is remembered of: ALI_CLOUD
    #[arg(long, value_name = "NAME", requires = "cluster", conflicts_with_all = ["masters", "nodes"])]
    provider: Option<String>,
    /// Region to look in with --provider [default: the variable RegionID, else cn-chengdu]
    #[arg(long, value_name = "REGION", requires = "provider")]
    region: Option<String>,
    #[command(flatten)]
    endpoints: EndpointArguments,
    #[command(flatten)]
    host_keys: HostKeyArguments,
}

impl Delete {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let cloud =
            CloudArguments { region: self.region.clone(), endpoints: self.endpoints, ..CloudArguments::default() };
        let sealer = session.open_with_cloud(&cloud, self.host_keys, &RegistryArguments::default(), None)?;
        if self.prune == Some(false) {
            let reason = "--prune=false: hosts are left as they were before the cluster, so its data goes too";
            return Err(Failure::Usage(reason.to_owned()));
        }
        if let Some(address) = self.host.host {
            return self.host.clean(&sealer, address, &self.change, self.host_keys, session).await;
        }
        let file = self.file.as_deref().map(apply::read).transpose()?;
        if self.masters.is_some() || self.nodes.is_some() {
            let known = current(&sealer, self.cluster.as_deref(), file)?;
            let known = apply::renewed(&sealer, known, &self.change, session).await?;
            let mut request = ScaleRequest::new(self.masters.as_deref(), self.nodes.as_deref());
            request.env = listed(&self.env);
            let fewer = scale_down(&known, &request)?;
            return apply::perform(&sealer, fewer, self.dry_run, &self.change, session).await;
        }
        let names = match (&self.cluster, file) {
            (Some(name), _) => vec![name.clone()],
            (None, Some(file)) => vec![file.cluster.name],
            (None, None) => sealer.state().clusters()?,
        };
        self.all_of(&sealer, &names, session).await
    }

    /// Deletes whole clusters.
    async fn all_of(&self, sealer: &Sealer, names: &[String], session: &Session<'_>) -> Result<(), Failure> {
        let provider = self.provider.as_deref().map(|given| sealer.provider_name(given)).transpose()?;
        let mut deleted = Vec::new();
        let mut failure = None;
        for name in names {
            let progress = session.printer.cluster_progress();
            let options = DeleteOptions {
                provider: provider.clone(),
                apply: self.change.options(&progress),
                env: listed(&self.env),
            };
            if self.dry_run {
                let planned = plan_delete(sealer, name, &options, &|event| progress.event(&event)).await;
                progress.finish();
                session.printer.planned(&planned?)?;
                continue;
            }
            let interrupts = progress.cancel_on_interrupt(options.apply.cancel.clone());
            let done = delete(sealer, name, &options, &|event| progress.event(&event)).await;
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
        if !self.dry_run && (failure.is_none() || !deleted.is_empty()) {
            session.printer.deleted(&deleted)?;
        }
        failure.map_or(Ok(()), Err)
    }
}

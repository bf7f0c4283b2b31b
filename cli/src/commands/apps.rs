//! `sealer apps`: what runs on a cluster, and removing it again.

use clap::{Args, Subcommand};
use sealer_core::{RemoveApplication, applications, current, plan_removal, remove_application};

use crate::commands::apply::report_plan;
use crate::commands::change::ChangeArguments;
use crate::commands::login::LoginArguments;
use crate::exit::Failure;
use crate::settings::{CloudArguments, RegistryArguments, Session};

/// List what the images of a cluster launched on it, or remove it again
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  sealer apps\n  sealer apps -c my-cluster -o json\n  sealer apps rm -c my-cluster shop:1.4"
)]
pub(crate) struct Apps {
    /// Name of the cluster [default: the only one]
    #[arg(short = 'c', long = "cluster", visible_alias = "cluster-name", value_name = "NAME")]
    cluster: Option<String>,
    #[command(subcommand)]
    command: Option<AppsCommand>,
}

#[derive(Debug, Subcommand)]
enum AppsCommand {
    /// Remove an application, or all that an image launched
    ///
    /// What charts and manifests brought is uninstalled and deleted; for anything else, --cmds says how.
    #[command(after_help = "Examples:\n  sealer apps rm shop:1.4\n  sealer apps rm redis --cmds ./uninstall-redis.sh")]
    Rm(Box<Remove>),
}

#[derive(Debug, Args)]
struct Remove {
    /// The application, or the image
    #[arg(value_name = "NAME")]
    name: String,
    /// Name of the cluster [default: the only one]
    #[arg(short = 'c', long = "cluster", visible_alias = "cluster-name", value_name = "NAME")]
    cluster: Option<String>,
    /// A command that removes it, in place of those that are known; runs in the image's rootfs on a master
    #[arg(long = "cmds", value_name = "COMMAND")]
    commands: Vec<String>,
    #[command(flatten)]
    login: LoginArguments,
    #[command(flatten)]
    change: ChangeArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    /// Print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apps {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self.command {
            Some(AppsCommand::Rm(remove)) => remove.run(session).await,
            None => session.printer.applications(&applications(&session.open()?, self.cluster.as_deref())?),
        }
    }
}

impl Remove {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open_with_cloud(&CloudArguments::default(), self.login.host_keys, &self.registry, None)?;
        let mut request = RemoveApplication::new(&self.name);
        request.cluster.clone_from(&self.cluster);
        request.commands.clone_from(&self.commands);
        let known = current(&sealer, self.cluster.as_deref(), None)?.cluster;
        request.login = self.login.login(&known.ssh.user, "the hosts of the cluster")?;
        let progress = session.printer.cluster_progress();
        let options = self.change.options(&progress);
        let tell = |event| progress.event(&event);
        if self.dry_run {
            let planned = plan_removal(&sealer, &request, &options, &tell).await;
            progress.finish();
            return report_plan(planned?, session);
        }
        let interrupts = progress.cancel_on_interrupt(options.cancel.clone());
        let removed = remove_application(&sealer, &request, &options, &tell).await;
        interrupts.abort();
        progress.finish();
        session.printer.removed_application(&self.name, &removed?)
    }
}

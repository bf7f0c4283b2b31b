//! `sealer run`: from an image and a few flags to a cluster.

use std::path::{Path, PathBuf};

use clap::Args;
use sealer_core::{Error, RunRequest, wanted};

use crate::commands::apply;
use crate::commands::change::ChangeArguments;
use crate::commands::confirm;
use crate::commands::login::LoginArguments;
use crate::commands::old_cluster_flags::OldClusterFlags;
use crate::commands::pairs::{listed, listed_pairs};
use crate::exit::Failure;
use crate::settings::{CloudArguments, RegistryArguments, Session};

/// Run images: make a cluster on hosts that you name or that a provider makes, add hosts to it, or launch applications on it
///
/// A cluster that exists gets the hosts that it lacks; hosts that are not named stay. An image without a Kubernetes of its
/// own is launched on a cluster that exists.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer run kubernetes:v1.20.2 -m 192.168.0.2 -n 192.168.0.3,192.168.0.4 -p\n  sealer run kubernetes:v1.20.2 --provider CONTAINER --masters 1 --nodes 1\n  sealer run kubernetes:v1.20.2 --masters 1 --nodes 3 --region cn-hangzhou\n  sealer run -c my-cluster shop:1.4 monitoring:2.0"
)]
pub(crate) struct Run {
    /// The image, and application images to launch after it, in this order
    #[arg(value_name = "IMAGE", required_unless_present = "file")]
    images: Vec<String>,
    /// Clusterfile of the cluster: `sealer apply` with an image of your choice
    #[arg(short = 'f', long = "Clusterfile", visible_alias = "file", value_name = "FILE", conflicts_with_all = ["interface", "podcidr", "svccidr", "cluster_name", "cmd_args", "provider", "apps", "commands"])]
    file: Option<PathBuf>,
    /// Masters: addresses (comma separated, ranges a-b), or how many a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    masters: Option<String>,
    /// Nodes: addresses (comma separated, ranges a-b), or how many a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    nodes: Option<String>,
    /// Network interface that the cluster uses on every host
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
    /// Address range of pods
    #[arg(long, value_name = "CIDR")]
    podcidr: Option<String>,
    /// Address range of services
    #[arg(long, value_name = "CIDR")]
    svccidr: Option<String>,
    /// Name of the cluster [default: my-cluster; for application images the only one]
    #[arg(short = 'c', long, visible_alias = "cluster", value_name = "NAME")]
    cluster_name: Option<String>,
    /// Applications to launch, in this order, in place of those that the image does (comma separated)
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "commands")]
    apps: Vec<String>,
    /// A command to launch in place of everything that the image does
    #[arg(long = "cmds", value_name = "COMMAND")]
    commands: Vec<String>,
    /// Value of an ARG in the image's launch commands
    #[arg(long = "cmd-args", value_name = "KEY=VALUE")]
    cmd_args: Vec<String>,
    /// Environment of the image's scripts and commands
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Who gives the hosts: BAREMETAL, CONTAINER, ALI_CLOUD [default: the image's, else BAREMETAL for addresses and ALI_CLOUD for counts]
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    cloud: CloudArguments,
    #[command(flatten)]
    login: LoginArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    change: ChangeArguments,
    /// Print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    old: OldClusterFlags,
}

impl Run {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        self.old.check(&session.printer)?;
        if let Some(file) = &self.file {
            return self.by_file(file, session).await;
        }
        let [first, others @ ..] = &self.images[..] else { return Ok(()) };
        if !(others.is_empty() || self.apps.is_empty() && self.commands.is_empty()) {
            let reason = "--apps and --cmds are about one image: run the images one after another";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let request = self.request(first)?;
        let (cluster, is_there) = self.run_image(request.clone(), session).await?;
        if !is_there && !others.is_empty() {
            session.printer.warn(&format!(
                "cluster {cluster} is not there yet: what {} would do can be told once it is",
                others.join(" and ")
            ));
            return Ok(());
        }
        for image in others {
            self.run_image(request.for_application(image, &cluster), session).await?;
        }
        Ok(())
    }

    /// Runs one image; gives the name of its cluster, and whether that is known here.
    async fn run_image(&self, mut request: RunRequest, session: &Session<'_>) -> Result<(String, bool), Failure> {
        let image = Some(request.image.as_str());
        let sealer = session.open_with_cloud(&self.cloud, self.login.host_keys, &self.registry, image)?;
        // A dry run makes no machines.
        request.accept_provider |= self.dry_run;
        request.only_to_plan = self.dry_run;
        let progress = session.printer.cluster_progress();
        let tell = |event| progress.event(&event);
        let made = wanted(&sealer, request.clone(), &tell).await;
        progress.finish();
        let mut wanted = match made {
            Err(refused @ Error::ProviderOfImage { .. }) if confirm::asked(&refused) => {
                request.accept_provider = true;
                wanted(&sealer, request, &tell).await?
            }
            wanted => wanted?,
        };
        self.cloud.overlay(&mut wanted.clusterfile.cluster);
        self.login.overlay(&mut wanted.clusterfile.cluster)?;
        let cluster = wanted.clusterfile.cluster.name.clone();
        apply::perform(&sealer, wanted, self.dry_run, &self.change, session).await?;
        let is_known = sealer.state().clusterfile(&cluster)?.is_some();
        Ok((cluster, is_known))
    }

    /// What apply does, with the image that is named here, if one is.
    async fn by_file(&self, file: &Path, session: &Session<'_>) -> Result<(), Failure> {
        let mut wanted = apply::wanted(file, [&self.masters, &self.nodes], &self.env, session)?.0;
        match &self.images[..] {
            [] => {}
            [image] => wanted.cluster.image.clone_from(image),
            _ => return Err(Failure::Usage("a Clusterfile is of one image: run others after it".to_owned())),
        }
        let image = Some(wanted.cluster.image.as_str());
        let sealer = session.open_with_cloud(&self.cloud, self.login.host_keys, &self.registry, image)?;
        self.cloud.overlay(&mut wanted.cluster);
        self.login.overlay(&mut wanted.cluster)?;
        apply::perform(&sealer, wanted, self.dry_run, &self.change, session).await
    }

    fn request(&self, image: &str) -> Result<RunRequest, Failure> {
        let mut request = RunRequest::new(image);
        request.apps.clone_from(&self.apps);
        request.commands.clone_from(&self.commands);
        request.masters.clone_from(&self.masters);
        request.nodes.clone_from(&self.nodes);
        request.interface.clone_from(&self.interface);
        request.pod_cidr.clone_from(&self.podcidr);
        request.service_cidr.clone_from(&self.svccidr);
        request.cluster_name.clone_from(&self.cluster_name);
        request.command_args = listed_pairs("--cmd-args", &self.cmd_args)?;
        request.env = listed(&self.env);
        request.provider.clone_from(&self.provider);
        request.accept_provider = self.change.yes;
        Ok(request)
    }
}

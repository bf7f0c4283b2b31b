//! `sealer apply`: make a cluster match its Clusterfile.

use std::path::PathBuf;

use clap::Args;
use sealer_core::clusterfile::{self, Clusterfile};
use sealer_core::{Error, Planned, ScaleRequest, Sealer, Wanted, apply, check, newest, plan, with_arguments};

use crate::commands::change::ChangeArguments;
use crate::commands::login::LoginArguments;
use crate::commands::old_cluster_flags::OldClusterFlags;
use crate::commands::pairs::listed;
use crate::exit::Failure;
use crate::settings::{self, CloudArguments, RegistryArguments, Session};

/// A Clusterfile is never larger than this.
const CLUSTERFILE_LIMIT: u64 = 1 << 20;

/// Make a cluster match its Clusterfile
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer apply -f Clusterfile\n  sealer apply -f Clusterfile --dry-run\n  sealer apply -f Clusterfile --nodes 192.168.0.5 -e Stage=test"
)]
pub(crate) struct Apply {
    /// The Clusterfile
    #[arg(
        short = 'f',
        long = "Clusterfile",
        visible_alias = "file",
        value_name = "FILE",
        default_value = "Clusterfile"
    )]
    file: PathBuf,
    /// Masters besides those of the file: addresses (comma separated, ranges a-b); or how many, instead of its count
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    masters: Option<String>,
    /// Nodes besides those of the file: addresses (comma separated, ranges a-b); or how many, instead of its count
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    nodes: Option<String>,
    /// Environment of the image's scripts and commands
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only check the Clusterfile: ask no host, open no store
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    #[command(flatten)]
    cloud: CloudArguments,
    #[command(flatten)]
    login: LoginArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    change: ChangeArguments,
    #[command(flatten)]
    old: OldClusterFlags,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        self.old.check(&session.printer)?;
        let (mut clusterfile, remarks) = wanted(&self.file, [&self.masters, &self.nodes], &self.env, session)?;
        if self.check {
            check(&clusterfile)?;
            return session.printer.checked(&self.file, &clusterfile, &remarks);
        }
        let image = Some(clusterfile.cluster.image.as_str());
        let sealer = session.open_with_cloud(&self.cloud, self.login.host_keys, &self.registry, image)?;
        self.cloud.overlay(&mut clusterfile.cluster);
        self.login.overlay(&mut clusterfile.cluster)?;
        perform(&sealer, clusterfile, self.dry_run, &self.change, session).await
    }
}

/// What a Clusterfile and the arguments beside it ask for, and what was remarked about the file.
pub(crate) fn wanted(
    file: &std::path::Path,
    [masters, nodes]: [&Option<String>; 2],
    env: &[String],
    session: &Session<'_>,
) -> Result<(Clusterfile, Vec<String>), Failure> {
    let mut request = ScaleRequest::new(masters.as_deref(), nodes.as_deref());
    request.env = listed(env);
    let (written, remarks) = read_with_remarks(file)?;
    remarks.iter().for_each(|remark| session.printer.warn(remark));
    Ok((with_arguments(&written, &request)?, remarks))
}

/// Applies a Clusterfile, or prints what that would do.
pub(crate) async fn perform(
    sealer: &Sealer,
    wanted: impl Into<Wanted>,
    dry_run: bool,
    change: &ChangeArguments,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let progress = session.printer.cluster_progress();
    let options = change.options(&progress);
    if dry_run {
        let planned = plan(sealer, wanted, &options, &|event| progress.event(&event)).await;
        progress.finish();
        return report_plan(planned?, session);
    }
    let interrupts = progress.cancel_on_interrupt(options.cancel.clone());
    let applied = apply(sealer, wanted, &options, &|event| progress.event(&event)).await;
    interrupts.abort();
    progress.finish();
    let applied = applied?;
    session.printer.applied(&applied)?;
    if applied.unreachable.is_empty() { Ok(()) } else { Err(Failure::LeftOut(applied.unreachable)) }
}

/// Prints a plan, and fails for what stands in its way.
pub(crate) fn report_plan(planned: Planned, session: &Session<'_>) -> Result<(), Failure> {
    session.printer.planned(&planned)?;
    match (planned.refused, planned.findings) {
        (Some(refused), _) => Err(Error::from(refused).into()),
        (None, findings) if findings.is_empty() => Ok(()),
        (None, findings) => Err(Error::Preflight(findings).into()),
    }
}

/// The cluster as it keeps itself, when that is newer than what is remembered here: somebody else may have changed it.
pub(crate) async fn renewed(
    sealer: &Sealer,
    known: Clusterfile,
    change: &ChangeArguments,
    session: &Session<'_>,
) -> Result<Clusterfile, Failure> {
    let progress = session.printer.cluster_progress();
    let options = change.options(&progress);
    let interrupts = progress.cancel_on_interrupt(options.cancel.clone());
    let newest = newest(sealer, known, &options, &|event| progress.event(&event)).await;
    interrupts.abort();
    progress.finish();
    Ok(newest?)
}

/// Reads and parses a Clusterfile; errors keep its text.
pub(crate) fn read(path: &std::path::Path) -> Result<Clusterfile, Failure> {
    Ok(read_with_remarks(path)?.0)
}

fn read_with_remarks(path: &std::path::Path) -> Result<(Clusterfile, Vec<String>), Failure> {
    let file = path.display().to_string();
    let failed = |source| Failure::Input { path: file.clone(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > CLUSTERFILE_LIMIT {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let parsed = clusterfile::parse_with_remarks(&text);
    let (clusterfile, remarks) = parsed.map_err(|errors| Failure::Clusterfile { file, text, errors })?;
    Ok((at_home(clusterfile), remarks))
}

/// Keys whose path begins with `~` are looked for at home, as a shell would.
fn at_home(mut clusterfile: Clusterfile) -> Clusterfile {
    let cluster = &mut clusterfile.cluster;
    let hosts = cluster.hosts.iter_mut().map(|host| &mut host.ssh);
    for key in std::iter::once(&mut cluster.ssh).chain(hosts).flat_map(clusterfile::Ssh::key_paths_mut) {
        *key = settings::expand_home(std::path::Path::new(key)).display().to_string();
    }
    clusterfile
}

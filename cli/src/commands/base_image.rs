//! `sealer base-image`: recipes of base images, as build contexts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealer_core::Error;
use sealer_core::cloudimage::{BaseImageOptions, base_image_versions, write_base_image};

use crate::exit::Failure;
use crate::settings::Session;

/// Write the build context of a base image: Kubernetes from official files with checksums
#[derive(Debug, Args)]
pub(crate) struct BaseImage {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the versions of Kubernetes of which every checksum is known
    #[command(after_help = "Examples:\n  sealer base-image list\n  sealer base-image list -o json")]
    List,
    /// Write the build context of a base image, for `sealer build`
    #[command(
        after_help = "Examples:\n  sealer base-image write kube\n  sealer base-image write kube --version 1.31 --arch arm64 --cni calico"
    )]
    Write(Write),
}

#[derive(Debug, Args)]
struct Write {
    /// The directory, empty or not there yet
    directory: PathBuf,
    /// Kubernetes: v1.31.4, or 1.31 for the newest of it [default: the newest]
    #[arg(long)]
    version: Option<String>,
    /// The processor: amd64 or arm64 [default: this machine's]
    #[arg(long)]
    arch: Option<String>,
    /// The container engine: containerd, or one version of it such as containerd:2.2.7
    #[arg(long, default_value = "containerd")]
    engine: String,
    /// The network plugin: flannel, calico or none
    #[arg(long, default_value = "flannel")]
    cni: String,
    /// Who manages control groups: systemd, or cgroupfs for hosts where systemd cannot
    #[arg(long, value_name = "DRIVER", default_value = "systemd")]
    cgroup_driver: String,
}

impl BaseImage {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self.command {
            Action::List => list(session),
            Action::Write(write) => write.run(session),
        }
    }
}

fn list(session: &Session<'_>) -> Result<(), Failure> {
    let all = base_image_versions();
    let mut lines = vec!["KUBERNETES            ARCHITECTURES  CONTAINERD  FLANNEL  CALICO".to_owned()];
    for minor in &all {
        let (first, last) = (minor.versions.first(), minor.versions.last());
        let patch = |version: Option<&String>| {
            version.map_or("", |version| version.rsplit('.').next().unwrap_or_default()).to_owned()
        };
        let versions = format!("v{}.{} to {}", minor.minor, patch(first), patch(last));
        let architectures = minor.architectures.join(", ");
        lines.push(format!(
            "{versions:<21} {architectures:<14} {:<11} {:<8} {}",
            minor.containerd, minor.flannel, minor.calico
        ));
    }
    session.printer.done(&lines.join("\n"), &all)
}

impl Write {
    fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let machine = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        let options = BaseImageOptions {
            version: self.version,
            arch: self.arch.unwrap_or_else(|| machine.to_owned()),
            engine: self.engine,
            cni: self.cni,
            cgroup_driver: self.cgroup_driver,
        };
        let written = write_base_image(&options, &self.directory).map_err(Error::from)?;
        let platform =
            if options.arch == machine { String::new() } else { format!("--platform linux/{} ", options.arch) };
        let (version, directory) = (&written.version, self.directory.display());
        let what =
            format!("Kubernetes {version} for {}, containerd {}, {}", options.arch, written.containerd, written.cni);
        let next = format!("sealer build {platform}-t kubernetes:{version} {directory}");
        session.printer.done(&format!("{what}\n  next: {next}"), &written)
    }
}

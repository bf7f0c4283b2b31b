//! `sealer run`: from an image and a few flags to a cluster.

use std::path::PathBuf;

use clap::Args;
use sealer_core::clusterfile::Secret;
use sealer_core::{RunRequest, wanted};

use crate::arguments::OutputFormat;
use crate::commands::apply;
use crate::commands::build::pairs;
use crate::exit::Failure;
use crate::settings::{self, RegistryArguments, Session};

/// A password file is never larger than this.
const PASSWORD_LIMIT: u64 = 4096;

/// Run a cluster image: make a cluster on hosts that you name or that a provider makes
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer run kubernetes:v1.20.2 -m 192.168.0.2 -n 192.168.0.3,192.168.0.4 -p\n  sealer run kubernetes:v1.20.2 --provider CONTAINER --masters 1 --nodes 1"
)]
pub(crate) struct Run {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Masters: addresses (comma separated, ranges a-b), or how many a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    masters: Option<String>,
    /// Nodes: addresses (comma separated, ranges a-b), or how many a provider shall make
    #[arg(short, long, value_name = "ADDRESSES|COUNT")]
    nodes: Option<String>,
    /// User on the hosts; another than root needs sudo
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Password of that user; without a value it is asked for
    ///
    /// Other users of this machine can see arguments: prefer to be asked, --passwd-file, or the variable SEALER_PASSWORD.
    #[arg(short, long, value_name = "PASSWORD", num_args = 0..=1, default_missing_value = "")]
    passwd: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE", conflicts_with = "passwd")]
    passwd_file: Option<PathBuf>,
    /// Private key for the hosts [default: the agent's keys and ~/.ssh/id_*]
    #[arg(long, value_name = "FILE")]
    pk: Option<PathBuf>,
    /// Passphrase of the private key; without a value it is asked for
    #[arg(long, value_name = "PASSPHRASE", num_args = 0..=1, default_missing_value = "")]
    pk_passwd: Option<String>,
    /// SSH port of the hosts
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Network interface that the cluster uses on every host
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
    /// Address range of pods
    #[arg(long, value_name = "CIDR")]
    podcidr: Option<String>,
    /// Address range of services
    #[arg(long, value_name = "CIDR")]
    svccidr: Option<String>,
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Value of an ARG in the image's launch commands
    #[arg(long = "cmd-args", value_name = "KEY=VALUE")]
    cmd_args: Vec<String>,
    /// Environment of the image's scripts and commands
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Who gives the hosts: BAREMETAL (addresses), CONTAINER, ALI_CLOUD
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Run {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open(&RegistryArguments::default())?;
        let clusterfile = wanted(&sealer, self.request()?)?;
        apply::perform(&sealer, clusterfile, self.dry_run, session).await
    }

    fn request(&self) -> Result<RunRequest, Failure> {
        let mut request = RunRequest::new(&self.image);
        request.masters.clone_from(&self.masters);
        request.nodes.clone_from(&self.nodes);
        request.user.clone_from(&self.user);
        request.password = self.password()?;
        request.private_key = self.pk.as_deref().map(settings::expand_home).map(|path| path.display().to_string());
        request.private_key_password = match self.pk_passwd.as_deref() {
            Some("") => Some(ask("Passphrase of the private key")?),
            given => given.map(|text| Secret::from(text.to_owned())),
        };
        request.port = self.port;
        request.interface.clone_from(&self.interface);
        request.pod_cidr.clone_from(&self.podcidr);
        request.service_cidr.clone_from(&self.svccidr);
        request.cluster_name.clone_from(&self.cluster_name);
        request.command_args = pairs("--cmd-args", &self.cmd_args)?;
        request.env = self.env.clone();
        request.provider.clone_from(&self.provider);
        Ok(request)
    }

    fn password(&self) -> Result<Option<Secret>, Failure> {
        if let Some(file) = &self.passwd_file {
            let failed = |source| Failure::File { act: "read", path: file.display().to_string(), source };
            if std::fs::metadata(file).map_err(failed)?.len() > PASSWORD_LIMIT {
                return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 4 KiB")));
            }
            let text = std::fs::read_to_string(file).map_err(failed)?;
            return Ok(Some(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned())));
        }
        match self.passwd.as_deref() {
            Some("") => match settings::password() {
                Some(password) => Ok(Some(Secret::from(password))),
                None => ask(&format!("Password for {}", self.user.as_deref().unwrap_or("root"))).map(Some),
            },
            Some(given) => Ok(Some(Secret::from(given.to_owned()))),
            None => Ok(settings::password().map(Secret::from)),
        }
    }
}

/// Asks on the terminal, without showing what is typed.
fn ask(what: &str) -> Result<Secret, Failure> {
    let term = console::Term::stderr();
    if !term.is_term() {
        return Err(Failure::Usage(format!(
            "cannot ask for the {}: standard error is not a terminal",
            what.to_lowercase()
        )));
    }
    let failed = |source| Failure::File { act: "read", path: "the terminal".to_owned(), source };
    term.write_str(&format!("{what}: ")).map_err(failed)?;
    term.read_secure_line().map(Secret::from).map_err(failed)
}

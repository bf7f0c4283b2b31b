//! Options for logging in on hosts; secrets are asked for or read from files, not shown.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use sealer_core::Login;
use sealer_core::clusterfile::{self, Cluster, Secret};
use sealer_core::remote::StrictHostKey;

use crate::exit::Failure;
use crate::settings;

/// A password file is never larger than this.
const PASSWORD_LIMIT: u64 = 4096;
/// How to give a password where nobody can be asked.
const INSTEAD: &str = "use --passwd-file or SEALER_PASSWORD";

/// How the keys of hosts are checked.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HostKeyArguments {
    /// Whether hosts whose key is not known are refused (yes), accepted and recorded (accept-new), or accepted even with another key than the known one, then without any password (no)
    #[arg(long, value_name = "yes|accept-new|no", default_value = "accept-new")]
    pub(crate) strict_host_key: StrictHostKey,
}

/// How to log in on the hosts.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
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
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    #[command(flatten)]
    pub(crate) host_keys: HostKeyArguments,
}

impl LoginArguments {
    /// A login without secrets among the arguments.
    pub(crate) fn of(
        user: Option<String>,
        passwd_file: Option<PathBuf>,
        pk: Option<PathBuf>,
        port: Option<u16>,
        host_keys: HostKeyArguments,
    ) -> Self {
        Self { user, passwd: None, passwd_file, pk, pk_passwd: None, port, host_keys }
    }

    /// Says it to a cluster; asks for what shall be asked for.
    pub(crate) fn overlay(&self, cluster: &mut Cluster) -> Result<(), Failure> {
        let count = cluster.hosts.len();
        let hosts = if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") };
        self.login(&cluster.ssh.user, &hosts)?.overlay(cluster);
        expand_keys(cluster);
        Ok(())
    }

    /// How to log in on `hosts`, as `user` unless another is named; asks for what shall be asked for.
    pub(crate) fn login(&self, user: &str, hosts: &str) -> Result<Login, Failure> {
        let whole = |path: &Path| settings::expand_home(path).display().to_string();
        Ok(Login {
            user: self.user.clone(),
            private_key: self.pk.as_deref().map(whole),
            port: self.port,
            password: self.password(self.user.as_deref().unwrap_or(user), hosts)?,
            private_key_password: match self.pk_passwd.as_deref() {
                Some("") => Some(ask("Passphrase of the private key", INSTEAD)?),
                given => given.map(|text| Secret::from(text.to_owned())),
            },
        })
    }

    fn password(&self, user: &str, hosts: &str) -> Result<Option<Secret>, Failure> {
        if let Some(file) = &self.passwd_file {
            return password_in(file, PASSWORD_LIMIT).map(Some);
        }
        let known = settings::password().map(Secret::from);
        match self.passwd.as_deref() {
            Some("") if known.is_none() => ask(&format!("Password for {user} on {hosts}"), INSTEAD).map(Some),
            Some("") | None => Ok(known),
            Some(given) => Ok(Some(Secret::from(given.to_owned()))),
        }
    }
}

/// Clusterfiles name keys as in a shell: `~/.ssh/id_rsa`.
fn expand_keys(cluster: &mut Cluster) {
    let hosts = cluster.hosts.iter_mut().map(|host| &mut host.ssh);
    for key in std::iter::once(&mut cluster.ssh).chain(hosts).flat_map(clusterfile::Ssh::key_paths_mut) {
        *key = settings::expand_home(Path::new(key)).display().to_string();
    }
}

/// The password in a file of at most `limit` bytes.
pub(crate) fn password_in(file: &Path, limit: u64) -> Result<Secret, Failure> {
    let failed = |source| Failure::Input { path: file.display().to_string(), source };
    let text = atomic_file::read_text(file, limit).map_err(failed)?;
    let text = Secret::from(text.ok_or_else(|| failed(ErrorKind::NotFound.into()))?);
    Ok(Secret::from(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
}

/// Asks on the terminal, without showing what is typed; `instead` says what to do where there is none.
pub(crate) fn ask(what: &str, instead: &str) -> Result<Secret, Failure> {
    let term = console::Term::stderr();
    if !term.is_term() {
        let what = format!("{}{}", what[..1].to_lowercase(), &what[1..]);
        return Err(Failure::Usage(format!("cannot ask for the {what}: standard error is not a terminal; {instead}")));
    }
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::Interrupted => Failure::Interrupted("done"),
        _ => Failure::Input { path: "the terminal".to_owned(), source },
    };
    term.write_str(&format!("{what}: ")).map_err(failed)?;
    term.read_secure_line().map(Secret::from).map_err(failed)
}

//! `sealer login | logout`: who the registries know this user as.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use sealer_core::registry_client::{Login, Secret, registry_host};
use sealer_core::{Error, Event, log_in, log_out};

use super::login::{ask, password_in};
use crate::exit::Failure;
use crate::settings::{RegistryArguments, Session};

/// A password or token is never larger than this, in bytes.
const LIMIT: u64 = 64 << 10;

/// Log in to a registry
///
/// The registry is asked whether it accepts the login before anything is kept. It is kept where docker keeps it, also for docker, podman and
/// skopeo: by the credential helper that the file names (credsStore, credHelpers), else in the file itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer login registry.example.com -u me\n  sealer login registry.example.com:5000 -u me --passwd-file token.txt"
)]
pub(crate) struct LogIn {
    /// The registry: a host and, if need be, a port
    #[arg(value_name = "REGISTRY")]
    host: String,
    /// User; asked for when it is not named
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password or access token of that user; asked for when it is not given in any form
    ///
    /// Other users of this machine can see arguments: prefer to be asked, --password-stdin or --passwd-file.
    #[arg(short, long, visible_alias = "password", value_name = "PASSWORD", num_args = 0..=1, default_missing_value = "")]
    passwd: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "passwd")]
    password_stdin: bool,
    /// File that holds the password
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passwd", "password_stdin"])]
    passwd_file: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl LogIn {
    pub(crate) async fn run(mut self, session: &Session<'_>) -> Result<(), Failure> {
        let host = registry_host(&self.host).map_err(Error::from)?;
        if self.registry.skips_verification() {
            self.registry.insecure.push(host.clone());
        }
        let sealer = session.open_with_registries(&self.registry, &[])?;
        let user = match &self.username {
            Some(user) => user.clone(),
            None => ask_user(&host)?,
        };
        let password = self.password(&user, &host, session)?;
        if password.expose().is_empty() {
            return Err(Failure::Usage("the password is empty".to_owned()));
        }
        let done = log_in(&sealer, &host, &Login::password(user, password), &|event| tell(event, session)).await?;
        session.printer.logged_in(&done)
    }

    fn password(&self, user: &str, host: &str, session: &Session<'_>) -> Result<Secret, Failure> {
        if self.password_stdin {
            return password_of_stdin();
        }
        if let Some(file) = &self.passwd_file {
            return password_in(file, LIMIT);
        }
        match self.passwd.as_deref() {
            None | Some("") => ask(&format!("Password for {user} on {host}"), "use --password-stdin or --passwd-file"),
            Some(given) => {
                session.printer.warn(
                    "other users of this machine can see a password among the arguments: use --password-stdin or --passwd-file, or let it be asked for",
                );
                Ok(Secret::from(given))
            }
        }
    }
}

/// Log out of a registry
///
/// Takes the login away from where `sealer login` and `docker login` keep it. The registry is not asked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer logout registry.example.com\n  sealer logout --authfile auth.json registry.example.com:5000"
)]
pub(crate) struct LogOut {
    /// The registry: a host and, if need be, a port
    #[arg(value_name = "REGISTRY")]
    host: String,
    /// File of logins instead of docker's and podman's [default: $REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl LogOut {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let arguments = RegistryArguments { authfile: self.authfile, ..RegistryArguments::default() };
        let sealer = session.open_with_registries(&arguments, &[])?;
        let done = log_out(&sealer, &self.host, &|event| tell(event, session)).await?;
        session.printer.logged_out(&done)
    }
}

fn tell(event: Event, session: &Session<'_>) {
    if let Event::Warning { message } = event {
        session.printer.warn(&message);
    }
}

fn password_of_stdin() -> Result<Secret, Failure> {
    let failed = |source| Failure::Input { path: "standard input".to_owned(), source };
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::Usage(
            "standard input is a terminal: redirect it, or let the password be asked for".to_owned(),
        ));
    }
    let mut text = String::new();
    let read = stdin.lock().take(LIMIT + 1).read_to_string(&mut text);
    let text = Secret::from(text);
    if read.map_err(failed)? as u64 > LIMIT {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "no password is that long")));
    }
    Ok(Secret::from(text.expose().trim_end_matches(['\r', '\n'])))
}

fn ask_user(host: &str) -> Result<String, Failure> {
    let term = console::Term::stderr();
    if !term.is_term() {
        return Err(Failure::Usage(
            "cannot ask for the user: standard error is not a terminal; use --username".to_owned(),
        ));
    }
    let failed = |source| Failure::Input { path: "the terminal".to_owned(), source };
    term.write_str(&format!("User on {host}: ")).map_err(failed)?;
    let user = term.read_line().map_err(failed)?.trim().to_owned();
    if user.is_empty() { Err(Failure::Usage("no user was named".to_owned())) } else { Ok(user) }
}

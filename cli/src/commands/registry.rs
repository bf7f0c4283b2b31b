//! `sealer registry serve`: the content of this machine as an OCI registry.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealer_core::serve::{ServeRequest, serve};

use crate::exit::Failure;
use crate::settings;
use crate::settings::Session;

/// Serve the content of this machine as an OCI registry
#[derive(Debug, Args)]
pub(crate) struct Registry {
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// Answer pulls until stopped
    Serve(Serve),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer registry serve --listen 127.0.0.1:5000\n  sealer registry serve --listen 192.168.0.2:5000 --cert registry.crt --key registry.key\n  sealer registry serve --htpasswd users"
)]
struct Serve {
    /// Where to listen: the address under which clients look for it; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// A name of this registry itself: images asked for by it may come from any registry
    #[arg(long = "name", value_name = "HOST:PORT")]
    names: Vec<String>,
    /// Certificate chain (PEM); without it plain HTTP is spoken
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Users who may pull, with bcrypt hashes of their passwords (htpasswd -B); without it everybody may
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
}

impl Registry {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let RegistryCommand::Serve(arguments) = self.command;
        let request = ServeRequest {
            root: settings::root(&session.global),
            listen: arguments.listen,
            tls: arguments.cert.zip(arguments.key),
            htpasswd: arguments.htpasswd,
            names: arguments.names,
            events: std::sync::Arc::new(|event| crate::output::registry_event(&event)),
        };
        let ready = |address| crate::output::say(&format!("serving on {address}"));
        Ok(serve(&request, ready, crate::interrupt::interrupted()).await?)
    }
}

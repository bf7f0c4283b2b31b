//! `sealer registry serve | gc | verify`: the content of this machine as an OCI registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealer_core::Error;
use sealer_core::registry_proxy::{Config, Event, ForwardConfig, TlsConfig, UpstreamConfig};
use sealer_core::serve::{ServeRequest, check, collect, read_config, serve};

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
    /// Answer pulls, and pushes where they are allowed, until stopped
    Serve(Box<Serve>),
    /// Remove what no name reaches, also while it is served
    Gc(Gc),
    /// Read everything again and name what is damaged or missing
    #[command(after_help = "Examples:\n  sealer registry verify\n  sealer registry verify --json")]
    Verify,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer registry serve --listen 127.0.0.1:5000\n  sealer registry serve --listen 192.168.0.2:5000 --cert registry.crt --key registry.key\n  sealer registry serve --htpasswd users --push --anonymous-pull\n  sealer registry serve --upstream docker.io --upstream 'quay.io=https://mirror.example.com'\n  sealer registry serve --config registry.yaml --check"
)]
struct Serve {
    /// YAML file with all settings; the other options go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only check the settings and the files that they name
    #[arg(long)]
    check: bool,
    /// Where to listen: the address under which clients look for it; 0.0.0.0 is every address of this machine
    /// [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A name of this registry itself: images asked for by it may come from any registry
    #[arg(long = "name", value_name = "HOST:PORT")]
    names: Vec<String>,
    /// Certificate chain (PEM); without it plain HTTP is spoken
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Directory for a certificate that is made if there is none; clients trust its registry.crt
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    mint: Option<PathBuf>,
    /// Users, with bcrypt hashes of their passwords (htpasswd -B); without it everybody may do everything that is allowed
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// Everybody may pull; only pushes and deletions need a login
    #[arg(long)]
    anonymous_pull: bool,
    /// Clients may push
    #[arg(long)]
    push: bool,
    /// Clients may delete tags, manifests and blobs
    #[arg(long)]
    delete: bool,
    /// Bytes that the store may hold: beyond them cached images go, never what was pushed
    #[arg(long, value_name = "BYTES")]
    quota: Option<u64>,
    /// Print each request as a line of JSON on standard output
    #[arg(long)]
    access_log: bool,
    /// A registry that is asked for what is not here, itself or at a URL; * stands for every registry
    ///
    /// What it has is kept, and answered also when it cannot be reached. unix:/path is a socket behind which another sealer serves.
    #[arg(long = "upstream", value_name = "REGISTRY[=URL]")]
    upstreams: Vec<String>,
    /// An archive of `sealer save`, an OCI layout or docker's registry directory to serve as it lies there
    #[arg(long = "store", value_name = "PATH")]
    stores: Vec<PathBuf>,
    /// Append a line of JSON for each image that was asked for and found
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where a forward proxy listens, for clients with HTTPS_PROXY
    #[arg(long, value_name = "ADDRESS:PORT", requires = "ca_cert", requires = "ca_key")]
    forward: Option<SocketAddr>,
    /// Certificate (PEM) of the CA that signs for the hosts behind the forward proxy
    #[arg(long, value_name = "FILE", requires = "forward")]
    ca_cert: Option<PathBuf>,
    /// Private key (PEM) of that CA
    #[arg(long, value_name = "FILE", requires = "forward")]
    ca_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer registry gc\n  sealer registry gc --untagged --quota 50000000000")]
struct Gc {
    /// Also pushed manifests that have no tag and are part of nothing that has one
    #[arg(long)]
    untagged: bool,
    /// Also cached images, the least recently used first, until the rest has at most so many bytes
    #[arg(long, value_name = "BYTES")]
    quota: Option<u64>,
}

impl Registry {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let root = settings::root(&session.global);
        match self.command {
            RegistryCommand::Serve(arguments) => arguments.run(root, session).await,
            RegistryCommand::Gc(Gc { untagged, quota }) => {
                session.printer.collected(&collect(&root, quota, untagged).await?)
            }
            RegistryCommand::Verify => {
                let found = check(&root)?;
                session.printer.checked_store(&found)?;
                if found.problems.is_empty() { Ok(()) } else { Err(Failure::Damaged(found.problems.len())) }
            }
        }
    }
}

impl Serve {
    async fn run(self, root: PathBuf, session: &Session<'_>) -> Result<(), Failure> {
        let is_check = self.check;
        let config = self.config()?;
        if is_check {
            config.check().map_err(Error::from)?;
            return session.printer.usable();
        }
        let supervisor = Arc::new(settings::supervisor()?);
        let manager = supervisor.clone();
        let events = Arc::new(move |event| {
            if let Event::Serving { .. } = event {
                manager.tell("READY=1", "");
            }
            crate::output::registry_event(&event);
        });
        let shutdown = async move {
            crate::interrupt::interrupted().await;
            supervisor.tell("STOPPING=1", "");
        };
        Ok(serve(&ServeRequest { root, config, events }, shutdown).await?)
    }

    /// The file with the options before it.
    fn config(self) -> Result<Config, Failure> {
        let mut config = self.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
        config.listen = self.listen.unwrap_or(config.listen);
        config.names.extend(self.names);
        let given = self.cert.zip(self.key).map(|(cert, key)| TlsConfig::files(cert, key));
        config.tls = given.or(self.mint.map(TlsConfig::minted)).or(config.tls);
        config.htpasswd = self.htpasswd.or(config.htpasswd);
        config.anonymous_pull |= self.anonymous_pull;
        config.push |= self.push;
        config.delete |= self.delete;
        config.quota = self.quota.or(config.quota);
        config.access_log |= self.access_log;
        config.upstreams.extend(self.upstreams.iter().map(|text| upstream(text)));
        config.stores.extend(self.stores);
        config.record = self.record.or(config.record);
        let certified = self.forward.zip(self.ca_cert.zip(self.ca_key));
        let forward = certified.map(|(listen, (cert, key))| ForwardConfig::new(listen, cert, key));
        config.forward = forward.or(config.forward);
        Ok(config)
    }
}

/// `registry` or `registry=url`.
fn upstream(text: &str) -> UpstreamConfig {
    match text.split_once('=') {
        Some((registry, url)) => UpstreamConfig::new(registry).at(url),
        None => UpstreamConfig::new(text),
    }
}

//! `sealer delete --host`: clean a host of a cluster of which nothing is remembered.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use sealer_core::clusterfile::{Cluster, Role};
use sealer_core::{CleanHostOptions, Sealer, clean_host};

use crate::commands::change::ChangeArguments;
use crate::commands::confirm;
use crate::commands::login::{HostKeyArguments, LoginArguments};
use crate::exit::Failure;
use crate::settings::Session;

/// Which host, and how to log in there.
#[derive(Debug, Args)]
pub(crate) struct HostArguments {
    /// Clean this host of a cluster of which nothing is remembered here: its own marker says what sealer installed
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["cluster", "file", "all", "masters", "nodes"])]
    pub(crate) host: Option<IpAddr>,
    /// User on the host of --host; another than root needs sudo
    #[arg(short, long, value_name = "NAME", requires = "host")]
    user: Option<String>,
    /// File that holds the password of that user [default: the variable SEALER_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "host")]
    passwd_file: Option<PathBuf>,
    /// Private key for the host of --host [default: the agent's keys and ~/.ssh/id_*]
    #[arg(long, value_name = "FILE", requires = "host")]
    pk: Option<PathBuf>,
    /// SSH port of the host of --host
    #[arg(long, value_name = "PORT", requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

impl HostArguments {
    /// Cleans the host at `address`, after somebody agreed to what its marker says.
    pub(crate) async fn clean(
        self,
        sealer: &Sealer,
        address: IpAddr,
        change: &ChangeArguments,
        host_keys: HostKeyArguments,
        session: &Session<'_>,
    ) -> Result<(), Failure> {
        let mut asked = Cluster::new("host", "");
        asked.add_hosts(&Role::Node, [address]);
        LoginArguments::of(self.user, self.passwd_file, self.pk, self.port, host_keys).overlay(&mut asked)?;
        let progress = session.printer.cluster_progress();
        let apply = change.options(&progress);
        let interrupts = progress.cancel_on_interrupt(apply.cancel.clone());
        let agree = confirm::to_clean(change.yes, &progress);
        let options = CleanHostOptions { agree: &agree, runtime: None, apply };
        let cleaned = clean_host(sealer, &asked.hosts[0], &options, &|event| progress.event(&event)).await;
        interrupts.abort();
        progress.finish();
        session.printer.cleaned(&cleaned?)
    }
}

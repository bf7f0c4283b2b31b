//! Options of every command that changes a cluster: who agrees, and what happens to hosts and pods that resist.

use std::time::Duration;

use clap::Args;
use sealer_core::ApplyOptions;
use sealer_core::lvscare::parse_duration;
use sealer_core::runtime::Drain;

use crate::commands::confirm;
use crate::output::ClusterProgress;

/// How a cluster is changed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArguments {
    /// Agree to what you would be asked: hosts that leave, applications that are removed, and a provider that only an image names (upstream: --force)
    #[arg(short = 'y', long, visible_alias = "force")]
    pub(crate) yes: bool,
    /// Do not stop at hosts that cannot be reached: leave them out, and name them in the end
    #[arg(long)]
    ignore_unreachable: bool,
    /// How long the pods of a host may take to leave it
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    drain_timeout: Duration,
    /// How long the script of a plugin may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    plugin_timeout: Duration,
    /// Delete pods that do not leave in time, for example because of a PodDisruptionBudget
    #[arg(long)]
    drain_force: bool,
}

impl ChangeArguments {
    /// The options for a workflow; whoever has to agree is asked between the lines of `progress`.
    pub(crate) fn options(&self, progress: &ClusterProgress) -> ApplyOptions {
        let mut options = ApplyOptions::default();
        options.consent = confirm::consent(self.yes, progress);
        options.ignore_unreachable = self.ignore_unreachable;
        options.plugin_timeout = self.plugin_timeout;
        options.drain = Drain::new(self.drain_timeout.as_secs(), self.drain_force);
        options
    }
}

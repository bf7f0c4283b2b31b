//! `sealer lvscare`: kernel rules that lead local clients to healthy servers.

mod arguments;
mod care;
mod clean;
mod life;
mod request;
mod status;
mod unit;

pub(crate) use life::second_life;

use clap::{Args, Subcommand};

use crate::exit::Failure;
use crate::settings::Session;

/// Balance local connections over servers by rules in this machine's kernel
#[derive(Debug, Args)]
pub(crate) struct Lvscare {
    #[command(subcommand)]
    command: LvscareCommand,
}

#[derive(Debug, Subcommand)]
enum LvscareCommand {
    /// Keep the rules of a virtual address pointing at healthy servers
    Care(Box<care::Care>),
    /// Show virtual addresses and the state of their servers
    Status(status::Status),
    /// Take the rules of a virtual address away
    Clean(clean::Clean),
    /// Print a systemd unit that cares
    Unit(Box<unit::Unit>),
}

impl Lvscare {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self.command {
            LvscareCommand::Care(command) => command.run(session).await,
            LvscareCommand::Status(command) => command.run(session).await,
            LvscareCommand::Clean(command) => command.run(session).await,
            LvscareCommand::Unit(command) => command.run(session),
        }
    }
}

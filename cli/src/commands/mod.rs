//! One file per command: parse, call, print.

pub(crate) mod apply;
pub(crate) mod build;
pub(crate) mod change;
pub(crate) mod clean_host;
pub(crate) mod confirm;
pub(crate) mod delete;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod login;
pub(crate) mod lvscare;
pub(crate) mod manifest;
pub(crate) mod old_build_flags;
pub(crate) mod pairs;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod scale_up;
pub(crate) mod version;

use crate::arguments::Command;
use crate::exit::Failure;
use crate::settings::Session;

/// Does what a command says.
pub(crate) async fn dispatch(command: Command, session: &Session<'_>) -> Result<(), Failure> {
    match command {
        Command::Build(command) => Box::pin(command.run(session)).await,
        Command::Images(command) => command.run(session),
        Command::Inspect(command) => command.run(session),
        Command::Tag(command) => command.run(session),
        Command::Rmi(command) => command.run(session),
        Command::Save(command) => command.run(session),
        Command::Load(command) => command.run(session),
        Command::Manifest(command) => command.run(session),
        Command::Run(command) => command.run(session).await,
        Command::Apply(command) => command.run(session).await,
        Command::ScaleUp(command) => command.run(session).await,
        Command::Delete(command) => command.run(session).await,
        Command::Registry(command) => command.run(session).await,
        Command::Lvscare(command) => command.run(session).await,
        Command::Completion(command) => command.run(session),
        Command::Version(command) => command.run(session),
        Command::Host(command) => command.run(session).await,
    }
}

//! One file per command: parse, call, print.

pub(crate) mod apply;
pub(crate) mod apps;
pub(crate) mod base_image;
pub(crate) mod build;
pub(crate) mod change;
pub(crate) mod clean_host;
pub(crate) mod confirm;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod later;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod lvscare;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod mount;
pub(crate) mod old_build_flags;
pub(crate) mod old_cluster_flags;
pub(crate) mod old_root_flags;
pub(crate) mod pairs;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod registry_login;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod scale_up;
pub(crate) mod schema;
pub(crate) mod search;
pub(crate) mod size;
pub(crate) mod tag;
pub(crate) mod verify;
pub(crate) mod version;

use crate::arguments::Command;
use crate::exit::Failure;
use crate::settings::Session;

/// Does what a command says.
pub(crate) async fn dispatch(command: Command, session: &Session<'_>) -> Result<(), Failure> {
    match command {
        Command::Schema(command) => command.run(session),
        Command::Upgrade(command) => command.refuse("upgrade", "make a new cluster of the other image"),
        Command::Rollback(command) => command.refuse("rollback", "make a new cluster of the earlier image"),
        Command::Cert(command) => {
            command.refuse("cert", "`certSANS` in the Clusterfile and `sealer apply` add names to the certificate")
        }
        Command::Check(command) => command.refuse(
            "check",
            "`--dry-run` of `sealer run` and `sealer apply` checks hosts, `kubectl get node` the rest",
        ),
        Command::Exec(command) => command.refuse("exec", "use ssh"),
        Command::Gen(command) => command.refuse("gen", "write a Clusterfile; `sealer schema` describes it"),
        Command::GenDoc(command) => command.refuse("gen-doc", "`sealer COMMAND --help` says the same"),
        Command::Debug(command) => command.refuse("debug", "use `kubectl debug`"),
        Command::HostAlias(command) => {
            command.refuse("host-alias", "`hostAliases` in the Clusterfile and `sealer apply` set names")
        }
        Command::Seautil(command) => command.refuse("seautil", "its `ipvs` is `sealer lvscare care`"),
        Command::BaseImage(command) => command.run(session),
        Command::Build(command) => Box::pin(command.run(session)).await,
        Command::Images(command) => command.run(session),
        Command::Inspect(command) => command.run(session),
        Command::Tag(command) => command.run(session),
        Command::Rmi(command) => command.run(session),
        Command::Save(command) => command.run(session),
        Command::Load(command) => command.run(session),
        Command::History(command) => command.run(session),
        Command::Diff(command) => command.run(session),
        Command::Verify(command) => command.run(session),
        Command::Prune(command) => command.run(session),
        Command::Merge(command) => command.run(session),
        Command::Mount(command) => command.run(session),
        Command::Umount(command) => command.run(session),
        Command::Manifest(command) => command.run(session).await,
        Command::Push(command) => command.run(session).await,
        Command::Pull(command) => command.run(session).await,
        Command::Search(command) => command.run(session).await,
        Command::Login(command) => command.run(session).await,
        Command::Logout(command) => command.run(session).await,
        Command::Run(command) => command.run(session).await,
        Command::Apply(command) => command.run(session).await,
        Command::Apps(command) => command.run(session).await,
        Command::ScaleUp(command) => command.run(session).await,
        Command::Delete(command) => command.run(session).await,
        Command::Registry(command) => command.run(session).await,
        Command::Lvscare(command) => command.run(session).await,
        Command::Completion(command) => command.run(session),
        Command::Version(command) => command.run(session),
        Command::Host(command) => command.run(session).await,
    }
}

/// Prints the warnings of a workflow that tells nothing else.
pub(crate) fn warnings<'a>(session: &'a Session<'_>) -> impl Fn(sealer_core::Event) + Send + Sync + 'a {
    |event| session.printer.event(&event)
}

//! The command line: every command, its options, and the grouped help.

use std::path::PathBuf;

use clap::builder::EnumValueParser;
use clap::{Arg, ArgMatches, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands::later::Later;
use crate::commands::old_root_flags::OldRootFlags;
use crate::commands::{
    apply, apps, base_image, build, delete, diff, history, host, images, inspect, load, lvscare, manifest, merge,
    mount, prune, pull, push, registry, registry_login, rmi, run, save, scale_up, schema, search, tag, verify, version,
};

/// Commands in the groups and the order in which help shows them.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Images",
        &[
            "build",
            "images",
            "inspect",
            "history",
            "diff",
            "tag",
            "rmi",
            "save",
            "load",
            "manifest",
            "merge",
            "mount",
            "umount",
            "verify",
            "prune",
            "base-image",
        ],
    ),
    ("Registries", &["push", "pull", "search", "login", "logout"]),
    ("Clusters", &["run", "apply", "scale-up", "delete", "apps", "schema"]),
    ("Services", &["registry", "lvscare"]),
    ("Other", &["completion", "version"]),
];

/// Packs a whole Kubernetes cluster into one image and runs it with one command.
#[derive(Debug, Parser)]
#[command(
    name = "sealer",
    disable_help_subcommand = true,
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where images are kept [default: $SEALER_ROOT, else /var/lib/sealer as root, else $XDG_DATA_HOME/sealer]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Where the states of clusters are kept [default: ~/.sealer]
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub(crate) state: Option<PathBuf>,
    /// Print the result as JSON, and events as JSON lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only the one thing that a script needs
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Also print commands and their output
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Options of the original.
    #[command(flatten)]
    pub(crate) old: OldRootFlags,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document on standard output, events as JSON lines on standard error.
    Json,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the build context of a base image, or list those that there are
    BaseImage(base_image::BaseImage),
    /// Build a cluster image from a Kubefile
    Build(Box<build::Build>),
    /// List cluster images
    Images(images::List),
    /// Show what is inside a cluster image
    Inspect(inspect::Inspect),
    /// Give a cluster image further names
    Tag(tag::Tag),
    /// Remove cluster images
    Rmi(rmi::Remove),
    /// Save cluster images to an archive
    Save(save::Save),
    /// Load cluster images from an archive
    Load(load::Load),
    /// Show the steps that made a cluster image
    History(history::History),
    /// Show what is different in another cluster image
    Diff(diff::Diff),
    /// Read everything of cluster images again and name what is damaged
    Verify(verify::Verify),
    /// Free what no cluster image needs
    Prune(prune::Prune),
    /// Join cluster images that were built apart into one for several platforms
    Manifest(manifest::Manifest),
    /// Merge cluster images into one
    Merge(merge::Merge),
    /// Mount the rootfs of a cluster image read-only, or list what is mounted
    Mount(mount::Mount),
    /// Unmount cluster images
    Umount(mount::Unmount),
    /// Push a cluster image to a registry
    Push(push::Push),
    /// Pull a cluster image from a registry
    Pull(pull::Pull),
    /// List the tags of images in their registry
    Search(search::Search),
    /// Log in to a registry
    Login(registry_login::LogIn),
    /// Log out of a registry
    Logout(registry_login::LogOut),
    /// Run images: make a cluster on hosts that you name or that a provider makes, add hosts to it, or launch applications on it
    Run(Box<run::Run>),
    /// Make a cluster match its Clusterfile
    Apply(apply::Apply),
    /// Add hosts to a cluster
    #[command(visible_alias = "join")]
    ScaleUp(scale_up::ScaleUp),
    /// Delete a cluster, or take hosts out of it
    Delete(delete::Delete),
    /// Print the JSON Schema of a Clusterfile
    Schema(schema::Schema),
    /// List what the images of a cluster launched on it, or remove it again
    Apps(apps::Apps),
    /// Serve the content of this machine as an OCI registry
    Registry(registry::Registry),
    /// Balance local connections over servers by rules in this machine's kernel
    Lvscare(lvscare::Lvscare),
    /// Print a completion script for a shell
    Completion(version::Completion),
    /// Print the version
    Version(version::Version),
    /// What sealer runs on hosts
    #[command(hide = true)]
    Host(host::Host),
    /// Upgrade a cluster
    #[command(hide = true)]
    Upgrade(Later),
    /// Go back to an earlier image
    #[command(hide = true)]
    Rollback(Later),
    /// Issue the API servers' certificate anew
    #[command(hide = true)]
    Cert(Later),
    /// Check a cluster
    #[command(hide = true)]
    Check(Later),
    /// Run a command on hosts
    #[command(hide = true)]
    Exec(Later),
    /// Take a cluster over
    #[command(hide = true)]
    Gen(Later),
    /// Write the pages of all commands
    #[command(hide = true, alias = "gen_doc")]
    GenDoc(Later),
    /// Look into pods and nodes
    #[command(hide = true)]
    Debug(Later),
    /// Change names in /etc/hosts
    #[command(hide = true)]
    HostAlias(Later),
    /// The original's program for hosts
    #[command(hide = true)]
    Seautil(Later),
}

/// Commands without `-o`: it names the file of `save`, the others have a result of their own form, or none.
const WITHOUT_FORMAT: [&str; 8] = ["save", "schema", "completion", "registry", "lvscare", "clean", "unit", "manifest"];
/// Name of the argument that says how the result is printed.
const FORMAT: &str = "result-format";

/// A command, and those below it, with `-o`.
fn with_format(command: clap::Command) -> clap::Command {
    if command.is_hide_set() || command.get_name() == "registry" {
        return command;
    }
    let has_one = !WITHOUT_FORMAT.contains(&command.get_name());
    let command = command.mut_subcommands(with_format);
    let argument = Arg::new(FORMAT).short('o').long("output").value_name("FORMAT").default_value("text");
    let argument = argument.help("Print the result for people (text) or for programs (json)");
    if has_one { command.arg(argument.value_parser(EnumValueParser::<Format>::new())) } else { command }
}

/// The form that the result of the command was asked in.
pub(crate) fn format(matches: &ArgMatches) -> Format {
    match matches.subcommand() {
        Some((_, command)) => format(command),
        None => matches.try_get_one(FORMAT).ok().flatten().copied().unwrap_or_default(),
    }
}

/// The whole command line, with its help grouped by what commands are about.
#[must_use]
pub fn command() -> clap::Command {
    let command = Arguments::command().mut_subcommands(with_format);
    let width = command.get_subcommands().map(|known| known.get_name().len()).max().unwrap_or(0);
    let mut listing = String::new();
    for (group, names) in GROUPS {
        listing.push_str(&format!("{group}:\n"));
        for known in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = known.get_about().map(ToString::to_string).unwrap_or_default();
            listing.push_str(&format!("  {:width$}  {about}\n", known.get_name()));
        }
        listing.push('\n');
    }
    command.help_template(format!(
        "{{about}}\n\nUsage: sealer COMMAND [OPTIONS]\n\n{listing}Options:\n{{options}}\n\nRun `sealer COMMAND --help` for more about a command."
    ))
}

impl Command {
    /// Whether this runs for as long as the machine, and therefore should be small: one thread is enough.
    #[must_use]
    pub(crate) fn is_small(&self) -> bool {
        matches!(self, Self::Lvscare(_))
    }
}

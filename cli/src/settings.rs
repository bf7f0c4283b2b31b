//! Reads settings from the environment and the home directory. No other module does.

#![expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]

mod cloud;
mod registries;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealer_core::infra_provider::{Container, ContainerOptions};
use sealer_core::lvscare::Supervisor;
use sealer_core::{Sealer, Settings, SshSettings, State};

use crate::arguments::Global;
use crate::commands::login::HostKeyArguments;
use crate::exit::Failure;
use crate::output::Printer;

pub(crate) use cloud::{CloudArguments, EndpointArguments};
pub(crate) use registries::RegistryArguments;

/// The container engine's socket where `DOCKER_HOST` names none.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The node image where `SEALER_NODE_IMAGE` names none.
const NODE_IMAGE: &str = "sealer-node:bookworm";

/// Carries what a daemon is to do from the process that read it to the same process without what reading it took.
pub(crate) const TOLD: &str = "SEALER_LVSCARE_TOLD";

/// What every command works with.
pub(crate) struct Session<'a> {
    pub(crate) global: Global,
    pub(crate) printer: Printer,
    /// Adds what a vendor brings.
    pub(crate) extend: &'a (dyn Fn(Sealer) -> Sealer + Sync),
    /// Whether this process does nothing else and may therefore begin anew.
    pub(crate) is_whole: bool,
}

impl Session<'_> {
    /// Opens the stores where options, environment and defaults say they are.
    pub(crate) fn open(&self) -> Result<Sealer, Failure> {
        open(settings(&self.global)?).map(self.extend)
    }

    /// The same for what connects to hosts, may have them made by a cloud, and pulls an image that is not here. `image` is what the command
    /// runs there, where it is known.
    pub(crate) fn open_with_cloud(
        &self,
        arguments: &CloudArguments,
        host_keys: HostKeyArguments,
        registry: &RegistryArguments,
        image: Option<&str>,
    ) -> Result<Sealer, Failure> {
        let mut settings = settings(&self.global)?;
        self.close_to_others(&settings.state)?;
        settings.ssh.strict_host_key = host_keys.strict_host_key;
        registry.apply(&mut settings, image.as_slice())?;
        let sealer = open(settings)?;
        let cloud = cloud::Cloud::new(arguments.region.clone(), arguments.endpoints);
        Ok((self.extend)(sealer.with_provider(Arc::new(cloud))))
    }

    /// Keeps others out of the directory of states in the home, which older versions and upstream made readable for all.
    fn close_to_others(&self, state: &Path) -> Result<(), Failure> {
        let is_usual = self.global.state.is_none() && variable_path("SEALER_STATE").is_none();
        if is_usual && let Some(mode) = State::new(state).close_to_others()? {
            let path = state.display();
            self.printer.warn(&format!("others could enter {path} (mode {mode:04o}); it has mode 0700 now"));
        }
        Ok(())
    }

    /// The same for what talks to registries; `images` are those that the command itself names.
    pub(crate) fn open_with_registries(
        &self,
        registry: &RegistryArguments,
        images: &[&str],
    ) -> Result<Sealer, Failure> {
        let mut settings = settings(&self.global)?;
        registry.apply(&mut settings, images)?;
        open(settings).map(self.extend)
    }
}

fn settings(global: &Global) -> Result<Settings, Failure> {
    let mut settings = Settings::new(root(global), state(global)?);
    settings.foreign_binaries =
        env::var_os("SEALER_HOST_BINARIES").map(|paths| env::split_paths(&paths).collect()).unwrap_or_default();
    settings.hidden_from_run = private_directories();
    settings.ssh = ssh();
    settings.default_registry = registries::default_registry()?;
    Ok(settings)
}

fn open(settings: Settings) -> Result<Sealer, Failure> {
    let sealer = Sealer::open(settings)?;
    let socket = env::var("DOCKER_HOST").ok().and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
    let mut options = ContainerOptions::new();
    options.docker_socket = socket.unwrap_or_else(|| PathBuf::from(DOCKER_SOCKET));
    options.node_image =
        env::var("SEALER_NODE_IMAGE").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| NODE_IMAGE.to_owned());
    Ok(sealer.with_provider(Arc::new(Container::new(options))))
}

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    variable_path("HOME")
}

/// The path in a variable; one that is set to nothing is as good as not set.
fn variable_path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Where the user's credentials may be: the home directory, also that of the user who called `sudo`, and what the
/// environment names in its place.
fn private_directories() -> Vec<PathBuf> {
    let named = ["DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"];
    let named = named.iter().filter_map(env::var_os).filter(|path| !path.is_empty()).map(PathBuf::from);
    home().into_iter().chain(caller_home()).chain(named).collect()
}

/// The home directory of the user who became root with `sudo`.
fn caller_home() -> Option<PathBuf> {
    let user = env::var("SUDO_UID").ok()?;
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields.get(2) == Some(&user.as_str()))?.get(5).map(PathBuf::from)
}

/// A password from the environment.
pub(crate) fn password() -> Option<String> {
    env::var("SEALER_PASSWORD").ok().filter(|password| !password.is_empty())
}

/// The time that built files get, by the convention of reproducible builds.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, Failure> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(Failure::Usage(format!("SOURCE_DATE_EPOCH is `{text}`, expected seconds since 1970"))),
        },
        _ => Ok(None),
    }
}

/// The service manager that started this process, if one did and wants to hear of it.
pub(crate) fn supervisor() -> Result<Supervisor, Failure> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty());
    let (socket, watchdog) = (given("NOTIFY_SOCKET"), given("WATCHDOG_USEC"));
    // A process that this one was started by may be meant.
    let ours = given("WATCHDOG_PID").is_none_or(|pid| pid == *std::process::id().to_string());
    let made = Supervisor::new(socket.as_deref(), watchdog.as_deref().filter(|_| ours));
    made.map_err(|error| Failure::Core(error.into()))
}

/// What this process told itself before it began anew; see [`TOLD`].
pub(crate) fn told() -> Option<String> {
    env::var(TOLD).ok()
}

/// Where images are kept.
pub(crate) fn root(global: &Global) -> PathBuf {
    if let Some(root) = global.root.clone().or_else(|| variable_path("SEALER_ROOT")) {
        return root;
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/sealer");
    }
    variable_path("XDG_DATA_HOME")
        .or_else(|| home().map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("sealer")
}

fn state(global: &Global) -> Result<PathBuf, Failure> {
    let known = global
        .state
        .clone()
        .or_else(|| variable_path("SEALER_STATE"))
        .or_else(|| home().map(|home| home.join(".sealer")));
    known.ok_or_else(|| {
        Failure::Usage("HOME is not set: say with --state where the states of clusters are kept".to_owned())
    })
}

fn ssh() -> SshSettings {
    let mut settings = SshSettings { agent: variable_path("SSH_AUTH_SOCK"), ..SshSettings::default() };
    settings.known_hosts.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
    if let Some(home) = home() {
        let folder = home.join(".ssh");
        settings.keys = ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| folder.join(name)).collect();
        settings.known_hosts.push(folder.join("known_hosts"));
    }
    settings
}

/// A proxy as the environment names it; often without the scheme.
fn proxy(name: &str) -> Option<String> {
    variable(name).map(|url| if url.contains("://") { url } else { format!("http://{url}") })
}

/// A variable that some write in small letters; these win, as for other programs.
fn variable(name: &str) -> Option<String> {
    let value = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    value(&name.to_lowercase()).or_else(|| value(name))
}

/// Whether the terminal can only print line after line.
pub(crate) fn terminal_is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// `~` at the start of a path that the shell did not expand.
pub(crate) fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

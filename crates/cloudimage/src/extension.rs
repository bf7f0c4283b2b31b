//! Launch commands and applications of a cluster image, as upstream's annotation records them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::documents::null_is_empty;

/// The value of the annotation `sealer.image.extension`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Extension {
    /// Who built the image.
    #[serde(rename = "buildClient", default)]
    pub build_client: BuildClient,
    /// Version of this record: `v1alpha1`.
    #[serde(rename = "schemaVersion", default)]
    pub schema_version: String,
    /// Whether the image brings a cluster.
    #[serde(rename = "type", default)]
    pub kind: ImageKind,
    /// The applications, base image's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub applications: Vec<Application>,
    /// Labels, repeated here by upstream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Variables for launch commands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub env: BTreeMap<String, String>,
    /// What is launched.
    #[serde(default)]
    pub launch: Launch,
    /// Defaults of arguments that commands may use; ours, upstream ignores it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub arguments: BTreeMap<String, String>,
}

/// Who built an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildClient {
    /// Version of sealer.
    #[serde(rename = "sealerVersion", default)]
    pub sealer_version: String,
    /// Version of buildah; empty for our images.
    #[serde(rename = "buildahVersion", default)]
    pub buildah_version: String,
}

/// Whether an image brings a cluster or runs on one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageKind {
    /// The image brings a Kubernetes distribution.
    #[default]
    #[serde(rename = "kube-installer", alias = "")]
    KubeInstaller,
    /// The image runs on an existing cluster.
    #[serde(rename = "app-installer")]
    AppInstaller,
}

/// An application in an image; its files are under `application/apps/<name>/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Application {
    /// Its name.
    pub name: String,
    /// How it is launched unless `cmds` say: `helm`, `kube`, `shell`, or empty.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Files that launch it, relative to its directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub files: Vec<String>,
    /// Version of this record.
    #[serde(default)]
    pub version: String,
    /// Its variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its launch commands, in place of the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub cmds: Vec<String>,
}

/// What is launched when an image is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Launch {
    /// Commands, base image's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub cmds: Vec<String>,
    /// Applications, base image's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub app_names: Vec<String>,
}

/// Directory of the applications in the rootfs.
pub(crate) const APPLICATIONS: &str = "application/apps";
/// Version of upstream's record.
const SCHEMA_VERSION: &str = "v1alpha1";

impl Default for Extension {
    fn default() -> Self {
        Self {
            build_client: BuildClient {
                sealer_version: env!("CARGO_PKG_VERSION").to_owned(),
                buildah_version: String::new(),
            },
            schema_version: SCHEMA_VERSION.to_owned(),
            kind: ImageKind::default(),
            applications: Vec::new(),
            labels: BTreeMap::new(),
            env: BTreeMap::new(),
            launch: Launch::default(),
            arguments: BTreeMap::new(),
        }
    }
}

impl Extension {
    /// The application of this name.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.name == name)
    }

    /// Adds an application, in place of one of the same name.
    pub(crate) fn put(&mut self, application: Application) {
        match self.applications.iter_mut().find(|known| known.name == application.name) {
            Some(known) => *known = application,
            None => self.applications.push(application),
        }
    }

    /// The commands that launch the image, parents' first: applications in their order, then commands.
    ///
    /// `overrides` replace defaults of ARG.
    #[must_use]
    pub fn launch(&self, overrides: &BTreeMap<String, String>) -> Vec<LaunchCommand> {
        let mut arguments = self.arguments.clone();
        arguments.extend(overrides.iter().map(|(name, value)| (name.clone(), value.clone())));
        let applications = self.launch.app_names.iter().filter_map(|name| self.application(name));
        let of_image = self.launch.cmds.iter().map(|command| LaunchCommand::of_image(command));
        let mut commands: Vec<LaunchCommand> = applications.flat_map(Application::launch).chain(of_image).collect();
        for LaunchCommand { command, env, .. } in &mut commands {
            for (name, value) in arguments.iter().filter(|(name, _)| mentions(command, name)) {
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        commands
    }

    /// The same as shell text for the rootfs directory.
    #[must_use]
    pub fn launch_commands(&self, overrides: &BTreeMap<String, String>) -> Vec<String> {
        self.launch(overrides).iter().map(LaunchCommand::text).collect()
    }
}

/// One command that launches an image or one of its applications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchCommand {
    /// The application that it launches; `None` for commands of the image itself.
    pub application: Option<String>,
    /// Shell text, as written.
    pub command: String,
    /// Where it runs, relative to the rootfs; empty for the rootfs itself.
    pub directory: String,
    /// Variables of the application, and arguments that the command mentions.
    pub env: BTreeMap<String, String>,
}

impl LaunchCommand {
    /// A command of the image itself, which runs in the rootfs.
    #[must_use]
    pub fn of_image(command: &str) -> Self {
        Self { command: command.to_owned(), ..Self::default() }
    }

    /// Shell text for the rootfs directory that sets the variables and changes the directory.
    fn text(&self) -> String {
        let set = self.env.iter().map(|(name, value)| format!("export {name}={}; ", quote(value)));
        let directory = (!self.directory.is_empty()).then(|| format!("cd {} && ", quote(&self.directory)));
        set.chain(directory).chain([self.command.clone()]).collect()
    }
}

impl Application {
    /// Where its files are, relative to the rootfs.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{APPLICATIONS}/{}", self.name)
    }

    /// Its commands with its variables: those of APPCMDS, which run in its directory as upstream runs them, or the default
    /// of its kind.
    #[must_use]
    pub fn launch(&self) -> Vec<LaunchCommand> {
        let directory = if self.cmds.is_empty() { String::new() } else { self.directory() };
        let (commands, env) = (self.commands(), &self.env);
        let command = |command| LaunchCommand {
            application: Some(self.name.clone()),
            command,
            directory: directory.clone(),
            env: env.clone(),
        };
        commands.into_iter().map(command).collect()
    }

    /// Its commands: those given, or the default of its kind, which can be repeated.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        if !self.cmds.is_empty() {
            return self.cmds.clone();
        }
        match self.kind.as_str() {
            "helm" => vec![format!(
                "helm upgrade --install {} {}",
                quote(&self.name),
                quote(&format!("{}/", self.directory()))
            )],
            "kube" => self.on_each("kubectl apply -f"),
            "shell" => self.on_each("bash"),
            _ => Vec::new(),
        }
    }

    /// The commands that take away what its kind launches, the last first; none for scripts.
    #[must_use]
    pub fn removal(&self) -> Vec<String> {
        let name = quote(&self.name);
        match self.kind.as_str() {
            "helm" => vec![format!("! helm status {name} >/dev/null 2>&1 || helm uninstall {name}")],
            "kube" => self.on_each("kubectl delete --ignore-not-found -f").into_iter().rev().collect(),
            _ => Vec::new(),
        }
    }

    /// A command for each of its files, or for its directory when an image names none.
    fn on_each(&self, verb: &str) -> Vec<String> {
        let directory = self.directory();
        if self.files.is_empty() && self.kind == "kube" {
            return vec![format!("{verb} {}", quote(&format!("{directory}/")))];
        }
        self.files.iter().map(|file| format!("{verb} {}", quote(&format!("{directory}/{file}")))).collect()
    }
}

/// Whether shell text uses the variable.
fn mentions(command: &str, name: &str) -> bool {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    command.match_indices(name).any(|(at, _)| {
        let before = command[..at].trim_end_matches('{');
        before.ends_with('$') && !command[at + name.len()..].starts_with(is_name)
    })
}

/// Quotes a word for the shell where it needs it.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-:=@%+,".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

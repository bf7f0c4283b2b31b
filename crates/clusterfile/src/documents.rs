//! The documents beside the Cluster: Config, Plugin, Application and those for kubeadm.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{Env, Secret};

/// A file that is written into the rootfs before it is sent to the hosts.
#[derive(Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Config {
    /// The document's name; may be empty.
    #[serde(skip)]
    pub name: String,
    /// Where in the rootfs, relative to its root, without `..`.
    pub path: String,
    /// What happens to a file that is already there.
    #[serde(skip_serializing_if = "Strategy::is_overwrite")]
    #[schemars(with = "Option<Strategy>")]
    pub strategy: Strategy,
    /// How the data is prepared: names joined by `|`, as written (`value|toJson|toBase64|toSecret`).
    pub process: Option<String>,
    /// The application whose file it is, if it belongs to one.
    pub app_name: Option<String>,
    /// The content, as written.
    #[schemars(with = "Option<String>")]
    pub data: String,
}

impl Config {
    /// Its path as an image lists it: without what changes nothing, such as `./`.
    #[must_use]
    pub fn inner_path(&self) -> String {
        self.path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
    }

    /// A file with this content; one that is already there is replaced.
    #[must_use]
    pub fn new(path: impl Into<String>, data: impl Into<String>) -> Self {
        Self { path: path.into(), data: data.into(), ..Self::default() }
    }
}

/// What happens to a file that is already there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// It is replaced.
    #[default]
    Overwrite,
    /// The values of the data are merged into it.
    Merge,
}

impl Strategy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks it so")]
    fn is_overwrite(&self) -> bool {
        *self == Self::Overwrite
    }
}

/// The types of plugins that the format knows.
pub(crate) const PLUGIN_TYPES: [&str; 6] = ["SHELL", "LABEL", "TAINT", "HOSTNAME", "CLUSTERCHECK", "ETCD"];

/// What `process` of a Config may name.
pub(crate) const PROCESSES: [&str; 4] = ["value", "toJson", "toBase64", "toSecret"];

/// An action at certain phases of a cluster's life.
#[derive(Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Plugin {
    /// The document's name; plugins run in the order of their names.
    #[serde(skip)]
    pub name: String,
    /// What kind of plugin: `SHELL`, `LABEL`, `TAINT`, `HOSTNAME`, `CLUSTERCHECK`, `ETCD`, as written.
    #[serde(rename = "type")]
    #[schemars(with = "Option<String>", extend("enum" = PLUGIN_TYPES))]
    pub plugin_type: String,
    /// When it acts: phases joined by `|`, as written.
    #[schemars(with = "Option<String>")]
    pub action: String,
    /// The hosts it acts on, as written (`master`, addresses, `label=value`); absent means all.
    pub on: Option<String>,
    /// The roles it acts on, joined by `|`, as written.
    pub scope: Option<String>,
    /// What it works on: a script, or lines of its own format.
    #[schemars(with = "Option<String>")]
    pub data: String,
}

impl Plugin {
    /// A plugin of a type, such as `SHELL`, for all hosts; `action` says when it acts, such as `post-install`.
    #[must_use]
    pub fn new(plugin_type: impl Into<String>, action: impl Into<String>, data: impl Into<String>) -> Self {
        Self { plugin_type: plugin_type.into(), action: action.into(), data: data.into(), ..Self::default() }
    }
}

/// How the applications of the image are configured and started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Application {
    /// The document's name; may be empty.
    #[serde(skip)]
    pub name: String,
    /// Commands that replace the image's launch commands.
    #[serde(rename = "cmds", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>")]
    pub commands: Vec<String>,
    /// The applications to start; empty means as the image says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>")]
    pub launch_apps: Vec<String>,
    /// Settings of single applications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<ApplicationConfig>>")]
    pub configs: Vec<ApplicationConfig>,
}

/// The settings of one application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApplicationConfig {
    /// The application's name in the image.
    pub name: String,
    /// Its variables.
    #[serde(serialize_with = "pairs", skip_serializing_if = "Env::is_empty")]
    #[schemars(with = "Option<crate::format::EnvForm>")]
    pub env: Env,
    /// Files to change in its directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<ApplicationFile>>")]
    pub files: Vec<ApplicationFile>,
    /// Commands that start it instead of the image's own.
    #[serde(rename = "launch", serialize_with = "launch", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Launch>")]
    pub launch_commands: Vec<String>,
}

impl ApplicationConfig {
    /// The application of this name, as the image has it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// How an application is started, as it is written.
#[derive(Serialize, JsonSchema)]
struct Launch {
    /// The commands, in order.
    #[schemars(with = "Option<Vec<String>>")]
    cmds: Vec<String>,
}

fn launch<S: Serializer>(commands: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    Launch { cmds: commands.to_vec() }.serialize(serializer)
}

fn pairs<S: Serializer>(env: &Env, serializer: S) -> Result<S::Ok, S::Error> {
    env.pairs().serialize(serializer)
}

/// A file of an application to change.
#[derive(Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApplicationFile {
    /// Where, relative to the application's directory, without `..`.
    pub path: String,
    /// What happens to a file that is already there.
    #[serde(skip_serializing_if = "Strategy::is_overwrite")]
    #[schemars(with = "Option<Strategy>")]
    pub strategy: Strategy,
    /// The content, as written.
    #[schemars(with = "Option<String>")]
    pub data: String,
}

impl ApplicationFile {
    /// A file with this content; one that is already there is replaced.
    #[must_use]
    pub fn new(path: impl Into<String>, data: impl Into<String>) -> Self {
        Self { path: path.into(), data: data.into(), ..Self::default() }
    }
}

/// A document that goes to kubeadm.
#[derive(Clone, PartialEq)]
pub struct KubeadmDocument {
    /// Which of kubeadm's documents.
    pub kind: KubeadmKind,
    /// The whole document with `apiVersion` and `kind`; plain scalars typed as Kubernetes' own YAML reader types them.
    pub value: Value,
}

impl KubeadmDocument {
    /// The document's `apiVersion`, such as `kubeadm.k8s.io/v1beta3`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The kinds of documents that kubeadm reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubeadmKind {
    /// How the first master starts.
    InitConfiguration,
    /// How a host joins.
    JoinConfiguration,
    /// The cluster as kubeadm sees it.
    ClusterConfiguration,
    /// The settings of every kubelet.
    KubeletConfiguration,
    /// The settings of every kube-proxy.
    KubeProxyConfiguration,
}

impl KubeadmKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::InitConfiguration,
        Self::JoinConfiguration,
        Self::ClusterConfiguration,
        Self::KubeletConfiguration,
        Self::KubeProxyConfiguration,
    ];

    /// The `kind` as written in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InitConfiguration => "InitConfiguration",
            Self::JoinConfiguration => "JoinConfiguration",
            Self::ClusterConfiguration => "ClusterConfiguration",
            Self::KubeletConfiguration => "KubeletConfiguration",
            Self::KubeProxyConfiguration => "KubeProxyConfiguration",
        }
    }

    /// The API group its `apiVersion` starts with.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::InitConfiguration | Self::JoinConfiguration | Self::ClusterConfiguration => "kubeadm.k8s.io",
            Self::KubeletConfiguration => "kubelet.config.k8s.io",
            Self::KubeProxyConfiguration => "kubeproxy.config.k8s.io",
        }
    }
}

// Contents of files, scripts and kubeadm's documents may hold passwords and tokens, so debug output leaves them out.

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, strategy, process, app_name, data: _ } = self;
        let mut shown = formatter.debug_struct("Config");
        shown.field("name", name).field("path", path).field("strategy", strategy).field("process", process);
        shown.field("app_name", app_name).field("data", &Secret::default()).finish()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, plugin_type, action, on, scope, data: _ } = self;
        let mut shown = formatter.debug_struct("Plugin");
        shown.field("name", name).field("plugin_type", plugin_type).field("action", action).field("on", on);
        shown.field("scope", scope).field("data", &Secret::default()).finish()
    }
}

impl fmt::Debug for ApplicationFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, strategy, data: _ } = self;
        let mut shown = formatter.debug_struct("ApplicationFile");
        shown.field("path", path).field("strategy", strategy).field("data", &Secret::default()).finish()
    }
}

impl fmt::Debug for KubeadmDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("KubeadmDocument");
        shown
            .field("kind", &self.kind)
            .field("api_version", &self.api_version())
            .field("value", &Secret::default())
            .finish()
    }
}

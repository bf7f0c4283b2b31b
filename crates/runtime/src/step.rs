//! Steps of a plan and what each of them does on its hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// How long a script may take when nothing else is said, in seconds.
const TIMEOUT_SECONDS: u64 = 600;

/// One idempotent step on one or several hosts.
///
/// ```
/// use runtime::{Run, Step};
///
/// let hosts = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
/// let install = Step::run("install", hosts, "sh install.sh").titled("install the appliance");
/// let start = Step::run("start", hosts, Run::new("systemctl start appliance").timeout_seconds(60)).after(["install"]);
/// assert_eq!(start.after, [install.id]);
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// Names the step in the journal and in [`Step::after`]; unique in its plan and stable when
    /// the same plan is made again, for example `engine@10.0.0.1`.
    pub id: String,
    /// What a person reads, for example `containerd`.
    pub title: String,
    /// Where it happens; on several hosts at once when there are several.
    pub hosts: Vec<IpAddr>,
    /// Steps (by id) that must be finished on all of their hosts before this one starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Steps (by id) that must have ended before this one starts, finished or not: a host that fails or is slow does not
    /// hold up the rest for ever.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_end_of: Vec<String>,
    /// What is done.
    pub action: Action,
    /// Whether it concerns the cluster as a whole: a plan's text then shows it on a line of its own.
    #[serde(skip)]
    pub cluster_wide: bool,
    /// Whether later steps on its host go on when this one fails or cannot start: what one host does for another. Steps
    /// that need it say so in [`Step::after`].
    #[serde(skip)]
    pub independent: bool,
}

/// What a step does on each of its hosts.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Runs a shell script as root; fails when it exits with anything but 0.
    Run(Run),
    /// Writes small files, each atomically.
    Write {
        /// The files, in order.
        files: Vec<File>,
    },
    /// Brings the image's content to the host and unpacks its rootfs; done by an [`crate::ActionHandler`].
    Content(Content),
    /// Runs a script again and again until it exits with 0.
    Wait(Wait),
    /// Something that is done from here and not by a script on the host; done by an [`crate::ActionHandler`].
    Custom(Custom),
}

/// A shell script that is run once.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// The script, given to `/bin/sh` on standard input or as an argument; holds no secret.
    pub script: String,
    /// Environment of the script.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Variable>,
    /// How long it may take, in seconds.
    pub timeout_seconds: u64,
    /// Whether its output is shown to the user as it comes (launch commands), or only on failure.
    pub show_output: bool,
    /// A second script that is run when the first fails; its output tells why (last log lines).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnose: Option<String>,
}

/// The bringing of an image's content to a host.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Content {
    /// Digest of the cluster image whose rootfs is wanted.
    pub image: String,
    /// Whether the carried container images come too (registry hosts) or only the rootfs.
    pub carried_images: bool,
    /// Further platforms whose content comes too, so that the host can serve it to hosts of theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Where the rootfs is unpacked on the host.
    pub rootfs: String,
    /// Bytes of the blobs concerned, for display.
    pub bytes: u64,
    /// Registries of hosts that hold the content and serve it by TLS when this step starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SocketAddr>,
    /// Whether they serve it by plain HTTP instead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
    /// The value of the header `Authorization` that they ask for, if they ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Variable>,
}

/// A condition that is waited for.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Wait {
    /// The script that tests the condition.
    pub script: String,
    /// What is awaited, for a person, for example `every node is Ready`.
    pub until: String,
    /// How long to wait at the most, in seconds.
    pub timeout_seconds: u64,
    /// A script run when time is up; its output tells why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnose: Option<String>,
}

/// An act that the planner only names and whoever executes the plan performs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Custom {
    /// What it is, for example [`Custom::MACHINE_CHANGE`]: the handler decides by it.
    pub name: String,
    /// What exactly is done, for the journal: another text is another act.
    pub detail: String,
}

/// The value of an environment variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    value: String,
    hidden: bool,
}

/// A small file that a step writes.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct File {
    /// Absolute path on the host; missing parent directories are made (0755).
    pub path: String,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
    /// The content; printed only when it is not secret.
    #[serde(skip_serializing)]
    pub content: Vec<u8>,
    /// Whether the content must never be shown.
    pub secret: bool,
}

impl Step {
    /// Runs a script.
    #[must_use]
    pub fn run(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, run: impl Into<Run>) -> Self {
        Self::new(id, hosts, Action::Run(run.into()))
    }

    /// Writes files.
    #[must_use]
    pub fn write(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, files: Vec<File>) -> Self {
        Self::new(id, hosts, Action::Write { files })
    }

    /// Brings content.
    #[must_use]
    pub fn content(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, content: Content) -> Self {
        Self::new(id, hosts, Action::Content(content))
    }

    /// Waits until a script succeeds; the title says what for.
    #[must_use]
    pub fn wait(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, wait: Wait) -> Self {
        let title = wait.until.clone();
        Self::new(id, hosts, Action::Wait(wait)).titled(title)
    }

    /// Has the [`crate::ActionHandler`] do something.
    #[must_use]
    pub fn custom(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, custom: Custom) -> Self {
        Self::new(id, hosts, Action::Custom(custom))
    }

    /// The same step under another title than its id.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The same step, after these steps too.
    #[must_use]
    pub fn after<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.after.extend(steps.into_iter().map(Into::into));
        self
    }

    /// The same step, after these steps have ended, finished or not.
    #[must_use]
    pub fn after_end_of<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.after_end_of.extend(steps.into_iter().map(Into::into));
        self
    }

    /// The same step, shown as one of the whole cluster.
    #[must_use]
    pub fn cluster_wide(mut self) -> Self {
        self.cluster_wide = true;
        self
    }

    /// The same step, whose failure does not keep later ones on its host from being done.
    #[must_use]
    pub fn independent(mut self) -> Self {
        self.independent = true;
        self
    }

    /// Does `action`, which is one of the kinds above.
    #[must_use]
    pub fn new(id: impl Into<String>, hosts: impl IntoIterator<Item = IpAddr>, action: Action) -> Self {
        let id = id.into();
        let cluster_wide = matches!(action, Action::Run(Run { show_output: true, .. }) | Action::Wait(_));
        Self {
            title: id.clone(),
            id,
            hosts: hosts.into_iter().collect(),
            after: Vec::new(),
            after_end_of: Vec::new(),
            action,
            cluster_wide,
            independent: false,
        }
    }
}

impl Run {
    /// A script with ten minutes of time whose output is shown only when it fails.
    #[must_use]
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            env: BTreeMap::new(),
            timeout_seconds: TIMEOUT_SECONDS,
            show_output: false,
            diagnose: None,
        }
    }

    /// The same script with these variables too.
    #[must_use]
    pub fn env<N: Into<String>>(mut self, variables: impl IntoIterator<Item = (N, Variable)>) -> Self {
        self.env.extend(variables.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// The same script with another time limit.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// The same script, its output shown as it comes.
    #[must_use]
    pub fn show_output(mut self) -> Self {
        self.show_output = true;
        self
    }

    /// The same script with another that tells why it failed.
    #[must_use]
    pub fn diagnose(mut self, script: impl Into<String>) -> Self {
        self.diagnose = Some(script.into());
        self
    }
}

impl<S: Into<String>> From<S> for Run {
    fn from(script: S) -> Self {
        Self::new(script)
    }
}

impl Content {
    /// The rootfs of `image`, unpacked at `rootfs`, without carried images, sent from here.
    #[must_use]
    pub fn new(image: impl Into<String>, rootfs: impl Into<String>, bytes: u64) -> Self {
        Self {
            image: image.into(),
            carried_images: false,
            platforms: Vec::new(),
            rootfs: rootfs.into(),
            bytes,
            sources: Vec::new(),
            plain_http: false,
            authorization: None,
        }
    }

    /// The same with the carried images.
    #[must_use]
    pub fn with_carried_images(mut self) -> Self {
        self.carried_images = true;
        self
    }

    /// The same with the content of further platforms.
    #[must_use]
    pub fn with_platforms<S: Into<String>>(mut self, platforms: impl IntoIterator<Item = S>) -> Self {
        self.platforms.extend(platforms.into_iter().map(Into::into));
        self
    }

    /// The same, taken from these registries where they have it.
    #[must_use]
    pub fn from_sources(mut self, sources: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.sources.extend(sources);
        self
    }
}

impl Wait {
    /// Waits ten minutes at the most.
    #[must_use]
    pub fn new(script: impl Into<String>, until: impl Into<String>) -> Self {
        Self { script: script.into(), until: until.into(), timeout_seconds: TIMEOUT_SECONDS, diagnose: None }
    }

    /// The same with another time limit.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// The same with a script that tells why the condition did not come true.
    #[must_use]
    pub fn diagnose(mut self, script: impl Into<String>) -> Self {
        self.diagnose = Some(script.into());
        self
    }
}

impl Custom {
    /// The provider changes the machine of the step's host, which may stop and start it.
    pub const MACHINE_CHANGE: &'static str = "machine-change";

    /// An act with a name that its handler knows.
    #[must_use]
    pub fn new(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into() }
    }
}

impl Variable {
    /// A value of ours, shown in plans.
    #[must_use]
    pub fn shown(value: impl Into<String>) -> Self {
        Self { value: value.into(), hidden: false }
    }

    /// A value of the user's, which may be a password: plans show `***`.
    #[must_use]
    pub fn hidden(value: impl Into<String>) -> Self {
        Self { value: value.into(), hidden: true }
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether plans must not show it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    fn printed(&self) -> &str {
        if self.hidden { "***" } else { &self.value }
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.printed().fmt(f)
    }
}

impl Serialize for Variable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.printed())
    }
}

impl File {
    /// A file that everybody may read (0644).
    #[must_use]
    pub fn public(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, content: content.into(), secret: false }
    }

    /// A file that only root may read (0600) and nothing shows.
    #[must_use]
    pub fn secret(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o600, content: content.into(), secret: true }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} {:o}, {} bytes)", self.path, self.mode, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_shows_only_its_size() {
        let file = File::secret("/a", "hunter2");
        let shown = format!("{file:?} {}", serde_json::to_string(&file).unwrap_or_default());
        assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn actions_are_written_with_their_kind_and_without_hidden_values() {
        let run = Run::new("true").env([("OURS", Variable::shown("a")), ("THEIRS", Variable::hidden("hunter2"))]);
        let step = Step::run("x", [[10, 0, 0, 1].into()], run).after(["w"]);
        let expected = serde_json::json!({
            "id": "x", "title": "x", "hosts": ["10.0.0.1"], "after": ["w"],
            "action": {
                "kind": "run", "script": "true", "env": {"OURS": "a", "THEIRS": "***"}, "timeout_seconds": 600,
                "show_output": false,
            },
        });
        assert_eq!(serde_json::to_value(&step).unwrap(), expected);
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}

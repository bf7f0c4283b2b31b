//! What is launched on a cluster: commands, the files they need, and the content of application images.

use std::collections::BTreeMap;
use std::fmt;

/// A command that launches an image or one of its applications, as shell text.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchCommand {
    /// The shell text.
    pub command: String,
    /// Where it runs, relative to the image's rootfs; empty for the rootfs itself.
    pub directory: String,
    /// Its own variables, over those of the cluster; plans do not show their values.
    pub env: BTreeMap<String, String>,
    /// Variables under those of the cluster, over those of the image.
    pub defaults: BTreeMap<String, String>,
}

/// Words of a shell that a command follows.
const BEFORE_COMMANDS: [&str; 11] = ["!", "{", "if", "elif", "then", "else", "while", "until", "do", "exec", "time"];

/// A file of an application that is changed before it is launched.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchFile {
    /// The application.
    pub application: String,
    /// Where the file is, relative to the image's rootfs.
    pub path: String,
    /// Its content; plans do not show it.
    pub content: String,
}

/// The content of an application image that a cluster runs, as its masters hold it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplicationContent {
    /// Digest of the image.
    pub image: String,
    /// Name of the directory below `applications/` of the cluster's data on its hosts.
    pub directory: String,
    /// Bytes of rootfs and carried images, for display.
    pub bytes: u64,
    /// Platforms of the image.
    pub platforms: Vec<String>,
}

impl LaunchCommand {
    /// The same in a directory, with variables.
    #[must_use]
    pub fn within(mut self, directory: impl Into<String>, env: BTreeMap<String, String>) -> Self {
        (self.directory, self.env) = (directory.into(), env);
        self
    }

    /// The same with variables that give way to those of the cluster.
    #[must_use]
    pub fn with_defaults(mut self, defaults: BTreeMap<String, String>) -> Self {
        self.defaults = defaults;
        self
    }

    /// Whether it calls helm: as the first word of one of its commands.
    pub(crate) fn calls_helm(&self) -> bool {
        let before = |word: &&str| word.contains('=') || BEFORE_COMMANDS.contains(word);
        let mut commands = self.command.split([';', '&', '|', '\n', '(', '`']);
        commands.any(|command| command.split_whitespace().find(|word| !before(word)) == Some("helm"))
    }
}

impl<S: Into<String>> From<S> for LaunchCommand {
    fn from(command: S) -> Self {
        Self { command: command.into(), ..Self::default() }
    }
}

impl LaunchFile {
    /// A file with this content.
    #[must_use]
    pub fn new(application: impl Into<String>, path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { application: application.into(), path: path.into(), content: content.into() }
    }
}

impl ApplicationContent {
    /// The content of the image of this digest, kept in this directory.
    #[must_use]
    pub fn new(image: impl Into<String>, directory: impl Into<String>, bytes: u64, platforms: Vec<String>) -> Self {
        Self { image: image.into(), directory: directory.into(), bytes, platforms }
    }
}

/// What tells one launch from another: a text with the values of variables and the contents of files, which may be secret.
#[must_use]
pub fn text(commands: &[LaunchCommand], files: &[LaunchFile]) -> String {
    let plain: Vec<&String> = commands.iter().map(|command| &command.command).collect();
    let mut text = format!("{plain:?}");
    for LaunchCommand { directory, env, defaults, .. } in commands {
        let variables: BTreeMap<_, _> = defaults.iter().chain(env).collect();
        if !directory.is_empty() || !variables.is_empty() {
            text.push_str(&format!(" {directory:?} {variables:?}"));
        }
    }
    for LaunchFile { path, content, .. } in files {
        text.push_str(&format!(" {path:?} {content:?}"));
    }
    text
}

// Variables and files may hold passwords.

impl fmt::Debug for LaunchCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, directory, env, defaults } = self;
        let names: Vec<&String> = env.keys().chain(defaults.keys()).collect();
        let mut shown = formatter.debug_struct("LaunchCommand");
        shown.field("command", command).field("directory", directory).field("env", &names).finish()
    }
}

impl fmt::Debug for LaunchFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LaunchFile({}, {} bytes)", self.path, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_called_by_its_name() {
        let calls = |command: &str| LaunchCommand::from(command).calls_helm();
        assert!(calls("helm install a b") && calls("cd x && helm upgrade a .") && calls("(helm list)"));
        assert!(calls("! helm status a || A=b helm install a b") && calls("if helm list; then true; fi"));
        assert!(!calls("kubectl apply -f helm/a.yaml") && !calls("echo helm") && !calls("./bin/helm list"));
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let env = BTreeMap::from([("Password".to_owned(), "hunter2".to_owned())]);
        let command = LaunchCommand::from("run").within("application/apps/a", env);
        let file = LaunchFile::new("a", "application/apps/a/values.yaml", "hunter2");
        assert!(!format!("{command:?} {file:?}").contains("hunter2"));
        assert!(text(&[command], &[file]).contains("hunter2"), "but it counts");
    }
}

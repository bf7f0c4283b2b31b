//! Our shell scripts: each begins with shared functions and may bring its environment along.

use std::collections::BTreeMap;

use remote::text::quote;

use crate::{Run, Variable};

/// What every script begins with.
const FUNCTIONS: &str = include_str!("scripts/functions.sh");

/// A script and the one that tells why it failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    body: &'static str,
    diagnose: Option<&'static str>,
    /// Functions of the runtime's own.
    functions: &'static str,
    /// The kubeconfig that kubectl uses, where the script calls it.
    kubeconfig: Option<&'static str>,
}

impl Script {
    pub(crate) const fn new(body: &'static str) -> Self {
        Self { body, diagnose: None, functions: "", kubeconfig: None }
    }

    /// The same with a script that tells why it failed.
    pub(crate) const fn diagnose(mut self, body: &'static str) -> Self {
        self.diagnose = Some(body);
        self
    }

    /// The same with functions before it.
    pub(crate) const fn with_functions(mut self, functions: &'static str) -> Self {
        self.functions = functions;
        self
    }

    /// The same with the kubeconfig that kubectl uses.
    pub(crate) const fn with_kubeconfig(mut self, path: &'static str) -> Self {
        self.kubeconfig = Some(path);
        self
    }

    /// The act of running it with these variables.
    pub(crate) fn run(self, env: BTreeMap<String, Variable>) -> Run {
        let mut run = Run::new(format!("{FUNCTIONS}{}", self.text()));
        // It travels as an argument, which everybody on the host can read; variables of users stay out of it.
        let ours = |(key, value): &(&String, &Variable)| key.starts_with("SEALER_") && !value.is_hidden();
        run.diagnose = self.diagnose.map(|body| complete(body, env.iter().filter(ours)));
        run.env = env;
        run
    }

    /// The text with its environment, for where none is given beside it.
    pub(crate) fn complete(self, env: &BTreeMap<String, Variable>) -> String {
        complete(&self.text(), env)
    }

    fn text(self) -> String {
        let kubeconfig = self.kubeconfig.map(|path| format!("KUBECONFIG={path}\nexport KUBECONFIG\n"));
        format!("{}{}{}", self.functions, kubeconfig.unwrap_or_default(), self.body)
    }
}

/// A script that brings its environment along.
fn complete<'v>(body: &str, env: impl IntoIterator<Item = (&'v String, &'v Variable)>) -> String {
    format!("{}{FUNCTIONS}{body}", exports(env.into_iter().map(|(key, value)| (key.as_str(), value.expose()))))
}

/// Lines that set variables for a script that brings none along.
pub(super) fn exports<'v>(env: impl IntoIterator<Item = (&'v str, &'v str)>) -> String {
    env.into_iter().map(|(key, value)| format!("export {key}={}\n", quote(value))).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    /// Runs one of our scripts on this machine, where `kubectl` only tells its arguments.
    fn perform(script: &str, env: &[(&str, &str)]) -> Output {
        let kubectl = "kubectl() { for each; do printf '<%s>' \"$each\"; done; echo; }\n";
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{kubectl}{script}")]).envs(env.iter().copied());
        shell.output().unwrap()
    }

    #[test]
    fn a_name_that_looks_like_a_flag_is_a_name() {
        let env =
            [("SEALER_NODE", "--all"), ("SEALER_LABELS", "--overwrite=false\na=b"), ("SEALER_TAINTS", "--all\nold-")];
        let said = String::from_utf8(perform(include_str!("scripts/label.sh"), &env).stdout).unwrap();
        let arguments: Vec<&str> = said.lines().collect();
        assert_eq!(
            arguments,
            [
                "<label><--overwrite><node><--><--all><--overwrite=false>",
                "<label><--overwrite><node><--><--all><a=b>",
                "<taint><--overwrite><node><--><--all><--all>",
                "<taint><node><--><--all><old->",
            ]
        );
    }

    #[test]
    fn a_launch_command_is_no_argument_of_any_process() {
        let rootfs = tempfile::tempdir().unwrap();
        let launch = "word=hunter2; for each in $$ $PPID; do tr '\\0' ' ' </proc/$each/cmdline; done; echo; exit 7";
        let env = [("SEALER_ROOTFS", rootfs.path().to_str().unwrap()), ("SEALER_LAUNCH", launch)];
        let output = perform(include_str!("scripts/launch.sh"), &env);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("eval") && !said.contains("hunter2"), "{said}");
        assert_eq!(output.status.code(), Some(7), "its exit code is the command's");
    }
}

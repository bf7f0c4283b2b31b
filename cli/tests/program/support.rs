//! Calls the program and checks its answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A Kubefile that needs neither a base image nor a sandbox.
pub(crate) const KUBEFILE: &str =
    "FROM scratch\nCOPY manifests manifests\nLABEL team=shop\nCMD kubectl apply -f manifests\n";

/// The program with a home, a store and a build context of its own.
pub(crate) struct Program {
    directory: TempDir,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// With a context that builds.
    pub(crate) fn new() -> Self {
        let program = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(program.path("home")).unwrap();
        program.write("context/Kubefile", KUBEFILE);
        program.write("context/manifests/shop.yaml", "kind: Deployment\n");
        program
    }

    /// With an image `kube:1` that looks as if it brought a Kubernetes.
    pub(crate) fn with_kubernetes() -> Self {
        let program = Self::new();
        program.write("kube/Kubefile", "FROM scratch\nCOPY bin bin\nCMD echo $WHO\n");
        program.write("kube/bin/kubeadm", "");
        program.call(&["build", "-q", "-t", "kube:1", &program.text("kube")]).code(0);
        program
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// A path as an argument.
    pub(crate) fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }

    pub(crate) fn write(&self, below: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A call, to be refined before it is started; works in the context.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealer"));
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.path("home")).env("SEALER_ROOT", self.path("root"));
        command.current_dir(self.path("context")).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Outcome {
        finish(&mut self.command(arguments))
    }

    /// The result of a call with `-o json` that succeeds.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.call(arguments);
        outcome.code(0);
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
    }

    /// Builds the context under this name and returns the digest.
    #[track_caller]
    pub(crate) fn build(&self, name: &str) -> String {
        let outcome = self.call(&["build", "-q", "-t", name, "."]);
        outcome.code(0);
        outcome.stdout.trim().to_owned()
    }

    /// The file of a blob in the store.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.path("root/content/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }
}

pub(crate) fn finish(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Expects texts on standard error.
    #[track_caller]
    pub(crate) fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "standard error does not say `{text}`:\n{}", self.stderr);
        }
        self
    }

    /// Expects a failure that leaves standard output empty and says no more than one hint.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, texts: &[&str]) -> &Self {
        self.code(code).says(texts);
        assert_eq!(self.stdout, "", "a failure has no result");
        assert!(self.stderr.matches("hint:").count() <= 1, "{}", self.stderr);
        self
    }
}

/// Replaces what differs from call to call.
pub(crate) fn stable(text: &str, program: &Program) -> String {
    text.replace(&program.text(""), "DIR/")
}

/// Overwrites a file that may be read-only.
pub(crate) fn overwrite(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

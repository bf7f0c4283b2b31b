//! Calls the program under test and keeps what it answered.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The `sealer` binary with a home of its own.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    root: PathBuf,
    home: TempDir,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Program {
    /// A program with an empty home, over the store at `root`.
    ///
    /// # Panics
    ///
    /// When no home can be made.
    #[must_use]
    pub fn new(binary: &Path, root: &Path) -> Self {
        let home = tempfile::Builder::new().prefix("sealer-home-").tempdir().unwrap();
        Self { binary: binary.to_owned(), root: root.to_owned(), home }
    }

    /// Its home directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The state directory of a cluster.
    #[must_use]
    pub fn state(&self, cluster: &str) -> PathBuf {
        self.home().join(".sealer").join(cluster)
    }

    /// A call with these arguments, to be refined before it is started.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("SEALER_ROOT", &self.root).stdin(Stdio::null());
        command
    }

    /// Calls it and waits for its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn call<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Outcome {
        finish(&mut self.command(arguments))
    }

    /// Calls it and expects success; returns standard output.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let outcome = self.call(arguments);
        outcome.expect_code(0);
        outcome.stdout
    }

    /// Starts it in the background with its output in files of its home.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        let log = std::fs::File::create(self.home().join("background.log")).unwrap();
        let mut command = self.command(arguments);
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// What the last background call printed so far.
    #[must_use]
    pub fn background_log(&self) -> String {
        std::fs::read_to_string(self.home().join("background.log")).unwrap_or_default()
    }
}

impl Outcome {
    /// Expects this exit code, else shows everything.
    ///
    /// # Panics
    ///
    /// When the code is another.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(
            self.code == code,
            "exit code {} instead of {code}\nstdout: {}\nstderr: {}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Expects a text on standard error.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[track_caller]
    pub fn expect_stderr(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "standard error does not say `{text}`:\n{}", self.stderr);
        self
    }
}

/// Runs a command to its end.
///
/// # Panics
///
/// When it cannot be started.
#[must_use]
pub fn finish(command: &mut Command) -> Outcome {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

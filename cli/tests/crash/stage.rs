//! A store with images, archives and a build context, copied afresh for each run of the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;

use sealer_core::cloudimage::Images;
use serde_json::Value;
use tempfile::TempDir;

/// Files that say nothing about what a command did.
const IGNORED: &[&str] = &["lock", "index.lock", "reserve"];

/// Reads of a store by this process, and starts of others: one that is started has the locks of a read until it is another
/// program, and keeps them for that long after the read has ended.
static READS: RwLock<()> = RwLock::new(());

/// Starts a program while no store is read here.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _no_reads = READS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    command.spawn().unwrap()
}

/// What the user sees of a place: names with their digests, and the files that were written for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    names: BTreeMap<String, String>,
    output: BTreeMap<PathBuf, Vec<u8>>,
}

/// `before` is copied to `work` for each run.
pub(crate) struct Stage {
    work: PathBuf,
    before: PathBuf,
    _directory: Option<TempDir>,
}

impl Stage {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("sealer-crash-").tempdir().unwrap();
        let (work, before) = (directory.path().join("work"), directory.path().join("before"));
        let stage = Self { work, before, _directory: Some(directory) };
        for below in ["root", "output", "home", "context/manifests", "context/more"] {
            fs::create_dir_all(stage.work().join(below)).unwrap();
        }
        stage
    }

    /// One that stands already, and is never copied.
    pub(crate) fn at(work: &Path) -> Self {
        Self { work: work.to_owned(), before: PathBuf::new(), _directory: None }
    }

    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    pub(crate) fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        fs::write(self.work.join(below), content).unwrap();
    }

    /// Everything that is in the work place now is what later runs begin with.
    pub(crate) fn keep(&self) {
        copy(&self.work, &self.before);
    }

    /// Goes back to what was kept.
    pub(crate) fn reset(&self) {
        copy(&self.before, &self.work);
    }

    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealer"));
        command.args(line).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.work.join("home")).env("SEALER_ROOT", self.work.join("root"));
        command.env("TMPDIR", self.work.join("home")).current_dir(&self.work);
        command
    }

    /// Runs a command to its good end.
    #[track_caller]
    pub(crate) fn call(&self, line: &[&str]) {
        let mut command = self.command(line);
        let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What is there; every image that has a name is whole.
    #[track_caller]
    pub(crate) fn state(&self, moment: &str) -> State {
        let index = fs::read(self.work.join("root/content/index.json")).unwrap_or_default();
        let index: Value = serde_json::from_slice(&index).unwrap_or_else(|error| panic!("{moment}: {error}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = |entry: &Value| text(&entry["annotations"]["org.opencontainers.image.ref.name"]);
        let names = index["manifests"].as_array().unwrap().iter();
        let names = names.map(|entry| (name(entry), text(&entry["digest"]))).collect();
        let _reading = READS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let images = Images::open(&self.work.join("root")).unwrap();
        let verified = images.verify(&[] as &[&str], &|_, _| ()).unwrap();
        assert!(verified.damaged.is_empty(), "{moment}: {:?}", verified.damaged);
        let output = self.work.join("output");
        let file = |path: PathBuf| (path.strip_prefix(&output).unwrap().to_owned(), fs::read(&path).unwrap());
        let shown = |path: &PathBuf| !path.to_string_lossy().contains("/.");
        State { names, output: files(&output).into_iter().filter(shown).map(file).collect() }
    }

    /// The paths of all files that are left in the store and beside what was written.
    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        let work = &self.work;
        let counts = |path: &PathBuf| !IGNORED.iter().any(|name| path.file_name().is_some_and(|file| file == *name));
        let mut paths: Vec<PathBuf> =
            ["root", "output", "home"].iter().flat_map(|below| files(&work.join(below))).collect();
        paths.retain(counts);
        paths.iter().map(|path| path.strip_prefix(work).unwrap().to_owned()).collect()
    }
}

/// A store in which `shop:1` has carried nothing and `shop:2` is to come.
pub(crate) fn shop() -> Stage {
    let stage = Stage::new();
    stage.write(
        "context/Kubefile",
        "FROM scratch\nCOPY manifests manifests\nCOPY more more\nCMD kubectl apply -f manifests\n",
    );
    stage.write("context/manifests/shop.yaml", "kind: Deployment\n");
    stage.write("context/more/big", vec![7; 300_000]);
    stage.call(&["build", "-q", "-t", "shop:1", "context"]);
    stage.write("context/manifests/shop.yaml", "kind: Deployment\nmetadata: { name: two }\n");
    stage
}

/// The store with `shop:2`, `other:1` and an unreferenced image.
pub(crate) fn shops() -> Stage {
    let stage = shop();
    stage.call(&["build", "-q", "-t", "shop:2", "context"]);
    stage.write("context/Kubefile", "FROM shop:1\nCOPY manifests other\n");
    stage.call(&["build", "-q", "-t", "other:1", "context"]);
    stage
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..count).map(next).collect()
}

/// Files and empty directories below a directory, in their order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let below = |path: PathBuf| match files_if_directory(&path) {
        Some(files) if !files.is_empty() => files,
        _ => vec![path],
    };
    entries.into_iter().flat_map(below).collect()
}

fn files_if_directory(path: &Path) -> Option<Vec<PathBuf>> {
    let is_directory = path.symlink_metadata().unwrap().is_dir();
    is_directory.then(|| files(path))
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// The same store beside an archive in parts, whose image it does not have.
pub(crate) fn parts() -> Stage {
    let stage = shops();
    stage.write("context/noise", noise(200_000));
    stage.write("context/Kubefile", "FROM shop:2\nCOPY noise noise\n");
    stage.call(&["build", "-q", "-t", "noise:1", "context"]);
    stage.call(&["save", "-o", "archive.tar", "--split", "100kB", "noise:1"]);
    stage.call(&["rmi", "noise:1"]);
    stage.call(&["prune", "--all"]);
    stage
}

//! A store, a context and stand-ins for the outside, for tests of builds.

#![allow(dead_code, unreachable_pub)]

pub mod registry;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use cloudimage::sandbox::{ScriptedSandbox, contract};
use cloudimage::{
    Backends, BuildEvent, BuildOptions, Built, Context, Error, ImageList, ImageSource, Images, Sandbox, StepOutcome,
    build,
};
use registry_client::Memory;

pub struct Bench {
    directory: tempfile::TempDir,
    images: Images,
    pub sandbox: ScriptedSandbox,
    pub registry: Memory,
    events: Mutex<Vec<BuildEvent>>,
}

impl Bench {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// With everything below a directory of the caller's choice.
    pub fn below(parent: &Path) -> Self {
        let directory = tempfile::tempdir_in(parent).unwrap();
        fs::create_dir(directory.path().join("context")).unwrap();
        let images = Images::open(&directory.path().join("root")).unwrap();
        Self { directory, images, sandbox: contract::scripted(), registry: Memory::default(), events: Mutex::default() }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn context(&self) -> PathBuf {
        self.path("context")
    }

    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Writes a file of the context.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn options(&self) -> BuildOptions {
        BuildOptions::named("shop:1.4")
    }

    /// [`Bench::options`] with a change.
    pub fn options_with(&self, change: impl FnOnce(&mut BuildOptions)) -> BuildOptions {
        let mut options = self.options();
        change(&mut options);
        options
    }

    pub async fn build(&self, kubefile: &str) -> Result<Built, Error> {
        self.build_with(kubefile, &self.options()).await
    }

    pub async fn build_with(&self, kubefile: &str, options: &BuildOptions) -> Result<Built, Error> {
        self.build_in(kubefile, options, &self.sandbox).await
    }

    pub async fn build_in(
        &self,
        kubefile: &str,
        options: &BuildOptions,
        sandbox: &dyn Sandbox,
    ) -> Result<Built, Error> {
        self.events.lock().unwrap().clear();
        let kubefile = kubefile::parse(kubefile).unwrap();
        let context = Context::open(&self.context()).unwrap();
        let list = ImageList::new(&context, None);
        let sources: [&dyn ImageSource; 1] = [&list];
        let backends = Backends::new(sandbox, &self.registry, &sources);
        let keep = |event| self.events.lock().unwrap().push(event);
        build(&self.images, &kubefile, &context, options, &backends, &keep).await
    }

    /// Events of the last build.
    pub fn events(&self) -> Vec<BuildEvent> {
        self.events.lock().unwrap().clone()
    }

    /// Lines that the commands of the last build printed.
    pub fn output(&self) -> Vec<String> {
        let line = |event| match event {
            BuildEvent::Output { line, .. } => Some(line),
            _ => None,
        };
        self.events().into_iter().filter_map(line).collect()
    }

    /// Outcomes of the last build's steps.
    pub fn outcomes(&self) -> Vec<StepOutcome> {
        let outcome = |event| match event {
            BuildEvent::StepDone { outcome, .. } => Some(outcome),
            _ => None,
        };
        self.events().into_iter().filter_map(outcome).collect()
    }

    /// For each layer of the last build, whether an earlier build had made it.
    pub fn cached(&self) -> Vec<bool> {
        let cached = |outcome| match outcome {
            StepOutcome::Layer { cached, .. } => Some(cached),
            _ => None,
        };
        self.outcomes().into_iter().filter_map(cached).collect()
    }
}

/// Copies a program and the libraries that it needs.
pub fn copy_program(rootfs: &Path, program: &Path) {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in libraries.chain([program.to_owned()]) {
        let target = rootfs.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

//! What `cargo xtask test` prepared: the binary, the contexts, the node image; and the images built for all tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::Program;

/// The name under which the base image is built.
pub const BASE: &str = "kubernetes:v1.20.2";
/// The name under which the demo application is built.
pub const APP: &str = "hello:1.0";

/// What `cargo xtask test` prepared for the end-to-end tests.
#[derive(Debug)]
pub struct Stage {
    binary: PathBuf,
    root: PathBuf,
    /// The name of the node image in the container engine.
    pub node_image: String,
    /// The operator's kubectl.
    pub kubectl: PathBuf,
    /// The build context of the demo application.
    pub application: PathBuf,
}

impl Stage {
    /// The stage with both images built; made once per test process.
    ///
    /// # Panics
    ///
    /// When a variable is not set or an image cannot be built.
    pub fn get() -> &'static Self {
        static STAGE: OnceLock<Stage> = OnceLock::new();
        STAGE.get_or_init(|| Self::build("store", "SEALER_TEST_NODE_IMAGE", "SEALER_TEST_BASE_CONTEXT"))
    }

    /// The stage of a later release of the operating system: its hosts, and both images again, in a store of their own,
    /// with that release's container engine.
    ///
    /// # Panics
    ///
    /// As [`Stage::get`]; the variables are set by `cargo xtask test --long`.
    #[must_use]
    pub fn later() -> Self {
        Self::build("later", "SEALER_TEST_LATER_NODE_IMAGE", "SEALER_TEST_LATER_BASE_CONTEXT")
    }

    fn build(store: &str, node_image: &str, base: &str) -> Self {
        let root = PathBuf::from(variable("SEALER_TEST_WORK")).join("root").join(store);
        std::fs::create_dir_all(&root).unwrap();
        let base = variable(base);
        let stage = Self {
            binary: variable("SEALER_TEST_BINARY").into(),
            root,
            node_image: variable(node_image),
            kubectl: Path::new(&base).join("bin/kubectl"),
            application: variable("SEALER_TEST_APP_CONTEXT").into(),
        };
        let program = stage.program();
        program.succeed(&["build", "-q", "-t", BASE, &base]);
        program.succeed(&["build", "-q", "-t", APP, &stage.application.display().to_string()]);
        stage
    }

    /// The static `helm` that images may carry.
    ///
    /// # Panics
    ///
    /// When the variable is not set.
    #[must_use]
    pub fn helm(&self) -> PathBuf {
        variable("SEALER_TEST_HELM").into()
    }

    /// A program with a home of its own over the common store.
    #[must_use]
    pub fn program(&self) -> Program {
        Program::new(&self.binary, &self.root)
    }

    /// A program with a home and a store of its own.
    #[must_use]
    pub fn program_at(&self, root: &Path) -> Program {
        Program::new(&self.binary, root)
    }
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: end-to-end tests are started by `cargo xtask test`"))
}

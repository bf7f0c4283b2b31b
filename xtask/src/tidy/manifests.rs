//! Checks that the crates depend on each other, and on others, only as the architecture says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::{Finding, layout};
use crate::error::{Error, Result};

/// Which crate of the workspace may use which; docs/architecture.md draws the same picture.
const ARROWS: &[(&str, &[&str])] = &[
    ("atomic-file", &[]),
    ("error-report", &[]),
    ("go-template", &[]),
    ("cloud-double", &[]),
    ("clusterfile", &["secret"]),
    ("content-store", &["atomic-file", "oci-reference"]),
    ("content-transfer", &["atomic-file", "content-store", "error-report", "oci-reference", "registry-client"]),
    ("kubefile", &[]),
    ("lvscare", &["atomic-file", "error-report"]),
    ("oci-reference", &[]),
    ("registry-client", &["atomic-file", "error-report", "oci-reference", "secret"]),
    ("object-store", &["secret"]),
    ("secret", &[]),
    ("remote", &["atomic-file", "error-report", "secret"]),
    (
        "cloudimage",
        &["atomic-file", "content-store", "content-transfer", "error-report", "kubefile", "registry-client"],
    ),
    ("infra-provider", &["atomic-file", "clusterfile", "error-report", "secret"]),
    (
        "registry-proxy",
        &[
            "atomic-file",
            "content-store",
            "content-transfer",
            "error-report",
            "object-store",
            "oci-reference",
            "registry-client",
        ],
    ),
    ("runtime", &["atomic-file", "clusterfile", "error-report", "go-template", "lvscare", "remote", "secret"]),
    (
        "sealer-core",
        &[
            "atomic-file",
            "cloudimage",
            "clusterfile",
            "content-store",
            "content-transfer",
            "error-report",
            "go-template",
            "infra-provider",
            "kubefile",
            "lvscare",
            "registry-client",
            "registry-proxy",
            "remote",
            "runtime",
        ],
    ),
    ("sealer", &["atomic-file", "error-report", "sealer-core"]),
    ("sealer-tests", &["cloud-double"]),
    ("xtask", &["atomic-file", "error-report"]),
];

/// Checks every manifest against [`ARROWS`], the owners in `deny.toml`, and the order of names.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let owners = owners(&read(&root.join("deny.toml"))?);
    let mut findings = Vec::new();
    for path in layout::manifests(root)? {
        let full = root.join(&path);
        let text = fs::read_to_string(&full).map_err(Error::file("read", &full))?;
        findings.extend(unsorted(&text).into_iter().map(|(line, message)| Finding::error(&path, line, message)));
        let manifest = parse(&full, &text)?;
        if let Some(name) = package_name(&manifest) {
            findings.extend(
                forbidden(name, &manifest, &owners).into_iter().map(|message| Finding::error(&path, 0, message)),
            );
        }
    }
    Ok(findings)
}

/// What a crate uses although it may not.
fn forbidden(name: &str, manifest: &Table, owners: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!(
            "crate `{name}` has no place in the architecture: give it one in xtask/src/tidy/manifests.rs"
        )];
    };
    let mut messages = Vec::new();
    for used in dependencies(manifest) {
        let ours = ARROWS.iter().any(|(known, _)| known == &used);
        if ours && !allowed.contains(&used.as_str()) {
            messages.push(format!("`{name}` must not use `{used}`"));
        }
        if let Some(wrappers) = owners.get(&used).filter(|wrappers| !wrappers.contains(name)) {
            let wrappers: Vec<&str> = wrappers.iter().map(String::as_str).collect();
            messages.push(format!("`{used}` belongs to {}: go through it", wrappers.join(", ")));
        }
    }
    messages
}

/// Names under `[dependencies]` and `[build-dependencies]`; what tests use is their own business.
fn dependencies(manifest: &Table) -> Vec<String> {
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// External crates with an owner: the `wrappers` of the bans in `deny.toml`.
fn owners(deny: &Table) -> BTreeMap<String, BTreeSet<String>> {
    let bans = deny.get("bans").and_then(|bans| bans.get("deny")).and_then(Value::as_array);
    bans.into_iter()
        .flatten()
        .filter_map(|ban| {
            let name = ban.get("crate")?.as_str()?;
            let wrappers = ban.get("wrappers")?.as_array()?;
            Some((name.to_string(), wrappers.iter().filter_map(Value::as_str).map(String::from).collect()))
        })
        .collect()
}

/// Keys of dependency sections that stand before their predecessor. A blank line or a comment starts a new group.
fn unsorted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut previous = String::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        }
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default().to_string();
        if line.starts_with(['[', '#']) || key.is_empty() {
            previous = String::new();
            continue;
        }
        if inside && line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            if key < previous {
                found.push((index + 1, format!("`{key}` must stand before `{previous}`")));
            }
            previous = key;
        }
    }
    found
}

fn package_name(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

fn read(path: &Path) -> Result<Table> {
    parse(path, &fs::read_to_string(path).map_err(Error::file("read", path))?)
}

fn parse(path: &Path, text: &str) -> Result<Table> {
    text.parse()
        .map_err(|error: toml::de::Error| Error::Shape { what: path.display().to_string(), found: error.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn messages(manifest: &str) -> Vec<String> {
        let deny = "[bans]\ndeny = [{ crate = \"ring\" }, { crate = \"russh\", wrappers = [\"remote\"] }]\n";
        let manifest: Table = manifest.parse().unwrap();
        forbidden(package_name(&manifest).unwrap(), &manifest, &owners(&deny.parse().unwrap()))
    }

    #[test]
    fn forbidden_arrows_are_named() {
        let found =
            messages("[package]\nname = \"kubefile\"\n[dependencies]\nclusterfile.workspace = true\nnom = \"8\"\n");
        assert_eq!(found, ["`kubefile` must not use `clusterfile`"]);
        assert!(messages("[package]\nname = \"runtime\"\n[dependencies]\nclusterfile.workspace = true\n").is_empty());
        assert!(messages("[package]\nname = \"stranger\"\n")[0].contains("no place"));
    }

    #[test]
    fn a_dependency_has_one_owner() {
        let found = messages("[package]\nname = \"sealer\"\n[dependencies]\nrussh.workspace = true\n");
        assert_eq!(found, ["`russh` belongs to remote: go through it"]);
        let tests_may = "[package]\nname = \"sealer\"\n[dev-dependencies]\nrussh.workspace = true\n";
        assert!(messages(tests_may).is_empty());
    }

    #[test]
    fn order_is_kept_within_a_group() {
        let text = "[dependencies]\nb = \"1\"\na.workspace = true\n\n# another group\na2 = \"1\"\n[features]\nz = []\nb = []\n";
        assert_eq!(unsorted(text), [(3, "`a` must stand before `b`".to_string())]);
    }
}

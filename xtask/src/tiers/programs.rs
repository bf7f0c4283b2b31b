//! Builds every test program of the workspace once, and sorts them by the tier that may run them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::schedule::Job;
use super::{Tier, cargo};
use crate::error::{Error, Result};
use crate::output;
use crate::program::{line, program};

/// What a test target's `required-features` say about where it may run; every other target runs anywhere.
const GATES: &[(&str, Tier)] =
    &[("e2e", Tier::EndToEnd), ("kernel", Tier::Kernel), ("privileged", Tier::Service), ("service", Tier::Service)];

/// One build with all features: no crate is compiled twice because a suite wants other features of it.
const BUILD: &[&str] =
    &["test", "--workspace", "--all-features", "--no-run", "--message-format=json-render-diagnostics"];

/// What the long tests need of it, and nothing else: `cargo build` with a test target builds that as a test.
const BUILD_LONG: &[&str] = &[
    "build",
    "--package",
    "sealer",
    "--package",
    "sealer-tests",
    "--all-features",
    "--bin",
    "sealer",
    "--test",
    "e2e",
    "--message-format=json-render-diagnostics",
];

/// Every test program of the workspace, and the program that they test.
#[derive(Debug)]
pub(super) struct Programs {
    tests: Vec<TestProgram>,
    /// The `sealer` binary: static, not optimised.
    pub(super) sealer: PathBuf,
}

/// One test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestProgram {
    /// Name of its package.
    pub(super) package: String,
    /// Folder of its package: tests run in it.
    folder: PathBuf,
    /// Its source file below that folder.
    source: PathBuf,
    path: PathBuf,
    tier: Tier,
}

impl Programs {
    /// Compiles them for a target; those of the `long` tests only, if asked.
    pub(super) fn build(target: &str, long: bool) -> Result<Programs> {
        let mut command = cargo::command(if long { BUILD_LONG } else { BUILD }, target);
        let shown = line(&command);
        output::step(&format!("building the test programs: {shown}"));
        let start_error = |source| Error::Start { program: "cargo".into(), source };
        let told = command.stderr(Stdio::inherit()).output().map_err(start_error)?;
        if !told.status.success() {
            return Err(Error::Program { line: shown, status: told.status.to_string(), output: String::new() });
        }
        let told = String::from_utf8_lossy(&told.stdout);
        let messages: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let missing = |found: &str| Error::Shape { what: format!("output of `{shown}`"), found: found.into() };
        let tests: Vec<TestProgram> = messages.iter().filter_map(test_program).collect();
        if tests.is_empty() {
            return Err(missing("no test program"));
        }
        let sealer = messages.iter().find_map(sealer).ok_or_else(|| missing("no `sealer`"))?;
        Ok(Programs { tests, sealer })
    }

    /// Those of a tier.
    pub(super) fn of(&self, tier: Tier) -> impl Iterator<Item = &TestProgram> {
        self.tests.iter().filter(move |program| program.tier == tier)
    }

    /// One job for each package that has programs in a tier; `filter` chooses tests by name.
    pub(super) fn jobs(&self, tier: Tier, filter: Option<&str>) -> Vec<Job> {
        let mut packages: BTreeMap<&str, Vec<Command>> = BTreeMap::new();
        for program in self.of(tier) {
            packages.entry(&program.package).or_default().push(program.command(filter));
        }
        let label = tier.to_string();
        packages.into_iter().map(|(package, commands)| Job::tests(&format!("{label}: {package}"), commands)).collect()
    }
}

impl TestProgram {
    /// Where the program is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs it as `cargo test` would.
    pub(super) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = program(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).args(arguments);
        command
    }
}

/// The test program that one of cargo's messages tells about.
fn test_program(message: &Value) -> Option<TestProgram> {
    let is_test = message["profile"]["test"].as_bool()?;
    let path = message["executable"].as_str().filter(|_| is_test)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let source = Path::new(message["target"]["src_path"].as_str()?);
    Some(TestProgram {
        package: package_name(message["package_id"].as_str()?).to_owned(),
        folder: folder.to_owned(),
        source: source.strip_prefix(folder).unwrap_or(source).to_owned(),
        path: path.into(),
        tier: tier(&message["target"]["required-features"]),
    })
}

/// The program under test, when a message tells about it.
fn sealer(message: &Value) -> Option<PathBuf> {
    let target = &message["target"];
    let ours = target["name"] == "sealer" && target["kind"][0] == "bin" && message["profile"]["test"] == false;
    message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
}

/// The name in a package id: `path+file:///repo/crates/lvscare#0.1.0`, or `…/cli#sealer@0.1.0` where the folder has
/// another name.
fn package_name(id: &str) -> &str {
    let (place, version) = id.rsplit_once('#').unwrap_or((id, ""));
    version.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or(place), |(name, _)| name)
}

fn tier(features: &Value) -> Tier {
    let has = |gate: &str| features.as_array().is_some_and(|all| all.iter().any(|feature| feature == gate));
    GATES.iter().find(|(gate, _)| has(gate)).map_or(Tier::Plain, |(_, tier)| *tier)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn message(test: bool, features: &[&str]) -> Value {
        json!({
            "reason": "compiler-artifact", "package_id": "path+file:///r/crates/lvscare#0.1.0",
            "manifest_path": "/r/crates/lvscare/Cargo.toml", "executable": "/r/target/debug/deps/kernel-1",
            "target": { "src_path": "/r/crates/lvscare/tests/kernel/main.rs", "required-features": features },
            "profile": { "test": test },
        })
    }

    #[test]
    fn programs_are_sorted_by_the_features_that_they_require() {
        let found = test_program(&message(true, &["kernel"])).unwrap();
        assert_eq!((found.package.as_str(), found.tier), ("lvscare", Tier::Kernel));
        assert_eq!(
            (found.source.as_path(), found.folder.as_path()),
            (Path::new("tests/kernel/main.rs"), Path::new("/r/crates/lvscare"))
        );
        for (features, tier) in
            [(&["testing"][..], Tier::Plain), (&[], Tier::Plain), (&["testing", "service"], Tier::Service)]
        {
            assert_eq!(test_program(&message(true, features)).unwrap().tier, tier);
        }
        assert_eq!(test_program(&message(false, &[])), None, "a program that is no test");
        assert_eq!(test_program(&json!({ "reason": "build-finished", "success": true })), None);
    }

    #[test]
    fn the_program_under_test_is_no_test() {
        let message = |kind: &str, test: bool| {
            let target = json!({ "name": "sealer", "kind": [kind] });
            json!({ "executable": "/r/target/debug/sealer", "target": target, "profile": { "test": test } })
        };
        assert_eq!(sealer(&message("bin", false)), Some("/r/target/debug/sealer".into()));
        assert_eq!((sealer(&message("bin", true)), sealer(&message("lib", false))), (None, None));
    }

    #[test]
    fn packages_are_named_as_in_their_manifest() {
        assert_eq!(package_name("path+file:///r/cli#sealer@0.1.0"), "sealer");
        assert_eq!(package_name("path+file:///r/crates/kubefile#0.1.0"), "kubefile");
    }
}

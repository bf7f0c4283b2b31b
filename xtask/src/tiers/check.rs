//! Checks that compile much and touch nothing: format, lints, documentation, the dependency tree.

use std::path::PathBuf;

use super::cargo;
use super::schedule::Job;
use crate::error::Result;
use crate::program::program;
use crate::tidy::repository;

/// The jobs of the tier, to be run beside tests: they take only the time that these leave over. `deny` is the program
/// that checks the dependency tree, or why there is none.
pub(super) fn jobs(deny: Result<PathBuf>, target: &str) -> Vec<Job> {
    // With all features, so that gated tests are looked at, too.
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    // Tests are built with all features: what `cargo test` alone would compile is only checked.
    let plain = ["check", "--quiet", "--workspace", "--all-targets"];
    let mut documentation =
        cargo::background(&["doc", "--quiet", "--workspace", "--no-deps", "--all-features"], target);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    let mut format = program("cargo");
    format.current_dir(repository()).args(["fmt", "--all", "--check"]);
    vec![
        Job::whole("format", format),
        dependencies(deny),
        Job::whole("lints", cargo::background(&lints, target)),
        Job::whole("without features", cargo::background(&plain, target)),
        Job::whole("documentation", documentation),
    ]
}

fn dependencies(tool: Result<PathBuf>) -> Job {
    match tool {
        Ok(tool) => {
            let mut command = program(tool);
            // Advisories need a database from the internet; everything else is in the repository.
            command.current_dir(repository()).args(["check", "bans", "licenses", "sources"]);
            Job::whole("dependencies", command)
        }
        Err(error) => Job::impossible("dependencies", &error),
    }
}

//! Does everything hold? Every check of the project, from formatting to real clusters, with one summary.

mod cargo;
mod deny;
mod kernel;
mod summary;

use std::path::Path;

use clap::ValueEnum;

use crate::assets;
use crate::cache::Cache;
use crate::dist::dist;
use crate::error::Result;
use crate::machine::{self, Docker};
use crate::output;
use crate::program::{program, succeeds};
use crate::tidy::repository;
use summary::Summary;

/// A group of checks that can be run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// Formatting, lints, documentation, dependencies
    Check,
    /// What `cargo test` alone runs: cases, contracts, tidy
    Plain,
    /// Real programs on loopback, and what needs root or the kernel
    Service,
    /// Load balancing in real kernels: IPVS in user-mode Linux, nftables on this one
    Kernel,
    /// Real clusters on real systemd hosts
    EndToEnd,
}

/// In the order in which they run: what fails fastest comes first.
const ALL: &[Tier] = &[Tier::Check, Tier::Plain, Tier::Service, Tier::Kernel, Tier::EndToEnd];

/// Programs that the service tests talk to, and the packages that bring them.
const SERVICE_PROGRAMS: &[(&str, &str)] = &[
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("python3", "python3-venv"),
    ("skopeo", "skopeo"),
    ("ssh-agent", "openssh-client"),
    ("sshd", "openssh-server"),
    ("sudo", "sudo"),
    ("umoci", "umoci"),
    ("unshare", "util-linux"),
    ("zstd", "zstd"),
];

/// Label of everything that the end-to-end harness makes by itself.
const HARNESS_LABEL: &str = "io.sealer.test";
/// How the names of clusters begin that tests have the program make in the container engine.
const CLUSTER_PREFIX: &str = "e2e-";

/// Runs the given tiers (all when none is named) and prints the summary; fails when a check failed.
pub(crate) fn test(cache: &Cache, tiers: &[Tier], filter: Option<&str>) -> Result<()> {
    let tiers = if tiers.is_empty() { ALL } else { tiers };
    let mut summary = Summary::default();
    for tier in ALL.iter().filter(|tier| tiers.contains(tier)) {
        match tier {
            Tier::Check => check(cache, &mut summary),
            Tier::Plain => cargo::tests(&mut summary, "tests", &["--workspace"], &[], filter),
            Tier::Service => service(cache, &mut summary, filter)?,
            Tier::Kernel => kernel::kernel(cache, &mut summary, filter)?,
            Tier::EndToEnd => end_to_end(cache, &mut summary, filter)?,
        }
    }
    summary.finish()
}

fn check(cache: &Cache, summary: &mut Summary) {
    summary.step("format", cargo::command(&["fmt", "--all", "--check"]));
    // With all features, so that gated tests are looked at, too.
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    summary.step("lints", cargo::command(&lints));
    let mut documentation = cargo::command(&["doc", "--quiet", "--workspace", "--no-deps"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    summary.step("documentation", documentation);
    match deny::tool(cache) {
        Ok(tool) => {
            let mut command = program(tool);
            // Advisories need a database from the internet; everything else is in the repository.
            command.current_dir(repository()).args(["check", "bans", "licenses", "sources"]);
            summary.step("dependencies", command);
        }
        Err(error) => summary.failed("dependencies", &error.to_string()),
    }
}

fn service(cache: &Cache, summary: &mut Summary, filter: Option<&str>) -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(SERVICE_PROGRAMS)?;
    // The program may be there without what makes an environment of its own.
    if !succeeds(program("python3").args(["-c", "import ensurepip, venv"])) {
        machine::ensure_packages(&["python3-venv"])?;
    }
    let docker = Docker::ensure(cache)?;
    assets::node_image(cache, &docker)?;
    for (package, features) in cargo::gated_packages(&["privileged", "service"])? {
        let features = features.join(",");
        let name = format!("{package} ({features})");
        cargo::tests(summary, &name, &["--package", &package, "--features", &features], &[], filter);
    }
    Ok(())
}

fn end_to_end(cache: &Cache, summary: &mut Summary, filter: Option<&str>) -> Result<()> {
    machine::require_root()?;
    let docker = Docker::ensure(cache)?;
    // Leftovers can be told from the machines of another run only while there is no other run.
    let _alone = cache.lock("end-to-end")?;
    remove_leftovers(&docker)?;
    let work = cache.root().join("end-to-end");
    let binary = dist(&work)?;
    assets::node_image(cache, &docker)?;
    let environment = [
        ("SEALER_TEST_BINARY", binary.display().to_string()),
        ("SEALER_TEST_WORK", work.display().to_string()),
        ("SEALER_TEST_NODE_IMAGE", assets::NODE_IMAGE.to_string()),
        ("SEALER_TEST_BASE_CONTEXT", assets::base_context(cache)?.display().to_string()),
        ("SEALER_TEST_APP_CONTEXT", assets::demo_context(cache)?.display().to_string()),
    ];
    // A machine holds a few nodes at a time, so the clusters come one after the other.
    let arguments = ["--package", "sealer-tests", "--features", "e2e", "--test", "e2e"];
    cargo::tests_one_by_one(summary, "end to end", &arguments, &environment, filter);
    remove_leftovers(&docker)?;
    forget_stores(&work);
    Ok(())
}

/// Takes away what a killed run left: machines of the harness, and clusters that the program made for tests.
fn remove_leftovers(docker: &Docker) -> Result<()> {
    docker.remove_labelled(HARNESS_LABEL)?;
    for cluster in docker.label_values("io.sealer.cluster")? {
        if cluster.starts_with(CLUSTER_PREFIX) {
            docker.remove_labelled(&format!("io.sealer.cluster={cluster}"))?;
        }
    }
    Ok(())
}

/// The stores of finished tests are large and of no use to the next run.
fn forget_stores(work: &Path) {
    if let Err(error) = std::fs::remove_dir_all(work.join("root")) {
        output::step(&format!("{} stays: {error}", work.display()));
    }
}

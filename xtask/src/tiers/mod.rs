//! Runs every check of the project, from formatting to real clusters, and prints one summary.
//!
//! # Steps
//!
//! 1. Every test program is built once; what the tests need is installed meanwhile.
//! 2. Side by side: the kernel tests; plain and service tests; behind them, in the time that they leave over, what only
//!    compiles.
//! 3. The end-to-end tests, alone.

mod cargo;
mod check;
mod deny;
mod end_to_end;
mod kernel;
mod programs;
mod schedule;
mod service;
mod summary;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::assets;
use crate::cache::Cache;
use crate::dist;
use crate::error::Result;
use crate::machine::Docker;
use end_to_end::Contexts;
use programs::Programs;
use schedule::{Job, side_by_side};
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

const ALL: &[Tier] = &[Tier::Check, Tier::Plain, Tier::Service, Tier::Kernel, Tier::EndToEnd];

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        formatter.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What tests need besides their programs.
struct Needs {
    docker: Option<Docker>,
    contexts: Option<Contexts>,
    deny: Result<PathBuf>,
}

/// Runs the given tiers (all when none is named) and prints the summary; fails when a check failed. The end-to-end tests
/// take the program that was built with them, or the `shipped` one: optimised, and ten minutes later.
pub(crate) fn test(cache: &Cache, tiers: &[Tier], shipped: bool, filter: Option<&str>) -> Result<()> {
    let tiers = if tiers.is_empty() { ALL } else { tiers };
    let wanted = |tier: Tier| tiers.contains(&tier);
    let mut summary = Summary::start();
    let target = &dist::host_target()?;

    let (needs, programs) = std::thread::scope(|scope| {
        let needs = scope.spawn(|| timed(|| prepare(cache, tiers)));
        let programs = timed(|| Programs::build(target));
        (needs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), programs)
    });
    let ((needs, preparing), (programs, building)) = (needs, programs);
    let (needs, programs) = (needs?, programs?);
    summary.phase("needs (beside the next)", preparing);
    summary.phase("test programs, built once", building);

    let none = Vec::new;
    let kernel = if wanted(Tier::Kernel) { kernel::jobs(cache, &programs, filter) } else { none() };
    let mut tests = if wanted(Tier::Plain) { programs.jobs(Tier::Plain, filter) } else { none() };
    tests.extend(if wanted(Tier::Service) { programs.jobs(Tier::Service, filter) } else { none() });
    let mut compiling = if wanted(Tier::Check) { check::jobs(needs.deny, target) } else { none() };
    compiling.extend(wanted(Tier::Plain).then(|| documentation_tests(target, filter)));
    // Scenarios in kernels measure time: they share the machine with compilers of the lowest priority, not with tests.
    tests.extend(kernel);
    summary.add(side_by_side(vec![tests, compiling]));

    if let (Some(docker), Some(contexts)) = (&needs.docker, &needs.contexts) {
        let work = end_to_end::work(cache);
        let binary = if shipped { dist::dist(&work) } else { dist::place(&programs.sealer, &work) }?;
        summary.add(end_to_end::run(cache, docker, &programs, contexts, &binary, filter)?);
    }
    summary.finish()
}

/// Installs and makes what the tiers need.
fn prepare(cache: &Cache, tiers: &[Tier]) -> Result<Needs> {
    let wanted = |tier: Tier| tiers.contains(&tier);
    if wanted(Tier::Kernel) {
        kernel::prepare()?;
    }
    if wanted(Tier::Service) {
        service::prepare()?;
    }
    let deny = if wanted(Tier::Check) { deny::tool(cache) } else { Ok(PathBuf::new()) };
    let docker = (wanted(Tier::Service) || wanted(Tier::EndToEnd)).then(|| Docker::ensure(cache)).transpose()?;
    docker.as_ref().map(|docker| assets::node_image(cache, docker)).transpose()?;
    let contexts = wanted(Tier::EndToEnd).then(|| end_to_end::prepare(cache)).transpose()?;
    Ok(Needs { docker, contexts, deny })
}

/// The examples of the documentation, run by rustdoc.
fn documentation_tests(target: &str, filter: Option<&str>) -> Job {
    let arguments = ["test", "--quiet", "--workspace", "--all-features", "--doc", "--no-fail-fast", "--"];
    let mut command = cargo::background(&arguments, target);
    command.args(filter);
    Job::tests("plain: documentation", vec![command])
}

/// What an act returns, and how long it took.
fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (act(), start.elapsed())
}

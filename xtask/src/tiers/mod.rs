//! Runs every check of the project, from formatting to real clusters, and prints one summary.
//!
//! # Steps
//!
//! 1. Every test program is built once; what the tests need is installed meanwhile.
//! 2. Side by side: the kernel tests; plain and service tests; behind them, in the time that they leave over, what only
//!    compiles.
//! 3. The end-to-end tests, alone.
//!
//! With `--long` only those end-to-end tests that an ordinary run leaves out; nothing else is built.

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
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::assets;
use crate::cache::Cache;
use crate::dist;
use crate::error::Result;
use crate::machine::{Docker, Release};
use end_to_end::Assets;
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

/// Which tests are run, and of what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these tiers
    #[arg(long = "tier", value_enum, value_name = "TIER", conflicts_with = "long")]
    tiers: Vec<Tier>,
    /// Instead of the ordinary tests the long ones: real clusters again, on a second release of Debian
    #[arg(long)]
    long: bool,
    /// End to end with the program that is shipped: optimised, which takes another ten minutes to build
    #[arg(long)]
    shipped: bool,
    /// Only tests whose name contains this
    filter: Option<String>,
}

impl Options {
    fn tiers(&self) -> &[Tier] {
        match &self.tiers[..] {
            _ if self.long => &[Tier::EndToEnd],
            [] => ALL,
            tiers => tiers,
        }
    }
}

/// Checks the dependencies against a checkout of an advisory database.
pub(crate) fn advisories(cache: &Cache, database: &Path) -> Result<()> {
    deny::advisories(&deny::tool(cache)?, database)
}

/// What tests need besides their programs.
struct Needs {
    docker: Option<Docker>,
    assets: Option<Assets>,
    deny: Result<PathBuf>,
}

/// Runs what is asked for and prints the summary; fails when a check failed. The end-to-end tests take the program that
/// was built with them, or the `shipped` one: optimised, and ten minutes later.
pub(crate) fn test(cache: &Cache, options: &Options) -> Result<()> {
    let filter = options.filter.as_deref();
    let wanted = |tier: Tier| options.tiers().contains(&tier);
    let mut summary = Summary::start();
    let target = &dist::host_target()?;

    let (needs, programs) = std::thread::scope(|scope| {
        let needs = scope.spawn(|| timed(|| prepare(cache, options)));
        let programs = timed(|| Programs::build(target, options.long));
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

    if let (Some(docker), Some(assets)) = (&needs.docker, &needs.assets) {
        let work = end_to_end::work(cache);
        let binary = if options.shipped { dist::dist(&work) } else { dist::place(&programs.sealer, &work) }?;
        summary.add(end_to_end::run(cache, docker, &programs, assets, &binary, filter)?);
    }
    summary.finish()
}

/// Installs and makes what the tests need.
fn prepare(cache: &Cache, options: &Options) -> Result<Needs> {
    let wanted = |tier: Tier| options.tiers().contains(&tier);
    if wanted(Tier::Kernel) {
        kernel::prepare()?;
    }
    if wanted(Tier::Service) {
        service::prepare()?;
    }
    let deny = if wanted(Tier::Check) { deny::tool(cache) } else { Ok(PathBuf::new()) };
    let docker = (wanted(Tier::Service) || wanted(Tier::EndToEnd)).then(|| Docker::ensure(cache)).transpose()?;
    docker.as_ref().map(|docker| assets::node_image(cache, docker, Release::Bookworm)).transpose()?;
    let end_to_end = docker.as_ref().filter(|_| wanted(Tier::EndToEnd));
    let assets = end_to_end.map(|docker| end_to_end::prepare(cache, docker, options.long)).transpose()?;
    Ok(Needs { docker, assets, deny })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn long_tests_replace_the_ordinary_ones() {
        let tiers = |words: &[&str]| {
            let line = Line::try_parse_from([&["test"], words].concat());
            line.map(|line| line.options.tiers().to_vec())
        };
        assert_eq!(tiers(&[]).unwrap(), ALL);
        assert_eq!(tiers(&["--tier", "plain", "name"]).unwrap(), [Tier::Plain]);
        assert_eq!(tiers(&["--long", "name"]).unwrap(), [Tier::EndToEnd]);
        assert!(tiers(&["--long", "--tier", "plain"]).is_err());
    }
}

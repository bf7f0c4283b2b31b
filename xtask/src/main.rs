//! Developer automation: `cargo xtask COMMAND`.

#![expect(clippy::disallowed_methods, reason = "a program for developers asks its environment and waits for others")]

mod archive;
mod assets;
mod bench;
mod cache;
mod demo;
mod dist;
mod error;
mod machine;
mod output;
mod program;
mod reference;
mod tidy;
mod tiers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use cache::Cache;
use error::Result;
use machine::{Docker, Release};

/// Developer automation for sealer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// From nothing to a Kubernetes cluster with an application: build, run, show
    Demo {
        /// Delete the cluster at the end
        #[arg(long)]
        rm: bool,
    },
    /// Run every check and test, with what they need installed first
    Test(tiers::Options),
    /// Check the dependencies against known faults
    Advisories {
        /// A checkout of github.com/rustsec/advisory-db; nothing is fetched
        #[arg(value_name = "DIR")]
        database: PathBuf,
    },
    /// Check the rules of the repository: arrows, sizes, names, order
    Tidy,
    /// Write the generated pages of docs/reference
    Reference,
    /// Build the static, stripped binary
    Dist {
        /// Directory that receives it
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Measure sealer beside its peers
    Bench {
        /// What to measure
        #[arg(value_enum)]
        name: Measurement,
        /// Measure everything once only
        #[arg(long)]
        quick: bool,
    },
    #[command(hide = true)]
    BenchLvscareApart(bench::Apart),
    /// Make (or find) the node image and the build contexts, and print where they are
    Assets,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Measurement {
    /// Planning and executing for many hosts: seconds, and memory
    Apply,
    /// Building a rootfs of 450 MB
    Build,
    /// Machines on a stand-in of Alibaba Cloud: calls and time
    Cloud,
    /// Moving an image of 450 MB: push, pull, save, load
    Image,
    /// Load balancing: failing servers, throughput, footprint
    Lvscare,
    /// Serving blobs and manifests, and misses
    Registry,
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    match task {
        Task::Demo { rm } => demo::demo(&Cache::open()?, *rm),
        Task::Test(options) => tiers::test(&Cache::open()?, options),
        Task::Advisories { database } => tiers::advisories(&Cache::open()?, database),
        Task::Tidy => tidy::report(&tidy::repository()),
        Task::Reference => reference::reference(),
        Task::Dist { out } => dist::dist(out).map(drop),
        Task::Bench { name: Measurement::Apply, .. } => bench::apply(&Cache::open()?),
        Task::Bench { name: Measurement::Build, .. } => bench::build(&Cache::open()?),
        Task::Bench { name: Measurement::Cloud, .. } => bench::cloud(),
        Task::Bench { name: Measurement::Image, .. } => bench::image(&Cache::open()?),
        Task::Bench { name: Measurement::Lvscare, quick } => bench::lvscare(&Cache::open()?, *quick),
        Task::Bench { name: Measurement::Registry, quick } => bench::registry(&Cache::open()?, *quick),
        Task::BenchLvscareApart(apart) => bench::apart(apart),
        Task::Assets => print_assets(&Cache::open()?),
    }
}

fn print_assets(cache: &Cache) -> Result<()> {
    let docker = Docker::ensure(cache)?;
    output::line(&format!("node-image    {}", assets::node_image(cache, &docker, Release::Bookworm)?));
    output::line(&format!("base-context  {}", assets::base_context(cache, Release::Bookworm)?.display()));
    output::line(&format!("demo-context  {}", assets::demo_context(cache)?.display()));
    docker.keep();
    Ok(())
}

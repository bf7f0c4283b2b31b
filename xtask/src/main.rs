//! Developer automation: `cargo xtask COMMAND`.

mod archive;
mod assets;
mod cache;
mod error;
mod machine;
mod output;
mod program;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cache::Cache;
use error::Result;
use machine::Docker;

/// Developer automation for sealer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Make (or find) the node image and the build contexts, and print where they are
    Assets,
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    let cache = Cache::open()?;
    match task {
        Task::Assets => {
            let docker = Docker::ensure(&cache)?;
            assets::node_image(&cache, &docker)?;
            output::line(&format!("node-image    {}", assets::NODE_IMAGE));
            output::line(&format!(
                "base-context  {}",
                assets::base_context(&cache)?.display()
            ));
            output::line(&format!(
                "demo-context  {}",
                assets::demo_context(&cache)?.display()
            ));
            docker.keep();
            Ok(())
        }
    }
}

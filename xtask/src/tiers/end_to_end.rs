//! Runs the end-to-end tests alone on this machine, and takes away what a killed run left.

use std::path::{Path, PathBuf};

use super::Tier;
use super::programs::Programs;
use super::schedule::{Job, side_by_side};
use super::summary::Row;
use crate::assets;
use crate::cache::Cache;
use crate::error::Result;
use crate::machine::Docker;
use crate::output;

/// Label of everything that the harness makes by itself.
const HARNESS_LABEL: &str = "io.sealer.test";
/// How the names of clusters begin that tests have the program make in the container engine.
const CLUSTER_PREFIX: &str = "e2e-";

/// Where the contexts of the images are that the tests build.
#[derive(Debug)]
pub(super) struct Contexts {
    base: PathBuf,
    application: PathBuf,
}

/// Makes (or finds) what the tests run on, besides the node image.
pub(super) fn prepare(cache: &Cache) -> Result<Contexts> {
    Ok(Contexts { base: assets::base_context(cache)?, application: assets::demo_context(cache)? })
}

/// The directory in which the tests keep their stores.
pub(super) fn work(cache: &Cache) -> PathBuf {
    cache.root().join("end-to-end")
}

/// Runs the tests with a binary.
pub(super) fn run(
    cache: &Cache,
    docker: &Docker,
    programs: &Programs,
    contexts: &Contexts,
    binary: &Path,
    filter: Option<&str>,
) -> Result<Vec<Row>> {
    // Leftovers can be told from the machines of another run only while there is no other run.
    let _alone = cache.lock("end-to-end")?;
    remove_leftovers(docker)?;
    let work = work(cache);
    let environment = [
        ("SEALER_TEST_BINARY", binary),
        ("SEALER_TEST_WORK", &work),
        ("SEALER_TEST_NODE_IMAGE", Path::new(assets::NODE_IMAGE)),
        ("SEALER_TEST_BASE_CONTEXT", &contexts.base),
        ("SEALER_TEST_APP_CONTEXT", &contexts.application),
    ];
    // A machine holds a few nodes at a time, so the clusters come one after the other.
    let commands = programs.of(Tier::EndToEnd).map(|program| {
        let mut command = program.command(filter);
        command.args(["--test-threads=1", "--nocapture"]).envs(environment);
        command
    });
    let rows = side_by_side(vec![vec![Job::tests("end to end", commands.collect()).live()]]);
    remove_leftovers(docker)?;
    forget_stores(&work);
    Ok(rows)
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

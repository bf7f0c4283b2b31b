//! Runs the end-to-end tests alone on this machine, and takes away what a killed run left.

use std::path::{Path, PathBuf};

use super::Tier;
use super::programs::Programs;
use super::schedule::{Job, side_by_side};
use super::summary::Row;
use crate::assets;
use crate::cache::Cache;
use crate::error::Result;
use crate::machine::{Docker, Release};
use crate::output;

/// Label of everything that the harness makes by itself.
const HARNESS_LABEL: &str = "io.sealer.test";
/// How the names of clusters begin that tests have the program make in the container engine.
const CLUSTER_PREFIX: &str = "e2e-";

/// What the tests run on.
#[derive(Debug)]
pub(super) struct Assets {
    node_image: String,
    base: PathBuf,
    application: PathBuf,
    helm: PathBuf,
    /// For the long tests: hosts of a later release, and a base image with its engine.
    later: Option<(String, PathBuf)>,
}

/// Makes (or finds) what the ordinary or the `long` tests run on.
pub(super) fn prepare(cache: &Cache, docker: &Docker, long: bool) -> Result<Assets> {
    let on = |release| Ok((assets::node_image(cache, docker, release)?, assets::base_context(cache, release)?));
    let (node_image, base) = on(Release::Bookworm)?;
    let later = long.then(|| on(Release::Trixie)).transpose()?;
    let (application, helm) = (assets::demo_context(cache)?, assets::helm(cache)?);
    Ok(Assets { node_image, base, application, helm, later })
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
    assets: &Assets,
    binary: &Path,
    filter: Option<&str>,
) -> Result<Vec<Row>> {
    // Leftovers can be told from the machines of another run only while there is no other run.
    let _alone = cache.lock("end-to-end")?;
    remove_leftovers(docker)?;
    let work = work(cache);
    let mut environment = vec![
        ("SEALER_TEST_BINARY", binary),
        ("SEALER_TEST_WORK", &work),
        ("SEALER_TEST_NODE_IMAGE", Path::new(&assets.node_image)),
        ("SEALER_TEST_BASE_CONTEXT", &assets.base),
        ("SEALER_TEST_APP_CONTEXT", &assets.application),
        ("SEALER_TEST_HELM", &assets.helm),
    ];
    let mut arguments = vec!["--test-threads=1", "--nocapture"];
    if let Some((node_image, base)) = &assets.later {
        environment.push(("SEALER_TEST_LATER_NODE_IMAGE", Path::new(node_image)));
        environment.push(("SEALER_TEST_LATER_BASE_CONTEXT", base));
        // The long tests are those that an ordinary run ignores.
        arguments.push("--ignored");
    }
    // A machine holds a few nodes at a time, so the clusters come one after the other.
    let commands = programs.of(Tier::EndToEnd).map(|program| {
        let mut command = program.command(filter);
        command.args(&arguments).envs(environment.iter().copied());
        command
    });
    let name = if assets.later.is_some() { "end to end, long" } else { "end to end" };
    let rows = side_by_side(vec![vec![Job::tests(name, commands.collect()).live()]]);
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

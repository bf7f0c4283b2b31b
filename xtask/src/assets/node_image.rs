//! Builds the image of the CONTAINER provider's hosts.

use super::in_xtask;
use crate::cache::{Cache, Key};
use crate::error::Result;
use crate::machine::{self, Docker, Release};
use crate::output;
use crate::program::{program, recipe, run_quietly};

/// Makes sure that the engine has the node image of a release as this repository describes it, and returns its name.
pub(crate) fn node_image(cache: &Cache, docker: &Docker, release: Release) -> Result<String> {
    let script = in_xtask("node-image/build.sh");
    let key = Key::new("2").tree(&in_xtask("node-image"))?.text(release.name());
    let name = format!("sealer-node:{}", release.name());
    // The tag with the key tells whether the engine's image is today's.
    let exact = format!("sealer-node:{}", key.short());
    if !docker.has_image(&exact) {
        let entry = cache.entry("node-image", &key, |target| {
            machine::ensure_programs(&[("debootstrap", "debootstrap"), ("tar", "tar")])?;
            let mirror = machine::mirror()?;
            output::step(&format!("building the node image of {} (about a minute and a half)", release.name()));
            run_quietly(recipe(&script).arg(target.join("rootfs.tar")).args([&mirror, release.name()]))
        })?;
        run_quietly(
            program("docker")
                .args([
                    "import",
                    "-c",
                    "ENTRYPOINT [\"/usr/local/bin/sealer-node-init\"]",
                    "-c",
                    "ENV container=docker",
                ])
                .arg(entry.join("rootfs.tar"))
                .arg(&exact),
        )?;
    }
    run_quietly(program("docker").args(["tag", &exact, &name]))?;
    Ok(name)
}

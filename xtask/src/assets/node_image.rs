//! Builds the image of the CONTAINER provider's hosts.

use super::in_xtask;
use crate::cache::{Cache, Key};
use crate::error::Result;
use crate::machine::{self, Docker};
use crate::output;
use crate::program::{program, recipe, run_quietly};

/// Name under which the engine knows the image.
pub(crate) const NODE_IMAGE: &str = "sealer-node:bookworm";

/// Makes sure that the engine has [`NODE_IMAGE`] as this repository describes it.
pub(crate) fn node_image(cache: &Cache, docker: &Docker) -> Result<()> {
    let script = in_xtask("node-image/build.sh");
    let key = Key::new("1").tree(&in_xtask("node-image"))?;
    // The tag with the key tells whether the engine's image is today's.
    let exact = format!("sealer-node:{}", key.short());
    if !docker.has_image(&exact) {
        let entry = cache.entry("node-image", &key, |target| {
            machine::ensure_programs(&[("debootstrap", "debootstrap"), ("tar", "tar")])?;
            let (mirror, suite) = machine::mirror()?;
            output::step("building the node image (about a minute and a half)");
            run_quietly(recipe(&script).arg(target.join("rootfs.tar")).args([&mirror, suite]))
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
    run_quietly(program("docker").args(["tag", &exact, NODE_IMAGE]))
}

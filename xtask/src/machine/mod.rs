//! Brings what this machine must have before tests and demo can run.

mod apt;
mod docker;
mod python;

pub(crate) use apt::{PackageSource, Release, ensure_packages, ensure_programs, mirror};
pub(crate) use docker::Docker;
pub(crate) use python::{ensure_python, install_wheel};

use crate::error::{Error, Result};

/// Fails unless we are root, which installing packages and running containers needs.
pub(crate) fn require_root() -> Result<()> {
    if crate::program::read(crate::program::program("id").arg("-u"))? == "0" {
        return Ok(());
    }
    Err(Error::Machine { missing: "this command needs root".into(), remedy: "run it as root".into() })
}

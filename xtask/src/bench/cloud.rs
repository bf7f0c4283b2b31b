//! Counts calls and seconds for making and freeing machines on Alibaba Cloud.

use crate::error::Result;
use crate::program::{program, run};
use crate::tidy::repository;

/// Has the provider make and free machines on the stand-in of the cloud, and prints a table.
pub(crate) fn cloud() -> Result<()> {
    let arguments = ["run", "--quiet", "--locked", "--package", "infra-provider", "--example", "cloud-bench"];
    run(program("cargo").args(arguments).current_dir(repository()))
}

//! Measures planning and executing for many hosts, and what SSH to several costs.

use crate::error::Result;
use crate::program::{program, run};
use crate::tidy::repository;

/// Plans and executes on hosts that are not there, then works on SSH servers of this machine beside ansible; prints tables.
pub(crate) fn apply() -> Result<()> {
    let arguments = ["run", "--quiet", "--locked", "--release", "--package", "runtime", "--example", "bench-apply"];
    run(program("cargo").args(arguments).current_dir(repository()))?;
    super::hosts::hosts()
}

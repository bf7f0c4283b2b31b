//! Brings the generated pages of docs/reference up to date.

use std::fs;

use crate::error::{Error, Result};
use crate::output;
use crate::program::{program, run};
use crate::tidy::repository;

/// Writes the pages. Code describes itself: the tests that compare the pages also know how to write them, so this crate
/// does not have to be compiled with the whole program.
pub(crate) fn reference() -> Result<()> {
    let directory = repository().join("docs/reference");
    fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    for (package, test) in [("sealer", "reference"), ("clusterfile", "published_schema")] {
        run(program("cargo").current_dir(repository()).env("UPDATE", "1").args([
            "test",
            "--quiet",
            "--package",
            package,
            "--test",
            test,
        ]))?;
    }
    output::step("docs/reference is up to date");
    Ok(())
}

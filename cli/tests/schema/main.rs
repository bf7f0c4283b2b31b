//! A validator of others takes what `sealer schema` describes, as editors do.
//!
//! It is installed into a virtual environment: below `SEALER_TEST_VENV` when it is set, else below cargo's directory for
//! tests. The environment is kept as long as the list of requirements is the same.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "tests are told by the environment where things are")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files that work are valid; those whose first line says so are not.
#[test]
fn files_are_valid_or_not_as_their_first_line_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let schema = directory.path().join("schema.json");
    fs::write(&schema, run(Command::new(env!("CARGO_BIN_EXE_sealer")).arg("schema"))).unwrap();
    let listed = fs::read_dir(here.join("../tests/suite/check")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = listed.filter(|path| path.extension().is_some_and(|found| found == "yaml")).collect();
    let python = python(&here.join("tests/schema/requirements.txt"));
    let report = run(Command::new(python).arg(here.join("tests/schema/referee.py")).arg(schema).args(&files));
    println!("{report}");
    let (mut valid, mut wrong) = (0, 0);
    for (file, line) in files.iter().zip(report.lines()) {
        let text = fs::read_to_string(file).unwrap();
        if text.starts_with("# refused, by the schema too: ") {
            assert!(!line.ends_with(" valid"), "{line}");
            wrong += 1;
        } else if text.starts_with("# works\n") {
            assert!(line.ends_with(" valid"), "{line}");
            valid += 1;
        }
    }
    assert!(valid >= 25 && wrong >= 8, "{valid} valid, {wrong} not");
}

/// An interpreter that has the validator.
fn python(requirements: &Path) -> PathBuf {
    let place = std::env::var_os("SEALER_TEST_VENV").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let environment = place.join("schema-referee");
    let (python, installed) = (environment.join("bin/python"), environment.join("requirements.txt"));
    let wanted = fs::read_to_string(requirements).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return python;
    }
    fs::create_dir_all(&place).unwrap();
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements));
    fs::write(installed, wanted).unwrap();
    python
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

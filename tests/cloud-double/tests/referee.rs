//! Runs the official Python clients against the double.
//!
//! Installs them into a virtual environment: below `SEALER_TEST_VENV` when it is set, else below cargo's directory for
//! tests. The environment is kept as long as the list of requirements is the same.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "tests are told by the environment where things are")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Fractions of the double's times: the whole scenario takes seconds.
const SCALE: &str = "0.02";

/// The program, stopped when this is dropped.
struct Double {
    child: Child,
    address: String,
}

impl Double {
    fn start() -> Double {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloud-double"))
            .args(["--profile", "A", "--scale", SCALE])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_string();
        Double { child, address }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_official_clients_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("referee");
    let python = python(&folder.join("requirements.txt"));
    let double = Double::start();
    let output = Command::new(python)
        .arg(folder.join("referee.py"))
        .args([&double.address, SCALE])
        .arg(folder.join("requests.jsonl"))
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}");
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = report.lines().last().unwrap_or_default();
    let passed: usize = last.split(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 120 && last.ends_with(" 0 failed"), "{last}");
}

/// An interpreter that has the official clients.
fn python(requirements: &Path) -> PathBuf {
    let place = std::env::var_os("SEALER_TEST_VENV").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let environment = place.join("cloud-double-referee");
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

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

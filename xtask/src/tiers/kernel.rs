//! How do tests get a kernel of their own, and which one?

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::cargo;
use super::summary::Summary;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::machine;
use crate::program::{program, read, recipe};
use crate::tidy::repository;

/// The feature of crates that have such tests, and the name of their test program.
const FEATURE: &str = "kernel";
/// Programs that the tests run or run in, and the packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("ipvsadm", "ipvsadm"),
    ("linux.uml", "user-mode-linux"),
    ("modprobe", "kmod"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
];
/// How long one boot may take, tests included.
const SECONDS: &str = "1200";
/// Runs what follows in a network, a mount and a process namespace of its own, so that nothing survives it.
const ALONE: &str = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec \"$0\" \"$@\"";

/// Runs the kernel tests of every crate that has some: with IPVS in user-mode Linux, with nftables on this kernel.
pub(super) fn kernel(cache: &Cache, summary: &mut Summary, filter: Option<&str>) -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(PROGRAMS)?;
    for (package, _) in cargo::gated_packages(&[FEATURE])? {
        let program = match test_program(&package) {
            Ok(program) => program,
            Err(error) => {
                summary.failed(&format!("{package} ({FEATURE})"), &error.to_string());
                continue;
            }
        };
        let work = cache.root().join("kernel").join(&package);
        let words = |plane: &'static str| ["--dataplane", plane].into_iter().chain(filter);
        let mut booted = boot(&work, &program);
        booted.args(words("ipvs"));
        summary.tests(&format!("{package}, IPVS in user-mode Linux"), booted);
        let mut alone = alone(&program);
        alone.args(words("nftables"));
        summary.tests(&format!("{package}, nftables on this kernel"), alone);
    }
    Ok(())
}

/// Runs a program in a user-mode Linux; arguments are added by the caller.
fn boot(work: &Path, test: &Path) -> Command {
    let mut command = recipe(&repository().join("xtask/kernel/boot.sh"));
    command.arg(work).arg(SECONDS).arg(test);
    command
}

/// Runs a program on this kernel, apart from everything else; arguments are added by the caller.
fn alone(test: &Path) -> Command {
    let mut command = program("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ALONE]).arg(test);
    command
}

/// Compiles the kernel tests of a package and returns the program.
fn test_program(package: &str) -> Result<PathBuf> {
    let arguments = ["test", "--no-run", "--message-format=json", "--package", package, "--features", FEATURE];
    let told = read(cargo::command(&arguments).args(["--test", FEATURE]))?;
    executable(&told).ok_or_else(|| Error::Shape {
        what: format!("output of cargo about the tests of {package}"),
        found: "no test program".into(),
    })
}

/// The program that cargo's messages name last.
fn executable(messages: &str) -> Option<PathBuf> {
    let mut programs = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    programs.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/target/debug/deps/kernel-1\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/target/debug/deps/kernel-1")));
        assert_eq!(executable("{}\nwarning: text"), None);
    }
}

//! Gives tests a kernel of their own: user-mode Linux for IPVS and power cuts, namespaces of this kernel for nftables.

use std::path::Path;
use std::process::Command;

use super::Tier;
use super::programs::Programs;
use super::schedule::Job;
use crate::cache::Cache;
use crate::error::Result;
use crate::machine;
use crate::program::{program, recipe};
use crate::tidy::repository;

/// Programs that the tests run or run in, and the packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("conntrack", "conntrack"),
    ("dmsetup", "dmsetup"),
    ("ip", "iproute2"),
    ("ipvsadm", "ipvsadm"),
    ("linux.uml", "user-mode-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("modprobe", "kmod"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
];
/// How long one boot may take, tests included.
const SECONDS: &str = "1200";
/// Runs what follows in a network, a mount and a process namespace of its own, so that nothing survives it.
const ALONE: &str = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec \"$0\" \"$@\"";

/// Installs what the tests need.
pub(super) fn prepare() -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(PROGRAMS)
}

/// The package whose tests are about a way to balance loads, and run with each of them.
const BALANCING: &str = "lvscare";

/// The kernel tests of every crate that has some, in user-mode Linux; those of load balancing with IPVS there, and with
/// nftables on this kernel.
pub(super) fn jobs(cache: &Cache, programs: &Programs, filter: Option<&str>) -> Vec<Job> {
    let jobs = programs.of(Tier::Kernel).flat_map(|program| {
        let package = &program.package;
        let work = cache.root().join("kernel").join(package);
        if package != BALANCING {
            let mut booted = boot(&work, program.path());
            booted.args(["--test-threads=1", "--nocapture", "--color=never"]).args(filter);
            return vec![Job::tests(&format!("kernel: {package}"), vec![booted])];
        }
        let words = |plane: &'static str| ["--dataplane", plane].into_iter().chain(filter);
        let mut booted = boot(&work, program.path());
        booted.args(words("ipvs"));
        let mut alone = alone(program.path());
        alone.args(words("nftables"));
        vec![
            Job::tests(&format!("kernel: {package}, IPVS"), vec![booted]),
            Job::tests(&format!("kernel: {package}, nftables"), vec![alone]),
        ]
    });
    jobs.collect()
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

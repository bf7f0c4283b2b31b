//! Measures planning and executing for many hosts, what leaves this machine, what SSH costs, and what kubeadm does not.

use crate::cache::Cache;
use crate::error::Result;
use crate::program::{program, run};
use crate::tidy::repository;

/// The test that counts what leaves this machine for eight hosts, and prints it.
const EGRESS: &str = "egress::an_image_crosses_the_operators_connection_once_for_eight_hosts";

/// Plans and executes on hosts that are not there, sends an image to eight of them, makes a real cluster of one master, then
/// works on SSH servers of this machine beside ansible; prints tables.
pub(crate) fn apply(cache: &Cache) -> Result<()> {
    let plan = ["run", "--quiet", "--locked", "--release", "--package", "runtime", "--example", "bench-apply"];
    let test = ["test", "--quiet", "--locked", "--package", "sealer-core", "--test", "workflows", "--"];
    let egress = [&test[..], &["--exact", EGRESS, "--nocapture"]].concat();
    for arguments in [&plan[..], &egress] {
        run(program("cargo").args(arguments).current_dir(repository()))?;
    }
    super::overhead::overhead(cache)?;
    super::hosts::hosts()
}

//! Measures what making a cluster of one master costs beyond kubeadm, on a host that is a container.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::assets::{self, KUBERNETES};
use crate::cache::Cache;
use crate::dist;
use crate::error::{Error, Result};
use crate::machine::{Docker, Release};
use crate::output;
use crate::program::{line, program, run_quietly};

const CLUSTER: &str = "e2e-overhead";
/// What is written to measure the disk, in MB.
const WRITTEN: usize = 512;

/// Makes a cluster and prints its seconds: all of them, kubeadm's, those in which the disk takes the content, and the rest.
pub(crate) fn overhead(cache: &Cache) -> Result<()> {
    let docker = Docker::ensure(cache)?;
    assets::node_image(cache, &docker, Release::Bookworm)?;
    let base = assets::base_context(cache, Release::Bookworm)?;
    let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("make a directory in", cache.root()))?;
    let sealer = dist::unoptimised(scratch.path())?;
    let command = |arguments: &[&str]| {
        let mut command = program(&sealer);
        command.args(arguments).env("HOME", scratch.path()).env("SEALER_ROOT", scratch.path().join("root"));
        command
    };
    let image = format!("kubernetes:{KUBERNETES}");
    run_quietly(&mut command(&["build", "-q", "-t", &image, &base.display().to_string()]))?;
    let rate = disk_rate(scratch.path())?;
    let options = ["--provider", "CONTAINER", "--masters", "1", "--cluster-name", CLUSTER, "--json"];
    let mut run = command(&[&["run", &image], &options[..]].concat());
    let shown = line(&run);
    let started = Instant::now();
    let ended = run.stdout(Stdio::null()).output().map_err(|source| Error::Start { program: shown.clone(), source })?;
    let all = started.elapsed().as_secs_f64();
    let deleted = run_quietly(&mut command(&["delete", "--yes", "-c", CLUSTER]));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    if !ended.status.success() {
        return Err(Error::Program { line: shown, status: ended.status.to_string(), output: told });
    }
    deleted?;
    let (kubeadm, bytes) =
        spans(&told).ok_or_else(|| Error::Shape { what: format!("events of `{shown}`"), found: told })?;
    let (megabytes, disk) = (bytes / 1e6, bytes / rate);
    let rest = (all - kubeadm - disk) / kubeadm;
    output::line(&format!(
        "1 master: {all:.1} s; kubeadm {kubeadm:.1} s; {megabytes:.0} MB at {:.0} MB/s {disk:.1} s; the rest {rest:.2} x kubeadm, <= 0.25 x (sealer not optimised)",
        rate / 1e6
    ));
    Ok(())
}

/// Bytes a second that the disk takes.
fn disk_rate(directory: &Path) -> Result<f64> {
    let target = format!("of={}", directory.join("written").display());
    let started = Instant::now();
    run_quietly(program("dd").args(["if=/dev/zero", &target, "bs=1M", &format!("count={WRITTEN}"), "conv=fsync"]))?;
    Ok((WRITTEN << 20) as f64 / started.elapsed().as_secs_f64())
}

/// Seconds of kubeadm, and bytes of content, as the events tell.
fn spans(events: &str) -> Option<(f64, f64)> {
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps: Vec<Value> = events.filter_map(|mut event| event.get_mut("step").map(Value::take)).collect();
    let kubeadm = steps.iter().find(|step| step["step"] == "kubeadm-init" && step["event"] == "finished")?;
    let bytes = steps.iter().filter_map(|step| step.pointer("/progress/total")?.as_f64()).fold(0.0, f64::max);
    Some((kubeadm["millis"].as_f64()? / 1000.0, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_tell_seconds_and_bytes() {
        let events = "text\n\
            {\"event\":\"step\",\"step\":{\"event\":\"moving\",\"step\":\"content@a\",\"progress\":{\"done\":5,\"total\":100}}}\n\
            {\"event\":\"step\",\"step\":{\"event\":\"finished\",\"step\":\"kubeadm-init\",\"millis\":20500}}\n";
        assert_eq!(spans(events), Some((20.5, 100.0)));
        assert_eq!(spans("{}"), None);
    }
}

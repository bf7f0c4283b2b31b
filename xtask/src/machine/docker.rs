//! Finds or starts a container engine, and removes what earlier runs left in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::output;
use crate::program::{find, program, read, run_quietly, succeeds};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A container engine that answers. One that we started ends with this value; one that was there stays.
#[derive(Debug)]
#[must_use]
pub(crate) struct Docker {
    started: Option<Child>,
}

impl Docker {
    /// Finds the engine, or installs and starts one.
    pub(crate) fn ensure(cache: &Cache) -> Result<Docker> {
        if answers() {
            return Ok(Docker { started: None });
        }
        super::ensure_programs(&[("dockerd", "docker.io"), ("docker", "docker.io"), ("iptables", "iptables")])?;
        // Installing the package may have started it, where there is a service manager.
        if wait_for_answer(Duration::from_secs(if std::path::Path::new("/run/systemd/system").exists() {
            15
        } else {
            0
        })) {
            return Ok(Docker { started: None });
        }
        output::step("starting dockerd");
        let log = cache.root().join("dockerd.log");
        let file = File::create(&log).map_err(Error::file("create", &log))?;
        let copy = file.try_clone().map_err(Error::file("open", &log))?;
        let daemon = find("dockerd").unwrap_or_else(|| PathBuf::from("dockerd"));
        let mut command = program(&daemon);
        // Its own process group: an interrupt from the terminal must not take the containers' engine away first.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .map_err(|source| Error::Start { program: daemon.display().to_string(), source })?;
        let docker = Docker { started: Some(child) };
        if wait_for_answer(START_LIMIT) {
            return Ok(docker);
        }
        Err(Error::Machine { missing: "dockerd does not answer".into(), remedy: format!("see {}", log.display()) })
    }

    /// Leaves the engine running even though we started it: something still needs it.
    pub(crate) fn keep(mut self) {
        self.started = None;
    }

    /// Does the engine have this image?
    pub(crate) fn has_image(&self, name: &str) -> bool {
        succeeds(program("docker").args(["image", "inspect", name]))
    }

    /// The values that containers and networks have for a label, each once.
    pub(crate) fn label_values(&self, label: &str) -> Result<BTreeSet<String>> {
        let format = format!("{{{{.Label \"{label}\"}}}}");
        let filter = format!("label={label}");
        let containers = read(program("docker").args(["ps", "-a", "--filter", &filter, "--format", &format]))?;
        let networks = read(program("docker").args(["network", "ls", "--filter", &filter, "--format", &format]))?;
        Ok(containers.lines().chain(networks.lines()).map(String::from).collect())
    }

    /// Removes containers (with their volumes) and networks that carry `label`.
    pub(crate) fn remove_labelled(&self, label: &str) -> Result<()> {
        let filter = format!("label={label}");
        let containers = read(program("docker").args(["ps", "-aq", "--filter", &filter]))?;
        if !containers.is_empty() {
            run_quietly(program("docker").args(["rm", "-f", "-v"]).args(containers.lines()))?;
        }
        let networks = read(program("docker").args(["network", "ls", "-q", "--filter", &filter]))?;
        if !networks.is_empty() {
            run_quietly(program("docker").args(["network", "rm"]).args(networks.lines()))?;
        }
        Ok(())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let Some(child) = &mut self.started else {
            return;
        };
        output::step("stopping dockerd");
        if succeeds(program("kill").arg(child.id().to_string())) {
            let _ = child.wait();
        }
    }
}

fn answers() -> bool {
    find("docker").is_some() && succeeds(program("docker").args(["version", "--format", "{{.Server.Version}}"]))
}

fn wait_for_answer(limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        if answers() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

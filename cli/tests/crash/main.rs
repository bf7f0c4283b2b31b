//! Commands that write are killed, and the disk fails, at each system call that changes a file: what is there is the old
//! state or the new one, and the same command again leads to the new one.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

#[expect(dead_code, reason = "the other test uses the rest")]
mod stage;
mod tracer;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::libc::{EIO, ENOSPC, EROFS};
use stage::{Stage, parts, shop, shops, spawn};
use tracer::Interference;

/// What a disk does besides.
const FAILURES: [Interference; 3] =
    [Interference::Fail(ENOSPC), Interference::Fail(EROFS), Interference::FailOnce(EIO)];

/// What a command goes through, at each of its changes.
fn matrix(stage: &Stage, line: &[&str]) {
    matrix_with(stage, line, &|| ());
}

/// The same where `reset` takes back what the command did elsewhere.
fn matrix_with(stage: &Stage, line: &[&str], reset: &dyn Fn()) {
    stage.keep();
    let old = stage.state("before");
    let all = tracer::run(&stage.command(line), stage.work(), None);
    assert_eq!(all.code, Some(0), "{line:?}: {}", all.stderr);
    let new = stage.state("undisturbed");
    let tidy = |stage: &Stage| {
        stage.call(&["prune"]);
        stage.listing()
    };
    let clean = tidy(stage);
    for at in 0..all.calls.len() {
        // Each point has a kill and one of the failures: all three at each would take three times as long.
        for way in [Interference::Kill, FAILURES[at % FAILURES.len()]] {
            stage.reset();
            reset();
            let run = tracer::run(&stage.command(line), stage.work(), Some((at, way)));
            let moment = format!("{line:?}, {way:?} at {at} ({:?})\n{}", all.calls.get(at), run.stderr);
            let told = |text: &str| assert!(run.stderr.contains(text), "it does not say `{text}`: {moment}");
            assert!(!run.stderr.contains("panicked"), "{moment}");
            let state = stage.state(&moment);
            assert!(state == old || state == new, "{moment}: {state:#?}");
            match (way, run.code) {
                (Interference::Kill, None) => {}
                // Another order of its threads, or a failure that nobody needs to know of.
                (_, Some(0)) => assert!(state == new, "{moment}"),
                (Interference::Fail(ENOSPC), Some(_)) => told("space"),
                (Interference::Fail(_), Some(_)) => told("Read-only file system"),
                (_, code) => {
                    assert_eq!(code, Some(1), "{moment}");
                    told("Input/output error");
                }
            }
            if way == Interference::Fail(ENOSPC) {
                let left: Vec<_> = stage.listing().into_iter().filter(|path| is_temporary(path)).collect();
                assert!(left.is_empty(), "{left:?} is left: {moment}");
            }
            if run.code != Some(0) && (state != new || old == new) {
                stage.call(line);
            }
            assert!(stage.state("afterwards") == new, "the second run leads elsewhere: {moment}");
            assert_eq!(tidy(stage), clean, "something is left: {moment}");
        }
    }
}

/// Whether a file is one that nothing but its writer knows.
fn is_temporary(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.contains(".new-") || path.to_string_lossy().contains("ingest/write") || name.starts_with("at-work-")
}

#[test]
fn build() {
    matrix(&shop(), &["build", "-q", "-t", "shop:1", "context"]);
}

#[test]
fn build_from_a_base() {
    let stage = shops();
    stage.write("context/Kubefile", "FROM shop:2\nCOPY manifests third\n");
    matrix(&stage, &["build", "-q", "-t", "other:1", "context"]);
}

#[test]
fn tag_moves_a_name() {
    matrix(&shops(), &["tag", "shop:2", "shop:1", "new:1"]);
}

#[test]
fn prune() {
    let stage = shops();
    stage.call(&["tag", "shop:2", "shop:1"]);
    stage.call(&["tag", "shop:2", "other:1"]);
    matrix(&stage, &["prune", "--all"]);
}

#[test]
fn rmi() {
    matrix(&shops(), &["rmi", "-f", "shop:1"]);
}

#[test]
fn load() {
    let stage = shops();
    stage.call(&["save", "-o", "archive.tar", "shop:2", "other:1"]);
    stage.call(&["rmi", "shop:2"]);
    stage.call(&["tag", "shop:1", "other:1"]);
    stage.call(&["prune", "--all"]);
    matrix(&stage, &["load", "-i", "archive.tar"]);
}

#[test]
fn load_of_parts() {
    let stage = parts();
    matrix(&stage, &["load", "-i", "archive.tar.002", "archive.tar.001"]);
}

#[test]
fn save() {
    let stage = shops();
    stage.write("output/archive.tar", "an older file");
    matrix(&stage, &["save", "-o", "output/archive.tar", "shop:2"]);
}

#[test]
fn save_of_a_layout() {
    matrix(&shops(), &["save", "-o", "output/layout", "--format", "oci-dir", "shop:2"]);
}

#[test]
fn merge() {
    matrix(&shops(), &["merge", "-t", "shop:1", "shop:2", "other:1"]);
}

#[test]
fn manifest() {
    let stage = shops();
    matrix(&stage, &["manifest", "create", "joined:1", "shop:1"]);
    stage.reset();
    stage.call(&["manifest", "create", "joined:1"]);
    matrix(&stage, &["manifest", "add", "joined:1", "shop:1"]);
    stage.reset();
    stage.call(&["manifest", "add", "joined:1", "shop:1"]);
    matrix(&stage, &["manifest", "delete", "joined:1"]);
}

#[test]
fn pull() {
    let registry = Registry::start();
    let stage = shops();
    let name = format!("{}/team/shop:2", registry.host);
    stage.call(&["push", "shop:2", &name]);
    stage.call(&["rmi", "shop:2"]);
    stage.call(&["tag", "shop:1", &name]);
    stage.call(&["prune", "--all"]);
    matrix(&stage, &["pull", &name]);
}

/// Nothing here changes but what resumes an upload; the registry has the image in the end.
#[test]
fn push() {
    let registry = Registry::start();
    let stage = shops();
    let name = format!("{}/team/shop:2", registry.host);
    matrix_with(&stage, &["push", "shop:2", &name], &|| {
        std::fs::remove_dir_all(registry.data.path().join("docker")).unwrap()
    });
    stage.call(&["pull", &name]);
}

/// A `docker-registry` on loopback; it ends with the value.
struct Registry {
    host: String,
    child: Child,
    data: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("config.yml");
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\" }}\n",
            data.path().display(),
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { host, child: spawn(&mut command), data };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            #[expect(clippy::disallowed_methods, reason = "a test waits for what another process does")]
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not answer");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Docker runs and podman pulls an image under its original name, with no way to any registry but ours.
#![allow(clippy::unwrap_used)]

mod support;

use registry_proxy::{Event, Options, UpstreamConfig, UpstreamSource, service};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::{Content, Server, Trusted};
use tempfile::TempDir;

const IMAGE: &str = "registry.example/team/app:1";
const RUN: [&str; 8] = ["run", "--rm", "--network=none", "--pull=never", IMAGE, "/bin/busybox", "echo", "it runs"];

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The output of a command that has to succeed.
async fn output(command: Command) -> String {
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A docker of its own that knows no other way than the proxy; it ends with the value.
struct Docker {
    directory: TempDir,
    child: Child,
}

impl Docker {
    async fn start(proxy: SocketAddr, trusted: &Trusted) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut command = Command::new("dockerd");
        // Without a bridge it would take away that of the engine which the machine has.
        command.args(["--bridge=docker0", "--iptables=false", "--storage-driver=vfs"]);
        command.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("run"));
        command.arg("--pidfile").arg(path("pid")).arg("--host").arg(format!("unix://{}", path("socket").display()));
        command.env("HTTPS_PROXY", format!("http://{proxy}")).env("SSL_CERT_FILE", &trusted.certificate);
        let log = std::fs::File::create(path("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let docker = Self { directory, child };
        for _ in 0..300 {
            if run(docker.command(&["version"])).await.status.success() {
                return docker;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("dockerd does not answer: {}", std::fs::read_to_string(docker.directory.path().join("log")).unwrap());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.directory.path().join("socket").display()));
        command.arg("--config").arg(self.directory.path()).args(arguments);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Asked to, it ends its containers and its containerd as well.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A podman with storage of its own.
fn podman(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(directory.join("root")).arg("--runroot").arg(directory.join("run"));
    command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]);
    command.arg("--tmpdir").arg(directory.join("tmp")).args(arguments);
    command
}

/// Podman has the whole image: it takes a file out of it. Its containers may not start where the tests run: it raises
/// limits of processes.
async fn is_here(directory: &Path) {
    output(podman(directory, &["create", "--name=app", "--pull=never", "--network=none", IMAGE, "/bin/busybox"])).await;
    let file = directory.join("busybox");
    output(podman(directory, &["cp", "app:/bin/busybox", &file.display().to_string()])).await;
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read("/bin/busybox").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_runs_an_original_name_through_the_forward_proxy() {
    let content = Content::of_image(IMAGE);
    let trusted = Trusted::new();
    let docker = Docker::start(support::forward(&content, &trusted).await, &trusted).await;
    output(docker.command(&["pull", IMAGE])).await;
    assert_eq!(output(docker.command(&RUN)).await, "it runs\n");
    let missing = run(docker.command(&["pull", "registry.example/team/other:1"])).await;
    assert!(!missing.status.success(), "nothing else is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_an_original_name_through_the_forward_proxy() {
    let content = Content::of_image(IMAGE);
    let trusted = Trusted::new();
    let proxy = support::forward(&content, &trusted).await;
    let directory = tempfile::tempdir().unwrap();
    let mut pull = podman(directory.path(), &["pull", "--quiet", IMAGE]);
    pull.env("HTTPS_PROXY", format!("http://{proxy}")).env("SSL_CERT_FILE", &trusted.certificate);
    output(pull).await;
    is_here(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_an_original_name_through_a_mirror_that_asks_an_upstream() {
    let content = Content::of_image(IMAGE);
    let upstream = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let (store, options) = (content_store::Store::open(&path("store")).unwrap(), Options::default());
    let config = UpstreamConfig::new("registry.example").at(format!("http://{}", upstream.host()));
    let source = UpstreamSource::new(store, vec![config], &options).unwrap();
    let server = Server::over(service(vec![Arc::new(source)], options), None).await;
    let mirror = format!(
        "[[registry]]\nlocation = \"registry.example\"\n[[registry.mirror]]\nlocation = \"{}/registry.example\"\ninsecure = true\n",
        server.host()
    );
    std::fs::write(path("registries.conf"), mirror).unwrap();
    let mut pull = podman(directory.path(), &["pull", "--quiet", IMAGE]);
    pull.env("CONTAINERS_REGISTRIES_CONF", path("registries.conf"));
    output(pull).await;
    is_here(directory.path()).await;
    let corrupt = content.events.lock().unwrap().iter().any(|event| matches!(event, Event::Corrupt { .. }));
    assert!(!corrupt);
}

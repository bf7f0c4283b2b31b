//! Containerd pulls original image names through the registry, and turns to another one when content is corrupt.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Reference;
use content_store::{Digest, Store};
use registry_client::contract::Fixture;
use registry_proxy::{ContentSource, Event, Options, Source, UpstreamConfig, UpstreamSource, service};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::{Content, Server};
use tempfile::TempDir;

const IMAGE: &str = "registry.invalid/team/app:1";

/// A containerd of its own, with one `_default/hosts.toml`; it ends with the value.
struct Containerd {
    directory: TempDir,
    child: Child,
}

impl Containerd {
    async fn start(hosts: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket")
        );
        std::fs::write(path("config.toml"), config).unwrap();
        std::fs::create_dir_all(path("certs.d/_default")).unwrap();
        let entry = |host: &String| format!("[host.\"http://{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        std::fs::write(path("certs.d/_default/hosts.toml"), hosts.iter().map(entry).collect::<String>()).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(path("config.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let containerd = Self { directory, child };
        for _ in 0..200 {
            if containerd.ctr(&["version"]).await.status.success() {
                return containerd;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("containerd does not answer");
    }

    async fn ctr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.path("socket")).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Fetches the image by its original name, without unpacking it.
    async fn fetch(&self) -> Output {
        let hosts = self.path("certs.d");
        self.ctr(&["content", "fetch", "--hosts-dir", hosts.to_str().unwrap(), IMAGE]).await
    }

    async fn has(&self, digest: &Digest) -> bool {
        let listed = self.ctr(&["content", "ls", "--quiet"]).await;
        String::from_utf8(listed.stdout).unwrap().contains(&digest.to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Content with one image under the original name; its layer's digest.
fn content() -> (Content, Digest) {
    let fixture = Fixture::new("registry.invalid");
    let content = Content::new(&fixture);
    let layer = content.store.put(&fixture.blobs[2]).unwrap();
    content.image(&Reference::new("registry.invalid", "team/app", "1").unwrap(), &layer);
    (content, layer.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_the_original_name() {
    let (content, layer) = content();
    let server = Server::start(&content, None).await;
    let containerd = Containerd::start(&[server.host()]).await;
    let output = containerd.fetch().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(containerd.has(&layer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_turns_to_another_registry_when_a_blob_is_corrupt() {
    let ((bad, layer), (good, _)) = (content(), content());
    bad.corrupt(&layer);
    let (first, second) = (Server::start(&bad, None).await, Server::start(&good, None).await);
    let containerd = Containerd::start(&[first.host(), second.host()]).await;
    let output = containerd.fetch().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(containerd.has(&layer).await);
    let events = bad.events.lock().unwrap();
    assert!(matches!(&events[..], [Event::Corrupt { digest, .. }] if *digest == layer), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_through_an_upstream_and_again_without_it() {
    let (content, layer) = content();
    let upstream = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let (store, options) = (Store::open(directory.path()).unwrap(), Options::default());
    let config = UpstreamConfig::new("*").at(format!("http://{}", upstream.host()));
    let cache = UpstreamSource::new(store.clone(), vec![config], &options).unwrap();
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(ContentSource::new(store, &options)), Arc::new(cache)];
    let server = Server::over(service(sources, options), None).await;
    let first = Containerd::start(&[server.host()]).await;
    let output = first.fetch().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(first.has(&layer).await);
    upstream.stop().await;
    let second = Containerd::start(&[server.host()]).await;
    let output = second.fetch().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(second.has(&layer).await);
}

//! The HTTPS client passes the contract suite against Debian's `docker-registry`.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use registry_client::contract::{Fixture, contract, digest_of};
use registry_client::{ACCEPT, Https, ImageName, Options};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Debian's `docker-registry` on loopback; it ends with the value.
struct DockerRegistry {
    host: String,
    child: Child,
}

impl DockerRegistry {
    async fn start(directory: &Path) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let root = directory.join("data");
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\" }}\n",
            root.display()
        );
        let file = directory.join("config.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { host, child };
        for _ in 0..200 {
            if reqwest::get(format!("http://{}/v2/", registry.host)).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not answer");
    }

    async fn fill(&self, fixture: &Fixture) {
        let client = reqwest::Client::new();
        let base = format!("http://{}/v2/{}", self.host, fixture.image.repository);
        for blob in &fixture.blobs {
            let session = client.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
            let location = session.headers()["location"].to_str().unwrap();
            let url = reqwest::Url::parse_with_params(location, [("digest", digest_of(blob))]).unwrap();
            let stored = client
                .put(url)
                .header("content-type", "application/octet-stream")
                .body(blob.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(stored.status(), 201, "{}", stored.text().await.unwrap());
        }
        let put = async |name: &ImageName, media_type: &str, bytes: &Bytes| {
            let request = client.put(format!("{base}/manifests/{}", name.reference)).header("content-type", media_type);
            let stored = request.body(bytes.clone()).send().await.unwrap();
            assert_eq!(stored.status(), 201, "{}", stored.text().await.unwrap());
        };
        put(&fixture.image, ACCEPT[1], &fixture.manifest).await;
        put(&fixture.index, ACCEPT[0], &fixture.index_bytes).await;
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let server = DockerRegistry::start(directory.path()).await;
    let fixture = Fixture::new(&server.host);
    server.fill(&fixture).await;
    contract(&Https::new(Options::default()).unwrap(), &fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_works_as_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let server = DockerRegistry::start(directory.path()).await;
    server.fill(&Fixture::new(&server.host)).await;
    let mirrors = [("registry.invalid".to_owned(), vec![format!("http://{}", server.host)])].into();
    let registry = Https::new(Options { mirrors, ..Options::default() }).unwrap();
    let fixture = Fixture::new("registry.invalid");
    let manifest = registry_client::Registry::manifest(&registry, &fixture.image, &[]).await.unwrap();
    assert_eq!(manifest.bytes, fixture.manifest);
}

//! Content and servers for the tests.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use content_store::Reference;
use content_store::{Blob, Descriptor, Digest, MediaType, NameKind, Store};
use registry_client::contract::Fixture;
use registry_proxy::{ContentSource, Event, Events, Htpasswd, Options, Tls, serve_plain, serve_tls, service};
use registry_proxy::{ForwardConfig, ForwardProxy, serve_forward};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A store with the content of a fixture.
pub struct Content {
    pub store: Store,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub clients_verify: bool,
    pub htpasswd: Option<Htpasswd>,
    pub _directory: TempDir,
}

impl Content {
    pub fn new(fixture: &Fixture) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for blob in &fixture.blobs {
            store.put(blob).unwrap();
        }
        let content =
            Self { store, events: Arc::default(), clients_verify: false, htpasswd: None, _directory: directory };
        content.name(&fixture.image, &fixture.manifest, MediaType::ImageManifest);
        content.name(&fixture.index, &fixture.index_bytes, MediaType::ImageIndex);
        content
    }

    /// A store with one image whose layer holds a static `/bin/busybox`.
    pub fn of_image(name: &str) -> Self {
        let (registry, rest) = name.split_once('/').unwrap();
        let (repository, tag) = rest.rsplit_once(':').unwrap();
        let content = Self::new(&Fixture::new("fixture.example"));
        let pack = ["--create", "--dereference", "--directory=/", "bin/busybox"];
        let layer = std::process::Command::new("tar").args(pack).output().unwrap();
        assert!(layer.status.success(), "{}", String::from_utf8_lossy(&layer.stderr));
        let layer = content.store.put(&layer.stdout).unwrap();
        content.image(&Reference::new(registry, repository, tag).unwrap(), &layer);
        content
    }

    /// Stores an image of one layer; the digests of its config and its manifest.
    pub fn image(&self, name: &Reference, layer: &Blob) -> [Digest; 2] {
        let config = json!({
            "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer.digest] }
        });
        let config = self.store.put(config.to_string().as_bytes()).unwrap();
        let entry = |kind: &str, blob: &Blob| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": blob.digest, "size": blob.size });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": entry("config.v1+json", &config),
            "layers": [entry("layer.v1.tar", layer)],
        });
        let manifest = manifest.to_string();
        self.name(name, manifest.as_bytes(), MediaType::ImageManifest);
        [config.digest, Digest::of(manifest.as_bytes())]
    }

    pub fn name(&self, image: &Reference, bytes: &[u8], kind: MediaType) {
        let blob = self.store.put(bytes).unwrap();
        self.store
            .set_name(NameKind::CarriedImage, &image.to_string(), &Descriptor::new(kind, blob.size, blob.digest))
            .unwrap();
    }

    pub fn router(&self) -> axum::Router {
        let events = self.events.clone();
        let events: Events = Arc::new(move |event| events.lock().unwrap().push(event));
        let mut options = Options::default();
        options.clients_verify = self.clients_verify;
        options.htpasswd = self.htpasswd.clone();
        options.events = Some(events);
        service(vec![Arc::new(ContentSource::new(self.store.clone(), &options))], options)
    }

    /// Changes one byte in the middle of a blob.
    pub fn corrupt(&self, digest: &Digest) {
        corrupt(&self.store, digest);
    }
}

/// Changes one byte in the middle of a blob.
pub fn corrupt(store: &Store, digest: &Digest) {
    let path = store.blob_path(digest);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

/// A server on loopback, stopped with [`Server::stop`].
pub struct Server {
    pub address: SocketAddr,
    end: oneshot::Sender<()>,
    task: JoinHandle<registry_proxy::Result<()>>,
}

impl Server {
    pub async fn start(content: &Content, tls: Option<Tls>) -> Self {
        Self::over(content.router(), tls).await
    }

    pub async fn over(router: axum::Router, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let shutdown = async move {
            let _ = ended.await;
        };
        let task = tokio::spawn(async move {
            match tls {
                Some(tls) => serve_tls(listener, tls, router, shutdown).await,
                None => serve_plain(listener, router, shutdown).await,
            }
        });
        Self { address, end, task }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub async fn stop(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// A certificate for loopback, signed by itself.
pub fn tls() -> Tls {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    Tls::new(made.cert.pem(), made.signing_key.serialize_pem())
}

/// A CA of one's own, whose certificate a client trusts.
pub struct Trusted {
    pub certificate: PathBuf,
    pub key: PathBuf,
    _directory: TempDir,
}

impl Trusted {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pair = rcgen::KeyPair::generate().unwrap();
        let (certificate, key) = (directory.path().join("ca.crt"), directory.path().join("ca.key"));
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        Self { certificate, key, _directory: directory }
    }
}

/// Starts a forward proxy over the content; its address.
pub async fn forward(content: &Content, trusted: &Trusted) -> SocketAddr {
    forward_as(content, trusted, |_| {}).await
}

/// Like [`forward`], with settings of its own.
pub async fn forward_as(content: &Content, trusted: &Trusted, change: impl FnOnce(&mut ForwardConfig)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = ForwardConfig::new(address, trusted.certificate.clone(), trusted.key.clone());
    change(&mut config);
    let proxy = ForwardProxy::new(config, content.router()).unwrap();
    tokio::spawn(serve_forward(listener, proxy, std::future::pending()));
    address
}

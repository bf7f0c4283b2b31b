//! Pushes and fetches through a proxy that makes faults, to and from Debian's `docker-registry`: what is cut is continued, and
//! nothing wrong counts as done.
#![allow(clippy::unwrap_used)]

#[path = "../../../registry-client/tests/support/docker.rs"]
mod docker;
#[path = "../../../registry-client/tests/support/fault_proxy.rs"]
mod fault_proxy;

mod download;
mod killed;
mod upload;

use content_store::{Digest, Reference, Store};
use content_transfer::{Destination, Event, Fetcher, Options, Origin, SendOptions, Sender, Sent, SentManifest, Wanted};
use docker::DockerRegistry;
use fault_proxy::{Asked, Fault, FaultProxy};
use registry_client::contract::Fixture;
use registry_client::{ACCEPT, Https, Registry};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// A blob that is large enough for its upload to be remembered.
fn large() -> Vec<u8> {
    (0..10_000_019_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// A store with an image, a registry, and the proxy in front of it.
struct Bench {
    proxy: FaultProxy,
    registry: DockerRegistry,
    store: Store,
    fixture: Fixture,
    directory: tempfile::TempDir,
    told: Mutex<HashMap<Digest, Vec<u64>>>,
}

impl Bench {
    async fn new(plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry = DockerRegistry::start(directory.path()).await;
        let proxy = FaultProxy::start(&registry.host, plan).await;
        let fixture = Self::content(&proxy.host);
        let store = Store::open(&directory.path().join("store")).unwrap();
        for blob in fixture.blobs.iter().chain([&fixture.manifest, &fixture.index_bytes]) {
            store.put(blob).unwrap();
        }
        Self { proxy, registry, store, fixture, directory, told: Mutex::default() }
    }

    /// The same image each time.
    fn content(host: &str) -> Fixture {
        let mut fixture = Fixture::new(host);
        let large = large();
        let small = Digest::of(&fixture.blobs[2]).to_string();
        let manifest = String::from_utf8(fixture.manifest.to_vec()).unwrap();
        let manifest = manifest.replace(&small, &Digest::of(&large).to_string()).replace("3000007", "10000019");
        (fixture.manifest, fixture.blobs[2]) = (manifest.into(), large.into());
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":{}}}]}}"#,
            ACCEPT[0],
            ACCEPT[1],
            Digest::of(&fixture.manifest),
            fixture.manifest.len()
        );
        fixture.index_bytes = index.into();
        fixture
    }

    fn image(&self, name: &str) -> Reference {
        format!("{}/{name}", self.proxy.host).parse().unwrap()
    }

    fn large(&self) -> Digest {
        Digest::of(&self.fixture.blobs[2])
    }

    fn sessions(&self) -> PathBuf {
        self.directory.path().join("uploads")
    }

    fn manifests(&self) -> [SentManifest; 2] {
        Self::manifests_of(&self.fixture)
    }

    fn manifests_of(fixture: &Fixture) -> [SentManifest; 2] {
        let blobs = fixture.blobs.iter().map(|blob| Wanted::new(Digest::of(blob), Some(blob.len() as u64)));
        [
            SentManifest::new(Digest::of(&fixture.manifest), ACCEPT[1], blobs.collect()),
            SentManifest::new(Digest::of(&fixture.index_bytes), ACCEPT[0], Vec::new()),
        ]
    }

    async fn send(&self, name: &str) -> content_transfer::Result<Sent> {
        self.send_with(name, SendOptions::default(), &[]).await
    }

    async fn send_in_parts(&self, name: &str, part: u64) -> content_transfer::Result<Sent> {
        let mut options = SendOptions::default();
        options.part = part;
        self.send_with(name, options, &[]).await
    }

    async fn send_with(
        &self,
        name: &str,
        options: SendOptions,
        mounts: &[(Digest, &str)],
    ) -> content_transfer::Result<Sent> {
        let registry = Https::new(registry_client::Options::default()).unwrap();
        let mut to = Destination::new(&registry, self.image(name));
        to.elsewhere = mounts.iter().map(|(digest, from)| (*digest, vec![(*from).to_owned()])).collect();
        let sender = Sender::new(&self.store, &self.sessions(), options);
        self.told.lock().unwrap().clear();
        let sent = sender.send(&to, &self.manifests(), &|event| self.note(event)).await;
        for (digest, bytes) in self.told.lock().unwrap().iter() {
            assert!(bytes.is_sorted(), "{digest} went back: {bytes:?}");
        }
        sent
    }

    fn note(&self, event: Event) {
        match event {
            Event::Upload { digest, bytes, size, placed, .. } => {
                assert!(bytes <= size && (placed.is_none() || bytes == size), "{event:?}");
                let mut told = self.told.lock().unwrap();
                told.entry(digest).or_default().push(bytes);
            }
            Event::Blob { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// What the registry itself has under the name is what was sent.
    async fn check(&self, name: &str) {
        let registry = Https::new(registry_client::Options::default()).unwrap();
        let image: Reference = format!("{}/{name}", self.registry.host).parse().unwrap();
        let index = registry.manifest(&image, &[]).await.unwrap();
        assert_eq!(index.bytes, self.fixture.index_bytes);
        let manifest = image.with_digest(Digest::of(&self.fixture.manifest));
        assert_eq!(registry.manifest(&manifest, &[]).await.unwrap().bytes, self.fixture.manifest);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let wanted = self.manifests()[0].blobs.clone();
        let fetcher = Fetcher::new(&store, Options::default());
        fetcher.blobs(&[Origin::new(&registry, image)], wanted, &|_| {}).await.unwrap();
    }

    /// Fetches all blobs of the image into a store of its own.
    async fn fetch(&self, name: &str, into: &Store) -> content_transfer::Result<()> {
        let registry = Https::new(registry_client::Options::default()).unwrap();
        let origin = [Origin::new(&registry, self.image(name))];
        Fetcher::new(into, Options::default()).blobs(&origin, self.manifests()[0].blobs.clone(), &|_| {}).await
    }

    fn other_store(&self) -> Store {
        Store::open(&self.directory.path().join("other")).unwrap()
    }
}

/// Only the request of this method, kind and number gets the fault.
fn only(method: http::Method, kind: &'static str, nth: usize, fault: Fault) -> impl Fn(&Asked) -> Fault + Send + Sync {
    move |asked| if asked.is(&method, kind) && asked.nth == nth { fault.clone() } else { Fault::None }
}

fn count(sent: &Sent) -> (usize, usize, usize, usize) {
    (sent.manifests, sent.sent_blobs, sent.mounted_blobs, sent.present_blobs)
}

//! What upstreams have is fetched once, verified, kept, and answered when they cannot be asked.
#![allow(clippy::unwrap_used)]

#[path = "../../../registry-client/tests/support/fault_proxy.rs"]
mod fault_proxy;
#[path = "../support/mod.rs"]
mod support;

mod blobs;
mod places;
mod tags;

use content_store::{Digest, NameKind, Store};
use fault_proxy::{Asked, Fault, FaultProxy};
use registry_client::contract::Fixture;
use registry_proxy::{ContentSource, Event, Options, Source, UpstreamConfig, UpstreamSource, service};
use std::sync::{Arc, Mutex};
use support::{Content, Server};
use tempfile::TempDir;

/// The registry that the images are called after; it does not exist.
const REGISTRY: &str = "registry.example";

type Plan = Box<dyn Fn(&Asked) -> Fault + Send>;

/// A caching registry, the upstream that it has, and faults in between.
struct Bench {
    fixture: Fixture,
    upstream: Content,
    faults: FaultProxy,
    plan: Arc<Mutex<Plan>>,
    server: Server,
    store: Store,
    events: Arc<Mutex<Vec<Event>>>,
    client: reqwest::Client,
    _upstream: Server,
    _directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(UpstreamConfig) -> UpstreamConfig) -> Self {
        let fixture = Fixture::new(REGISTRY);
        let upstream = Content::new(&fixture);
        let origin = Server::start(&upstream, None).await;
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let planned = plan.clone();
        let faults = FaultProxy::start(&origin.host(), move |asked| planned.lock().unwrap()(asked)).await;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let told = events.clone();
        let mut options = Options::default();
        options.events = Some(Arc::new(move |event| told.lock().unwrap().push(event)));
        let mut config = UpstreamConfig::new(REGISTRY).at(format!("http://{}", faults.host));
        config.rest_seconds = 0;
        let source = UpstreamSource::new(store.clone(), vec![change(config)], &options).unwrap();
        let sources: Vec<Arc<dyn Source>> =
            vec![Arc::new(ContentSource::new(store.clone(), &options)), Arc::new(source)];
        let server = Server::over(service(sources, options), None).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            fixture,
            upstream,
            faults,
            plan,
            server,
            store,
            events,
            client,
            _upstream: origin,
            _directory: directory,
        }
    }

    fn plan(&self, plan: impl Fn(&Asked) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// From now on the upstream answers nothing that is of use.
    fn break_upstream(&self) {
        self.plan(|_| Fault::Answer(503, "x-why", "broken".to_owned()));
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}/v2/contract/shop/{path}?ns={REGISTRY}", self.server.host()))
    }

    async fn manifest(&self, reference: &str) -> reqwest::Response {
        self.request(&format!("manifests/{reference}")).send().await.unwrap()
    }

    async fn blob(&self, digest: &Digest) -> reqwest::Response {
        self.request(&format!("blobs/{digest}")).send().await.unwrap()
    }

    fn large(&self) -> (Digest, bytes::Bytes) {
        let bytes = self.fixture.blobs[2].clone();
        (Digest::of(&bytes), bytes)
    }

    fn asked(&self, method: &http::Method, kind: &str) -> usize {
        self.faults.count(method, kind)
    }

    /// Waits until the blob is in the store, which is a moment after the last client has it.
    async fn arrived(&self, digest: &Digest) {
        for _ in 0..500 {
            if self.store.verify(digest).is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{digest} is not kept");
    }

    fn cached(&self) -> Vec<String> {
        let names = self.store.names().unwrap().into_iter().filter(|named| named.kind == NameKind::CachedImage);
        names.map(|named| named.name).collect()
    }
}

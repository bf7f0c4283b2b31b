//! Sources pass their contract, and several of them answer as one registry.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::{Descriptor, Digest, MediaType, NameKind, Store};
use registry_proxy::contract::{Fixture, contract};
use registry_proxy::{ContentSource, Event, MemorySource, Options, Repository, Source, service};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use support::{Server, corrupt};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[tokio::test]
async fn the_stand_in_passes_the_contract() {
    let (memory, fixture) = (MemorySource::default(), Fixture::default());
    memory.add_manifest(&fixture.repository, &fixture.tag, &fixture.media_type, fixture.manifest.clone());
    for blob in &fixture.blobs {
        memory.add_blob(blob.clone());
    }
    contract(&memory, &fixture, |digest| memory.corrupt(digest)).await;
}

#[tokio::test]
async fn a_content_store_passes_the_contract() {
    for clients_verify in [false, true] {
        let (directory, fixture) = (tempfile::tempdir().unwrap(), Fixture::default());
        let store = Store::open(directory.path()).unwrap();
        for blob in &fixture.blobs {
            store.put(blob).unwrap();
        }
        let manifest = store.put(&fixture.manifest).unwrap();
        let descriptor = Descriptor::new(MediaType::ImageIndex, manifest.size, manifest.digest);
        let name = format!("registry.example/{}:{}", fixture.repository.path, fixture.tag);
        store.set_name(NameKind::CarriedImage, &name, &descriptor).unwrap();
        let mut options = Options::default();
        options.clients_verify = clients_verify;
        let source = ContentSource::new(store.clone(), &options);
        contract(&source, &fixture, |digest| corrupt(&store, digest)).await;
    }
}

/// Two sources behind one registry on loopback.
struct Chain {
    first: Arc<MemorySource>,
    second: Arc<MemorySource>,
    events: Arc<Mutex<Vec<Event>>>,
    server: Server,
}

impl Chain {
    async fn start() -> Self {
        let (first, second) = (Arc::new(MemorySource::default()), Arc::new(MemorySource::default()));
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let mut options = Options::default();
        let told = events.clone();
        options.own_names = vec!["sea.hub:5000".to_owned()];
        options.events = Some(Arc::new(move |event| told.lock().unwrap().push(event)));
        let sources: Vec<Arc<dyn Source>> = vec![first.clone(), second.clone()];
        let server = Server::over(service(sources, options), None).await;
        Self { first, second, events, server }
    }

    /// Status and body.
    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let response = reqwest::get(format!("http://{}{path}", self.server.host())).await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await.1).unwrap()
    }
}

fn app() -> Repository {
    Repository::new(None, "team/app")
}

fn index(text: &str) -> Vec<u8> {
    json!({ "schemaVersion": 2, "manifests": [], "annotations": { "text": text } }).to_string().into_bytes()
}

#[tokio::test]
async fn the_first_source_that_has_it_answers_and_lists_are_united() {
    let chain = Chain::start().await;
    chain.first.add_manifest(&app(), "1", INDEX, index("first"));
    chain.second.add_manifest(&app(), "1", INDEX, index("second"));
    chain.second.add_manifest(&app(), "2", INDEX, index("two"));
    chain.second.add_manifest(&Repository::new(None, "team/other"), "1", INDEX, index("other"));
    let blob = chain.second.add_blob(vec![7; 600_000]);

    assert_eq!(chain.get("/v2/team/app/manifests/1").await, (200, index("first")));
    assert_eq!(chain.get("/v2/team/app/manifests/2").await, (200, index("two")), "the first misses");
    assert_eq!(
        chain.get("/v2/team/app/manifests/2?ns=sea.hub:5000").await,
        (200, index("two")),
        "this registry's name"
    );
    assert_eq!(chain.get("/v2/team/app/manifests/2?ns=quay.io").await.0, 404);
    assert_eq!(chain.get(&format!("/v2/team/app/blobs/{blob}")).await, (200, vec![7; 600_000]));
    assert_eq!(chain.get(&format!("/v2/team/app/blobs/{}", Digest::of(b"absent"))).await.0, 404);
    assert_eq!(chain.json("/v2/team/app/tags/list").await["tags"], json!(["1", "2"]));
    assert_eq!(chain.json("/v2/_catalog").await["repositories"], json!(["team/app", "team/other"]));
    assert_eq!(*chain.events.lock().unwrap(), []);
}

#[tokio::test]
async fn another_source_answers_for_a_corrupt_or_broken_one() {
    let chain = Chain::start().await;
    let blob = chain.first.add_blob("a layer");
    chain.first.corrupt(&blob);
    let path = format!("/v2/team/app/blobs/{blob}");
    let (status, message) = chain.get(&path).await;
    assert_eq!(status, 404);
    assert!(String::from_utf8(message).unwrap().contains("corrupt"));
    chain.second.add_blob("a layer");
    assert_eq!(chain.get(&path).await, (200, b"a layer".to_vec()));

    chain.first.break_down();
    assert_eq!(chain.get(&path).await, (200, b"a layer".to_vec()));
    let failed = Event::Failed { request: format!("GET {path}"), reason: "this source is broken".to_owned() };
    assert_eq!(chain.events.lock().unwrap().drain(..).collect::<Vec<_>>(), [failed]);
    assert_eq!(chain.get("/v2/team/app/manifests/1").await.0, 500, "the broken one may have it");
}

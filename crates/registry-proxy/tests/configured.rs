//! A configuration puts stores, upstreams, the record and the forward proxy together.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Store;
use registry_client::contract::Fixture;
use registry_proxy::{Config, Content as Served, Error, Event, serve};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use support::{Content, Server};
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_configured_answers() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let upstream = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let (root, record) = (directory.path().join("store"), directory.path().join("record.jsonl"));
    let layout = Content::new(&Fixture::new("other.example"));
    let yaml = format!(
        "listen: 127.0.0.1:0\nstores: ['{}']\nrecord: '{}'\nupstreams:\n- registry: registry.example\n  url: http://{}\n  tagTtlSeconds: 5\n",
        layout.store.root().display(),
        record.display(),
        upstream.host()
    );
    let config = Config::parse(&yaml).unwrap();
    config.check().unwrap();
    let (told, address) = oneshot::channel::<SocketAddr>();
    let told = Arc::new(Mutex::new(Some(told)));
    let events = Arc::new(move |event| {
        if let Event::Serving { address } = event {
            told.lock().unwrap().take().unwrap().send(address).unwrap();
        }
    });
    let served = Served::new(Store::open(&root).unwrap());
    let task = tokio::spawn(serve(config, served, events, std::future::pending()));
    let address = address.await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for registry in ["registry.example", "other.example", "none.example"] {
        let answer =
            client.get(format!("http://{address}/v2/contract/shop/manifests/1.4?ns={registry}")).send().await.unwrap();
        assert_eq!(answer.status(), if registry == "none.example" { 404 } else { 200 }, "{registry}");
    }
    task.abort();
    let text = std::fs::read_to_string(&record).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["image"], "registry.example/contract/shop:1.4");
    assert!(lines[0]["upstream"].as_str().unwrap().starts_with("registry.example at http://127.0.0.1"));
    assert_eq!(
        (lines[1]["image"].as_str().unwrap(), &lines[1]["upstream"]),
        ("other.example/contract/shop:1.4", &serde_json::Value::Null)
    );
}

#[test]
fn what_cannot_be_used_is_found_by_the_check() {
    for (yaml, part) in [
        ("upstreams: [{registry: a, url: ftp://a}]", "mirrors"),
        ("upstreams: [{registry: a, username: me}]", "belong together"),
        ("upstreams: [{registry: a, passwordFile: /nonexistent, username: me}]", "/nonexistent"),
        ("forward: {listen: '127.0.0.1:0', caCert: /nonexistent, caKey: /nonexistent}", "/nonexistent"),
        ("htpasswd: /nonexistent\nforward: {listen: '127.0.0.1:0', caCert: a, caKey: b}", "goes without `htpasswd`"),
        ("stores: [/nonexistent]", "/nonexistent"),
        ("objectStore: {kind: s3, endpoint: nowhere, bucket: b}", "endpoint"),
    ] {
        let error = Config::parse(yaml).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(part), "{yaml}: {error}");
    }
    assert!(matches!(Config::parse("upstreams: [{registry: a, ulr: x}]"), Err(Error::Config { .. })));
}

//! Clients that have the forward proxy as HTTPS_PROXY reach registries under their own names.
#![allow(clippy::unwrap_used)]

mod support;

use registry_client::contract::Fixture;
use registry_proxy::{ForwardConfig, ForwardProxy};
use std::net::SocketAddr;
use support::{Content, Server, Trusted};

const REGISTRY: &str = "registry.example";

/// A forward proxy over content that came from `registry.example`.
struct Bench {
    fixture: Fixture,
    address: SocketAddr,
    authority: String,
    _content: Content,
}

impl Bench {
    async fn new(change: impl FnOnce(&mut ForwardConfig)) -> Self {
        let fixture = Fixture::new(REGISTRY);
        let content = Content::new(&fixture);
        let trusted = Trusted::new();
        let address = support::forward_as(&content, &trusted, change).await;
        let authority = std::fs::read_to_string(&trusted.certificate).unwrap();
        Self { fixture, address, authority, _content: content }
    }

    fn client(&self) -> reqwest::Client {
        let proxy = format!("http://{}", self.address);
        let authority = reqwest::Certificate::from_pem(self.authority.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([authority]);
        builder.proxy(reqwest::Proxy::all(proxy).unwrap()).build().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_answered_with_a_certificate_of_its_own() {
    let bench = Bench::new(|_| {}).await;
    let client = bench.client();
    let get = |url: String| client.get(url).send();
    let manifest = get(format!("https://{REGISTRY}/v2/contract/shop/manifests/1.4")).await.unwrap();
    assert_eq!(manifest.bytes().await.unwrap(), bench.fixture.manifest);
    let plain = get(format!("http://{REGISTRY}/v2/contract/shop/manifests/1.4")).await.unwrap();
    assert_eq!(plain.bytes().await.unwrap(), bench.fixture.manifest);
    // Another registry has nothing of it, also when the client says otherwise in the query.
    for url in [
        "https://other.example/v2/contract/shop/manifests/1.4?ns=registry.example",
        "https://127.0.0.9:5000/v2/contract/shop/manifests/1.4",
    ] {
        assert_eq!(get(url.to_owned()).await.unwrap().status(), 404, "{url}");
    }
    let push = client.post(format!("https://{REGISTRY}/v2/contract/shop/blobs/uploads/")).send().await.unwrap();
    assert_eq!(push.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_passed_through_or_refused() {
    let content = Content::new(&Fixture::new("other.example"));
    let tls = support::tls();
    let own = tls.cert_pem.clone();
    let elsewhere = Server::start(&content, Some(tls)).await;
    let port = elsewhere.address.port();
    let bench = Bench::new(|config| {
        config.intercept = vec!["*.example".to_owned()];
        config.pass = vec![format!("127.0.0.1:{port}")];
    })
    .await;
    // Passed through, the server shows its own certificate.
    let url = format!("https://127.0.0.1:{port}/v2/");
    assert!(bench.client().get(&url).send().await.is_err(), "the proxy must not answer for it");
    let proxy = reqwest::Proxy::all(format!("http://{}", bench.address)).unwrap();
    let own = reqwest::Certificate::from_pem(own.as_bytes()).unwrap();
    let direct = reqwest::Client::builder().tls_certs_only([own]).proxy(proxy).build().unwrap();
    assert_eq!(direct.get(&url).send().await.unwrap().status(), 200);
    let refused = bench.client().get("https://127.0.0.1:1/v2/").send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    let plain = bench.client().get(format!("http://127.0.0.1:{port}/")).send().await.unwrap();
    assert_eq!(plain.status(), 403);
}

#[tokio::test]
async fn a_ca_that_cannot_sign_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let config = ForwardConfig::new("127.0.0.1:0".parse().unwrap(), path("ca.crt"), path("ca.key"));
    let error = ForwardProxy::new(config.clone(), axum::Router::new()).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("ca.crt"), "{error}");
    std::fs::write(path("ca.crt"), "no certificate").unwrap();
    std::fs::write(path("ca.key"), "no key").unwrap();
    let error = ForwardProxy::new(config, axum::Router::new()).unwrap_err().to_string();
    assert!(error.contains("key of the CA") && !error.contains("no key"), "{error}");
}

//! A registry with users answers them and nobody else, fast.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Digest;
use registry_client::contract::Fixture;
use registry_proxy::{ContentSource, Htpasswd, Options, Source, service};
use reqwest::{Client, RequestBuilder, StatusCode};
use std::sync::Arc;
use std::time::Instant;
use support::{Content, Server};

/// Of cost 10, of the password `a:b c`.
fn users() -> Htpasswd {
    Htpasswd::parse(&format!("puller:{}\n", bcrypt::hash("a:b c", 10).unwrap())).unwrap()
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn every_request_needs_the_login() {
    let fixture = Fixture::new("registry.example");
    let content = Content { htpasswd: Some(users()), ..Content::new(&fixture) };
    let server = Server::start(&content, None).await;
    let url = |path: &str| format!("http://{}{path}", server.host());
    let blob = format!("/v2/contract/shop/blobs/{}", Digest::of(&fixture.blobs[0]));
    let client = Client::new();
    for path in ["/v2/", "/v2/_catalog", "/v2/contract/shop/tags/list", "/v2/contract/shop/manifests/1.4", &blob, "/x"]
    {
        let refused = client.get(url(path)).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(refused.headers()["www-authenticate"], "Basic realm=\"sealer\"");
        assert!(refused.text().await.unwrap().contains("\"UNAUTHORIZED\""));
        let wrong = client.get(url(path)).basic_auth("puller", Some("a"));
        assert_eq!(status(wrong).await, StatusCode::UNAUTHORIZED, "{path}");
        let right = client.get(url(path)).basic_auth("puller", Some("a:b c"));
        let expected = if path == "/x" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(status(right).await, expected, "{path}");
    }
}

#[tokio::test]
async fn figures_are_no_pull() {
    let content = Content::new(&Fixture::new("registry.example"));
    let mut options = Options::default();
    (options.htpasswd, options.anonymous_pull) = (Some(users()), true);
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(ContentSource::new(content.store.clone(), &options))];
    let server = Server::over(service(sources, options), None).await;
    let get = |path: &str| Client::new().get(format!("http://{}{path}", server.host()));
    assert_eq!(status(get("/v2/contract/shop/manifests/1.4")).await, StatusCode::OK);
    assert_eq!(status(get("/metrics")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(get("/metrics").basic_auth("puller", Some("a:b c"))).await, StatusCode::OK);
}

/// A comparison by bcrypt takes tens of milliseconds, also of an optimised program.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_compared_once_however_often_it_comes() {
    let fixture = Fixture::new("registry.example");
    let content = Content { htpasswd: Some(users()), ..Content::new(&fixture) };
    let server = Server::start(&content, None).await;
    let (client, url) = (Client::new(), format!("http://{}/v2/", server.host()));
    let asked = Instant::now();
    assert_eq!(status(client.get(&url).basic_auth("puller", Some("x"))).await, StatusCode::UNAUTHORIZED);
    let compared = asked.elapsed();
    let (many, begun) = (100, Instant::now());
    for _ in 0..many {
        assert_eq!(status(client.get(&url).basic_auth("puller", Some("a:b c"))).await, StatusCode::OK);
    }
    let took = begun.elapsed();
    assert!(took < compared * many / 4, "{many} requests took {took:?}, one comparison {compared:?}");
}

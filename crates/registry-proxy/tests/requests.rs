//! Requests are answered as the distribution specification and HTTP want it.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Reference;
use content_store::{Descriptor, Digest, MediaType, NameKind};
use registry_client::contract::Fixture;
use registry_proxy::Event;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use support::{Content, Server, tls};

struct Setup {
    fixture: Fixture,
    content: Content,
    server: Server,
    client: Client,
}

impl Setup {
    async fn new() -> Self {
        Self::start(false).await
    }

    async fn start(clients_verify: bool) -> Self {
        let fixture = Fixture::new("registry.example");
        let content = Content { clients_verify, ..Content::new(&fixture) };
        let server = Server::start(&content, None).await;
        Self { fixture, content, server, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.host())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await.bytes().await.unwrap()).unwrap()
    }

    fn blob_path(&self, number: usize) -> (String, Digest) {
        let digest = Digest::of(&self.fixture.blobs[number]);
        (format!("/v2/contract/shop/blobs/{digest}"), digest)
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn the_version_is_answered() {
    let setup = Setup::new().await;
    for path in ["/v2/", "/v2"] {
        let response = setup.get(path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
    }
    let refused = setup.client.post(setup.url("/v2/a/blobs/uploads/")).body("x").send().await.unwrap();
    assert_eq!((refused.status(), header(&refused, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

#[tokio::test]
async fn manifests_have_their_type_digest_and_etag() {
    let setup = Setup::new().await;
    let digest = Digest::of(&setup.fixture.manifest).to_string();
    for reference in ["1.4", &digest] {
        let path = format!("/v2/contract/shop/manifests/{reference}");
        let response = setup.get(&path).await;
        assert_eq!(header(&response, "content-type"), "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(
            (header(&response, "docker-content-digest"), header(&response, "etag")),
            (digest.as_str(), format!("\"{digest}\"").as_str())
        );
        assert_eq!(response.bytes().await.unwrap(), setup.fixture.manifest);
        let head = setup.client.head(setup.url(&path)).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), setup.fixture.manifest.len().to_string());
        assert_eq!(header(&head, "docker-content-digest"), digest);
        let known =
            setup.client.get(setup.url(&path)).header("if-none-match", format!("\"{digest}\"")).send().await.unwrap();
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn documents_stored_as_layers_are_served_as_what_they_are() {
    let setup = Setup::new().await;
    let docker = json!({ "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {}, "layers": [] }).to_string();
    let plain = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    for (text, kind) in [
        (docker, "application/vnd.docker.distribution.manifest.v2+json"),
        (plain, "application/vnd.oci.image.index.v1+json"),
    ] {
        let blob = setup.content.store.put(text.as_bytes()).unwrap();
        let response = setup.get(&format!("/v2/any/where/manifests/{}", blob.digest)).await;
        assert_eq!((response.status(), header(&response, "content-type")), (StatusCode::OK, kind));
        let as_blob = setup.get(&format!("/v2/any/where/blobs/{}", blob.digest)).await;
        assert_eq!(header(&as_blob, "content-type"), "application/octet-stream");
    }
    let (_, config) = setup.blob_path(0);
    let response = setup.get(&format!("/v2/any/where/manifests/{config}")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "a config is not a manifest");
}

#[tokio::test]
async fn refusals_are_in_the_form_of_the_specification() {
    let setup = Setup::new().await;
    let absent = Digest::of(b"absent");
    for (path, status, code) in [
        ("/v2/contract/shop/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/contract/none/manifests/1.4".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/contract/shop/manifests/1.4?ns=other.example".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/contract/shop/manifests/{absent}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/contract/shop/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        ("/v2/contract/none/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/contract/shop/blobs/sha512:00".to_owned(), 404, "DIGEST_INVALID"),
        ("/v2/contract/shop/blobs/x".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/%41/manifests/x".to_owned(), 400, "NAME_INVALID"),
        ("/elsewhere".to_owned(), 404, "UNSUPPORTED"),
    ] {
        let response = setup.get(&path).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-type")),
            (status, "application/json"),
            "{path}"
        );
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body["errors"][0]["code"], code, "{path}");
        assert!(body["errors"][0]["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn ranges_of_blobs_are_served() {
    let setup = Setup::new().await;
    let (path, digest) = setup.blob_path(2);
    let blob = &setup.fixture.blobs[2];
    let size = blob.len();
    let get = async |range: String| setup.client.get(setup.url(&path)).header("range", range).send().await.unwrap();
    for (start, end) in [(0, size), (0, 1), (100, 2_000_000), (size - 1, size), (524_288, 1_048_576)] {
        let response = get(format!("bytes={start}-{}", end - 1)).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&response, "content-range"), format!("bytes {start}-{}/{size}", end - 1));
        assert_eq!(header(&response, "content-length"), (end - start).to_string());
        assert_eq!(response.bytes().await.unwrap(), blob[start..end], "{start}..{end}");
    }
    assert_eq!(get("bytes=-7".to_owned()).await.bytes().await.unwrap(), blob[size - 7..]);
    let response = get(format!("bytes={size}-")).await;
    assert_eq!(
        (response.status(), header(&response, "content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{size}").as_str())
    );
    let response = get("bytes=0-1,4-5".to_owned()).await;
    assert_eq!((response.status(), response.bytes().await.unwrap().len()), (StatusCode::OK, size));
    let head = setup.client.head(setup.url(&path)).send().await.unwrap();
    assert_eq!((header(&head, "content-length"), header(&head, "accept-ranges")), (size.to_string().as_str(), "bytes"));
    let known =
        setup.client.get(setup.url(&path)).header("if-none-match", format!("\"{digest}\"")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let setup = Setup::new().await;
    let blob = setup.content.store.put(b"").unwrap();
    let response = setup.get(&format!("/v2/a/blobs/{}", blob.digest)).await;
    assert_eq!((response.status(), response.bytes().await.unwrap().len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn a_corrupt_blob_is_not_there_and_told_once() {
    for number in [1, 2] {
        let setup = Setup::new().await;
        let (path, digest) = setup.blob_path(number);
        setup.content.corrupt(&digest);
        for response in futures_util::future::join_all((0..8).map(|_| setup.get(&path))).await {
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert!(response.text().await.unwrap().contains("corrupt"));
        }
        let expected = Event::Corrupt { digest, path: setup.content.store.blob_path(&digest) };
        assert_eq!(*setup.content.events.lock().unwrap(), [expected]);
        // Written anew it is served again; corrupt again it is not.
        setup.content.store.put(&setup.fixture.blobs[number]).unwrap();
        assert_eq!(setup.get(&path).await.bytes().await.unwrap(), setup.fixture.blobs[number]);
        setup.content.corrupt(&digest);
        assert_eq!(setup.get(&path).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_blob_found_corrupt_while_it_is_sent_never_arrives_whole() {
    for number in [1, 2] {
        let setup = Setup::start(true).await;
        let (path, digest) = setup.blob_path(number);
        setup.content.corrupt(&digest);
        let arrived = match setup.client.get(setup.url(&path)).send().await {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        assert!(arrived.is_err(), "the transfer breaks off");
        let expected = Event::Corrupt { digest, path: setup.content.store.blob_path(&digest) };
        assert_eq!(*setup.content.events.lock().unwrap(), [expected]);
        assert_eq!(setup.get(&path).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(setup.get("/v2/").await.status(), StatusCode::OK, "other requests are answered");
    }
}

#[tokio::test]
async fn no_part_of_a_corrupt_blob_is_served() {
    let setup = Setup::new().await;
    let (path, digest) = setup.blob_path(2);
    setup.content.corrupt(&digest);
    let response = setup.client.get(setup.url(&path)).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(setup.content.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_corrupt_manifest_is_not_served() {
    let setup = Setup::new().await;
    setup.content.corrupt(&Digest::of(&setup.fixture.manifest));
    let response = setup.get("/v2/contract/shop/manifests/1.4").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(matches!(setup.content.events.lock().unwrap()[..], [Event::Corrupt { .. }]));
}

#[tokio::test]
async fn a_broken_index_is_told_to_the_one_who_runs_it() {
    let setup = Setup::new().await;
    std::fs::write(setup.content.store.root().join("index.json"), "[").unwrap();
    let response = setup.get("/v2/contract/shop/manifests/1.4").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let events = setup.content.events.lock().unwrap();
    assert!(
        matches!(&events[..], [Event::Failed { request, reason }] if request.contains("/manifests/1.4") && reason.contains("index.json")),
        "{events:?}"
    );
}

#[tokio::test]
async fn lists_follow_the_names_and_are_paged() {
    let setup = Setup::new().await;
    assert_eq!(setup.json("/v2/_catalog").await, json!({ "repositories": ["contract/shop"] }));
    for (repository, tag) in [("a/b", "1"), ("a/b", "2"), ("a/b", "10"), ("z", "1")] {
        setup.content.name(
            &Reference::new("registry.example", repository, tag).unwrap(),
            &setup.fixture.manifest,
            MediaType::ImageManifest,
        );
    }
    assert_eq!(
        setup.json("/v2/_catalog").await,
        json!({ "repositories": ["a/b", "contract/shop", "z"] }),
        "new names are seen at once"
    );
    assert_eq!(setup.json("/v2/a/b/tags/list").await, json!({ "name": "a/b", "tags": ["1", "10", "2"] }));
    let first = setup.get("/v2/a/b/tags/list?n=2").await;
    assert_eq!(header(&first, "link"), "</v2/a/b/tags/list?n=2&last=10>; rel=\"next\"");
    assert_eq!(setup.json("/v2/a/b/tags/list?n=2&last=10").await["tags"], json!(["2"]));
    assert_eq!(setup.json("/v2/_catalog?n=1&last=a/b").await["repositories"], json!(["contract/shop"]));
}

#[tokio::test]
async fn cluster_images_are_served_too() {
    let setup = Setup::new().await;
    let blob = setup.content.store.put(&setup.fixture.index_bytes).unwrap();
    let descriptor = Descriptor::new(MediaType::ImageIndex, blob.size, blob.digest);
    setup.content.store.set_name(NameKind::ClusterImage, "docker.io/library/cluster:1", &descriptor).unwrap();
    for path in ["/v2/cluster/manifests/1", "/v2/library/cluster/manifests/1?ns=docker.io"] {
        assert_eq!(setup.get(path).await.bytes().await.unwrap(), setup.fixture.index_bytes);
    }
}

#[tokio::test]
async fn http2_and_http1_are_both_spoken() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let tls = tls();
    let server = Server::start(&content, Some(tls.clone())).await;
    let root = reqwest::Certificate::from_pem(tls.cert_pem.as_bytes()).unwrap();
    let url = format!("https://localhost:{}/v2/contract/shop/manifests/1.4", server.address.port());
    for (client, version) in
        [(Client::builder(), reqwest::Version::HTTP_2), (Client::builder().http1_only(), reqwest::Version::HTTP_11)]
    {
        let client = client.tls_certs_only([root.clone()]).build().unwrap();
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(response.bytes().await.unwrap(), fixture.manifest);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_head_has_a_limit() {
    let setup = Setup::new().await;
    let refused = setup.client.get(setup.url("/v2/")).header("x-large", "x".repeat(200_000)).send().await;
    assert!(refused.is_err() || refused.unwrap().status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(setup.get("/v2/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_transfer_under_way_may_finish_after_the_end_was_asked_for() {
    let setup = Setup::new().await;
    let (path, _) = setup.blob_path(2);
    let response = setup.get(&path).await;
    let stopped = tokio::spawn(setup.server.stop());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(response.bytes().await.unwrap(), setup.fixture.blobs[2]);
    drop(setup.client);
    tokio::time::timeout(std::time::Duration::from_secs(5), stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn wrong_certificates_and_keys_are_named() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let (good, other) = (tls(), tls());
    for (cert_pem, key_pem, object) in [
        (String::new(), good.key_pem.clone(), "certificate"),
        (good.cert_pem.clone(), "s3cret".to_owned(), "key"),
        (good.cert_pem.clone(), other.key_pem, "TLS"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = registry_proxy::Tls::new(cert_pem, key_pem);
        assert!(!format!("{tls:?}").contains("s3cret"));
        let error =
            registry_proxy::serve_tls(listener, tls, content.router(), std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains(object) && !error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_dropped() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    for certificate in [None, Some(tls())] {
        let server = Server::start(&content, certificate).await;
        for words in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v2/ HTTP/1.1\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
            stream.write_all(words.as_bytes()).await.unwrap();
            let start = tokio::time::Instant::now();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(start.elapsed().as_secs() < 60, "{words:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_peer_has_so_many_connections() {
    let setup = Setup::new().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(tokio::net::TcpStream::connect(setup.server.address).await.unwrap());
    }
    let mut ended = 0;
    for stream in &mut silent {
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(stream, &mut byte);
        ended += usize::from(tokio::time::timeout(std::time::Duration::from_millis(50), read).await.is_ok());
    }
    assert_eq!(ended, 8, "of 40 connections 32 stay");
    drop(silent);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(setup.get("/v2/").await.status(), StatusCode::OK);
}

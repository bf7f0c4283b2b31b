//! Pushes that are interrupted, refused or collected; who may push; what a whole registry does besides.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::{Descriptor, Digest, MediaType, NameKind, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use registry_proxy::{Config, Content, ContentSource, Event, Options, TlsConfig, serve};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Of the password `U*U`, from the test vectors of crypt_blowfish.
const USER: &str = "pusher:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

/// A whole registry over a directory.
struct Registry {
    base: String,
    client: Client,
    store: Store,
    events: mpsc::UnboundedReceiver<Event>,
    end: oneshot::Sender<()>,
    task: JoinHandle<registry_proxy::Result<()>>,
}

impl Registry {
    async fn start(directory: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::parse("listen: 127.0.0.1:0\npush: true\ndelete: true\ncollectSeconds: 0\n").unwrap();
        change(&mut config);
        let store = Store::open(&directory.join("content")).unwrap();
        let (sender, mut events) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel::<()>();
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let content = Content::new(store.clone());
        let tell = Arc::new(move |event| sender.send(event).unwrap_or_default());
        let task = tokio::spawn(serve(config, content, tell, async move { ended.await.unwrap_or_default() }));
        let Some(Event::Serving { address }) = events.recv().await else { panic!("{:?}", task.await) };
        Self { base: format!("{scheme}://{address}"), client: Client::new(), store, events, end, task }
    }

    async fn stop(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.request(method, format!("{}{path}", self.base)).body(body).send().await.unwrap()
    }

    async fn status(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        self.send(method, path, body).await.status()
    }

    async fn push_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        assert_eq!(self.status(Method::POST, &path, bytes.to_vec()).await, StatusCode::CREATED);
        digest
    }

    /// Pushes an image of one layer; returns layer and manifest.
    async fn push(&self, reference: &str, layer: &[u8]) -> (Digest, Digest) {
        let (layer, config) = (self.push_blob(layer).await, self.push_blob(b"{}").await);
        let manifest = manifest(&config, &layer, None);
        let digest = Digest::of(manifest.as_bytes());
        let reference = if reference.is_empty() { digest.to_string() } else { reference.to_owned() };
        let path = format!("/v2/a/manifests/{reference}");
        assert_eq!(self.status(Method::PUT, &path, manifest).await, StatusCode::CREATED);
        (layer, digest)
    }

    fn source(&self) -> ContentSource {
        ContentSource::new(self.store.clone(), &Options::default())
    }
}

fn manifest(config: &Digest, layer: &Digest, subject: Option<&Digest>) -> String {
    let blob = |kind: &str, digest: &Digest| json!({ "mediaType": kind, "digest": digest, "size": 2 });
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.empty.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    if let Some(subject) = subject {
        document["subject"] = blob("application/vnd.oci.image.manifest.v1+json", subject);
    }
    document.to_string()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn age(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
}

#[tokio::test]
async fn an_upload_survives_the_server_and_ends_with_the_day() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let started = registry.send(Method::POST, "/v2/a/blobs/uploads/", "").await;
    let location = header(&started, "location").to_owned();
    assert_eq!(registry.status(Method::PATCH, &location, "first ").await, StatusCode::ACCEPTED);
    let stale = header(&registry.send(Method::POST, "/v2/a/blobs/uploads/", "").await, "location").to_owned();
    registry.stop().await;

    let registry = Registry::start(directory.path(), |_| ()).await;
    registry.source().collect(None, false).await.unwrap();
    let session = registry.send(Method::GET, &location, "").await;
    assert_eq!((session.status(), header(&session, "range")), (StatusCode::NO_CONTENT, "0-5"));
    let digest = Digest::of(b"first second");
    let path = format!("{location}?digest={digest}");
    assert_eq!(registry.status(Method::PUT, &path, "second").await, StatusCode::CREATED);
    let id = stale.rsplit('/').next().unwrap();
    age(&registry.store.root().join(format!("ingest/upload-{id}")));
    registry.source().collect(None, false).await.unwrap();
    assert_eq!(registry.status(Method::GET, &stale, "").await, StatusCode::NOT_FOUND);
    assert!(registry.store.contains(&digest), "a fresh blob is protected");
    registry.stop().await;
}

#[tokio::test]
async fn a_push_neither_asks_the_upstreams_for_its_blobs_nor_needs_them() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    upstream.set_nonblocking(true).unwrap();
    let yaml = format!("upstreams: [{{registry: docker.io, url: '{url}', timeoutSeconds: 1, restSeconds: 60}}]");
    let configured = Config::parse(&yaml).unwrap();
    let record = directory.path().join("record");
    let registry = Registry::start(directory.path(), |config| {
        config.upstreams = configured.upstreams;
        config.record = Some(record);
    })
    .await;
    let path = format!("/v2/a/blobs/{}", Digest::of(b"new"));
    assert_eq!(registry.status(Method::HEAD, &path, "").await, StatusCode::NOT_FOUND);
    assert!(upstream.accept().is_err(), "the upstream hears nothing of it");
    drop(upstream);
    assert_eq!(registry.status(Method::HEAD, "/v2/a/manifests/new", "").await, StatusCode::NOT_FOUND);
    // What is about an image is found behind a recorder, too.
    let (layer, subject) = registry.push("1", b"layer").await;
    let about = manifest(&registry.push_blob(b"{}").await, &layer, Some(&subject));
    assert_eq!(registry.status(Method::PUT, "/v2/a/manifests/about", about.clone()).await, StatusCode::CREATED);
    let listed = registry.send(Method::GET, &format!("/v2/a/referrers/{subject}"), "").await.text().await.unwrap();
    assert!(listed.contains(&Digest::of(about.as_bytes()).to_string()), "{listed}");
    registry.stop().await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_continued_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let location = header(&registry.send(Method::POST, "/v2/a/blobs/uploads/", "").await, "location").to_owned();
    let address = registry.base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Nobody else writes it meanwhile.
    assert_eq!(registry.status(Method::PATCH, &location, "x").await, StatusCode::TOO_MANY_REQUESTS);
    drop(stream);
    for _ in 0..100 {
        let session = registry.send(Method::GET, &location, "").await;
        if session.status() == StatusCode::NO_CONTENT {
            assert_eq!(header(&session, "range"), "0-3");
            return registry.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the upload is still in use");
}

#[tokio::test]
async fn what_is_too_large_or_odd_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let put = |body: String| registry.send(Method::PUT, "/v2/a/manifests/1", body);
    assert_eq!(put(format!("\"{}\"", "x".repeat(9 << 20))).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    for wrong in ["", "{}", "[", "{\"manifests\":[{\"digest\":\"md5:0\"}]}", "{\"schemaVersion\":1,\"fsLayers\":[]}"] {
        let answer: Value = serde_json::from_slice(&put(wrong.to_owned()).await.bytes().await.unwrap()).unwrap();
        assert_eq!(answer["errors"][0]["code"], "MANIFEST_INVALID", "{wrong}");
    }
    for path in [
        "/v2/..%2f..%2fetc/blobs/uploads/",
        "/v2/a/.%2e%2fb/blobs/uploads/",
        "/v2/A/blobs/uploads/",
        "/v2/a//b/blobs/uploads/",
    ] {
        assert!(registry.status(Method::POST, path, "").await.is_client_error(), "{path}");
    }
    for id in ["..%2f..%2foci-layout", "..%2Flock", "x.y", &"a".repeat(65)] {
        let path = format!("/v2/a/blobs/uploads/{id}");
        assert_eq!(registry.status(Method::DELETE, &path, "").await, StatusCode::NOT_FOUND, "{id}");
    }
    let other = registry.send(
        Method::PUT,
        "/v2/a/manifests/1?ns=quay.io",
        manifest(&Digest::of(b"a"), &Digest::of(b"b"), None),
    );
    assert_eq!(other.await.status(), StatusCode::FORBIDDEN);
    // A gzip that would be large is a blob as any other.
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    registry.push_blob(&bomb).await;
    assert!(registry.store.check().unwrap().problems.is_empty());
    registry.stop().await;
}

#[tokio::test]
async fn garbage_goes_and_what_is_needed_stays() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let (kept, _) = registry.push("1", b"kept").await;
    let (moved, _) = registry.push("2", b"moved away").await;
    registry.push("2", b"moved here").await;
    let (pinned, subject) = registry.push("", b"without a tag").await;
    let fresh = registry.push_blob(b"no manifest yet").await;
    let (gone, _) = registry.push("3", b"deleted").await;
    assert_eq!(registry.status(Method::DELETE, "/v2/a/manifests/3", "").await, StatusCode::ACCEPTED);
    let here = |digests: &[Digest]| digests.iter().map(|digest| registry.store.contains(digest)).collect::<Vec<_>>();
    registry.source().collect(None, false).await.unwrap();
    assert_eq!(here(&[kept, moved, pinned, fresh, gone]), [true, false, true, true, false]);
    // A blob that an image needs is not deleted, one that none needs is.
    let path = |digest| format!("/v2/a/blobs/{digest}");
    assert_eq!(registry.status(Method::DELETE, &path(kept), "").await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(registry.status(Method::DELETE, &path(fresh), "").await, StatusCode::ACCEPTED);
    // Who refers to a subject that has a tag stays; without one, both go.
    let config = registry.push_blob(b"{}").await;
    let signature = manifest(&config, &registry.push_blob(b"signature").await, Some(&subject));
    let signature_digest = Digest::of(signature.as_bytes());
    let signed = format!("/v2/a/manifests/{signature_digest}");
    assert_eq!(registry.status(Method::PUT, &signed, signature).await, StatusCode::CREATED);
    let subject_bytes = registry.store.read_verified(&subject, 9999).unwrap();
    assert_eq!(registry.status(Method::PUT, "/v2/a/manifests/tagged", subject_bytes).await, StatusCode::CREATED);
    registry.source().collect(None, true).await.unwrap();
    assert_eq!(here(&[subject, signature_digest]), [true, true]);
    assert_eq!(registry.status(Method::DELETE, "/v2/a/manifests/tagged", "").await, StatusCode::ACCEPTED);
    registry.source().collect(None, true).await.unwrap();
    assert_eq!(here(&[subject, signature_digest]), [true, true], "an index may come that has them");
    for digest in [subject, signature_digest] {
        age(&registry.store.root().join(format!("ingest/pending-{}", digest.hex())));
    }
    registry.source().collect(None, true).await.unwrap();
    assert_eq!(here(&[kept, subject, signature_digest, pinned]), [true, false, false, false]);
    assert!(registry.store.check().unwrap().problems.is_empty());
    registry.stop().await;
}

#[tokio::test]
async fn a_quota_takes_cached_images_by_their_last_use() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let (pushed, _) = registry.push("1", &[1; 40_000]).await;
    let mut cached = Vec::new();
    for number in 2..6 {
        let layer = registry.store.put(&[number; 40_000]).unwrap();
        let config = registry.store.put(b"{}").unwrap();
        let document = registry.store.put(manifest(&config.digest, &layer.digest, None).as_bytes()).unwrap();
        let name = format!("quay.io/team/app:{number}");
        let descriptor = Descriptor::new(MediaType::ImageManifest, document.size, document.digest);
        registry.store.set_name(NameKind::CachedImage, &name, &descriptor).unwrap();
        age(&registry.store.blob_path(&document.digest));
        cached.push((layer.digest, document.digest));
    }
    // The second is used; the others are as old as each other.
    let path = format!("/v2/team/app/manifests/{}?ns=quay.io", cached[1].1);
    assert_eq!(registry.status(Method::GET, &path, "").await, StatusCode::OK);
    registry.source().collect(Some(90_000), false).await.unwrap();
    let here: Vec<bool> = cached.iter().map(|(layer, _)| registry.store.contains(layer)).collect();
    assert_eq!(here, [false, true, false, false]);
    registry.source().collect(Some(1), false).await.unwrap();
    assert!(registry.store.contains(&pushed) && !registry.store.contains(&cached[1].0), "what was pushed stays");
    registry.stop().await;
}

#[tokio::test]
async fn everybody_pulls_and_users_push() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    std::fs::write(&users, USER).unwrap();
    let registry = Registry::start(directory.path(), |config| {
        config.htpasswd = Some(users.clone());
        config.anonymous_pull = true;
        config.access_log = true;
    });
    let mut registry = registry.await;
    let refused = registry.send(Method::POST, "/v2/a/blobs/uploads/", "").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let realm = format!("Bearer realm=\"{}/token\",service=\"sealer\",scope=\"repository:a:pull,push\"", registry.base);
    assert_eq!(header(&refused, "www-authenticate"), realm);
    assert_eq!(registry.status(Method::GET, "/v2/", "").await, StatusCode::UNAUTHORIZED, "clients learn of the tokens");
    assert_eq!(registry.status(Method::GET, "/v2/a/manifests/1", "").await, StatusCode::NOT_FOUND);
    assert_eq!(registry.status(Method::GET, "/healthz", "").await, StatusCode::OK);
    let token = async |login: Option<(&str, &str)>| -> Option<String> {
        let request = registry.client.get(format!("{}/token?service=sealer", registry.base));
        let request = match login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let answer: Value = serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap();
        answer["token"].as_str().map(str::to_owned)
    };
    assert_eq!(token(Some(("pusher", "wrong"))).await, None);
    let with = async |token: &str, method, path: &str| {
        let request = registry.client.request(method, format!("{}{path}", registry.base)).bearer_auth(token);
        request.send().await.unwrap().status()
    };
    let nobody = token(None).await.unwrap();
    assert_eq!(with(&nobody, Method::GET, "/v2/").await, StatusCode::OK);
    assert_eq!(with(&nobody, Method::POST, "/v2/a/blobs/uploads/").await, StatusCode::UNAUTHORIZED);
    let user = token(Some(("pusher", "U*U"))).await.unwrap();
    assert_eq!(with(&user, Method::POST, "/v2/a/blobs/uploads/").await, StatusCode::ACCEPTED);
    let basic =
        registry.client.post(format!("{}/v2/a/blobs/uploads/", registry.base)).basic_auth("pusher", Some("U*U"));
    assert_eq!(basic.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let mut pushes = Vec::new();
    while let Ok(event) = registry.events.try_recv() {
        if let Event::Request(access) = event {
            assert!(!format!("{access:?}").contains("U*U"));
            pushes.extend((access.method == "POST").then_some((access.status, access.user, access.peer.is_some())));
        }
    }
    let user = Some("pusher".to_owned());
    assert_eq!(pushes, [(401, None, true), (401, None, true), (202, user.clone(), true), (202, user, true)]);
    let metrics = registry.client.get(format!("{}/metrics", registry.base)).basic_auth("pusher", Some("U*U"));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("sealer_registry_requests_total{method=\"POST\",code=\"202\"} 2\n"), "{metrics}");
    registry.stop().await;
}

#[tokio::test]
async fn a_certificate_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let minted = directory.path().join("tls");
    let mint = |config: &mut Config| {
        config.tls = Some(TlsConfig::minted(minted.clone()));
        config.names = vec!["sea.hub:5000".to_owned()];
    };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut registry = Registry::start(directory.path(), mint).await;
        let pem = std::fs::read(minted.join("registry.crt")).unwrap();
        let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
        registry.client = Client::builder().tls_certs_only([trusted]).build().unwrap();
        assert_eq!(registry.status(Method::GET, "/v2/", "").await, StatusCode::OK);
        seen.push(pem);
        registry.stop().await;
    }
    assert_eq!(seen[0], seen[1]);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(minted.join("registry.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_configuration_that_cannot_work_is_named() {
    for (yaml, word) in [
        ("lisen: x\n", "lisen"),
        ("listen: here\n", "listen"),
        ("quota: many\n", "quota"),
        ("- a\n", "config"),
        ("tls: { cert: a }\n", "tls"),
        ("tls: { cert: /nowhere/a, key: /nowhere/b }\n", "/nowhere/a"),
        ("anonymousPull: true\n", "anonymousPull"),
        ("htpasswd: /nowhere/users\n", "/nowhere/users"),
    ] {
        let error = Config::parse(yaml).and_then(|config| config.check()).unwrap_err().to_string();
        assert!(error.contains(word), "{yaml}: {error}");
    }
    for fine in ["", "# nothing\n", "{}\n", "push: true\ncollectUntagged: true\n"] {
        Config::parse(fine).and_then(|config| config.check()).unwrap();
    }
}

/// Whatever is done to a manifest before it is pushed, it is taken or refused: nothing fails inside, and what was taken is given
/// back byte for byte, with lists that can still be made.
#[tokio::test]
async fn no_pushed_manifest_is_too_odd() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path(), |_| ()).await;
    let (layer, image) = registry.push("1", b"layer").await;
    let good = manifest(&Digest::of(b"{}"), &layer, Some(&image));
    let mut runner = TestRunner::deterministic();
    let odd =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,9}"), 1..4);
    let words = ["null", "[]", "{}", "-1", "1e400", "18446744073709551616", "\"\"", "\"\\u0000\"", "true", "[[[["];
    let mut taken = 0;
    for round in 0..300 {
        let mut text = good.clone();
        for (from, to, with) in odd.new_tree(&mut runner).unwrap().current() {
            let bounds: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
            let (one, other) = (*from.get(&bounds), *to.get(&bounds));
            // Short cuts keep most of it a document; now and then a word of JSON comes in their place.
            let (begin, end) = (one.min(other), one.max(other).min(one.min(other) + 12));
            let end = bounds.iter().copied().find(|place| *place >= end).unwrap_or(text.len());
            let with = if round % 2 == 0 { words[round / 2 % words.len()] } else { with.as_str() };
            text.replace_range(begin..end, with);
        }
        if round % 10 == 0 {
            text = good.replacen("\"size\":2", &format!("\"size\":{round},\"note\":{}", words[round / 10 % 10]), 1);
        }
        let status = registry.status(Method::PUT, "/v2/a/manifests/odd", text.clone()).await;
        assert!(status == StatusCode::CREATED || status.is_client_error(), "{status}: {text}");
        if status == StatusCode::CREATED {
            taken += 1;
            assert_eq!(registry.send(Method::GET, "/v2/a/manifests/odd", "").await.text().await.unwrap(), text);
        }
    }
    assert!(taken > 0 && taken < 300, "{taken} were taken");
    let listed = registry.send(Method::GET, &format!("/v2/a/referrers/{image}"), "").await;
    assert_eq!(listed.status(), StatusCode::OK);
    registry.stop().await;
}

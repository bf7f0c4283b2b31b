//! The registry passes the contract suite of registry-client, over every transport.
#![allow(clippy::unwrap_used)]

mod support;

use registry_client::contract::{Fixture, contract};
use registry_client::{Error, Http2Stream, Https, Options, Registry};
use registry_proxy::serve_http2_stream;
use support::{Content, Server, tls};

fn https(change: impl FnOnce(&mut Options)) -> Https {
    let mut options = Options::default();
    change(&mut options);
    Https::new(options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let server = Server::start(&content, None).await;
    // Once as a mirror, which tells the namespace, and once as the registry itself, which does not.
    let mirrors = [("registry.example".to_owned(), vec![format!("http://{}", server.host())])].into();
    let mirrored = https(|options| {
        options.mirrors = mirrors;
        options.connect_timeout = std::time::Duration::from_secs(1);
    });
    let manifest = mirrored.manifest(&fixture.image, &[]).await.unwrap();
    assert_eq!(manifest.bytes, fixture.manifest);

    let direct = https(|options| options.plain_http = [server.host()].into());
    contract(&direct, &Fixture::new(&server.host())).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let tls = tls();
    let server = Server::start(&content, Some(tls.clone())).await;
    let local = Fixture::new(&format!("localhost:{}", server.address.port()));
    let trusting = https(|options| options.extra_ca = vec![tls.cert_pem]);
    contract(&trusting, &local).await;
    let suspicious = Https::new(Options::default()).unwrap();
    let error = suspicious.manifest(&local.image, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains(local.image.registry()), "the message names the host: {error}");
    let careless = https(|options| options.insecure = [local.image.registry().to_owned()].into());
    assert_eq!(careless.manifest(&local.image, &[]).await.unwrap().bytes, local.manifest);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_byte_stream() {
    let fixture = Fixture::new("registry.example");
    let content = Content { clients_verify: true, ..Content::new(&fixture) };
    let (near, far) = tokio::io::duplex(64 << 10);
    let served = tokio::spawn(serve_http2_stream(far, content.router()));
    let registry = Http2Stream::new(near).await.unwrap();
    contract(&registry, &fixture).await;
    drop(registry);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_ends_is_reported() {
    let (near, far) = tokio::io::duplex(1024);
    drop(far);
    let fixture = Fixture::new("registry.example");
    let failed = match Http2Stream::new(near).await {
        Ok(registry) => registry.manifest(&fixture.image, &[]).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(failed, Err(Error::Interrupted { .. } | Error::Unreachable { .. })), "{failed:?}");
}

//! Upstreams behind a login, a socket, a prefix and a slow line.

use super::REGISTRY;
use crate::support::{Content, Server};
use content_store::Store;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use registry_client::contract::Fixture;
use registry_proxy::{Htpasswd, ManifestReference, Options, Repository, Source, UpstreamConfig, UpstreamSource};
use tempfile::TempDir;
use tokio::net::UnixListener;

/// Asks a source over one upstream for the image of the fixture.
async fn ask(config: UpstreamConfig, path: &str) -> (Option<bytes::Bytes>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let source = UpstreamSource::new(store, vec![config], &Options::default()).unwrap();
    let tag = ManifestReference::Tag("1.4".to_owned());
    let manifest = source.manifest(&Repository::new(Some(REGISTRY), path), &tag).await;
    (manifest.ok().flatten().map(|manifest| manifest.bytes), directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_opens_an_upstream() {
    let fixture = Fixture::new(REGISTRY);
    let mut content = Content::new(&fixture);
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    content.htpasswd = Some(Htpasswd::parse(&format!("me:{hash}")).unwrap());
    let server = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    for (password, expected) in [("s3cret\n", Some(fixture.manifest.clone())), ("wrong", None)] {
        std::fs::write(&file, password).unwrap();
        let mut config = UpstreamConfig::new(REGISTRY).at(format!("http://{}", server.host()));
        config.username = Some("me".to_owned());
        config.password_file = Some(file.clone());
        assert_eq!(ask(config, "contract/shop").await.0, expected, "{password}");
    }
    assert_eq!(
        ask(UpstreamConfig::new(REGISTRY).at(format!("http://{}", server.host())), "contract/shop").await.0,
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_be_behind_a_socket() {
    let fixture = Fixture::new(REGISTRY);
    let content = Content::new(&fixture);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let (listener, router) = (UnixListener::bind(&path).unwrap(), content.router());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let config = UpstreamConfig::new("*").at(format!("unix:{}", path.display()));
    assert_eq!(ask(config, "contract/shop").await.0, Some(fixture.manifest));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_get_the_prefix_of_the_url_and_requests_their_pace() {
    let fixture = Fixture::new(REGISTRY);
    let content = Content::new(&fixture);
    let server = Server::start(&content, None).await;
    let mut config = UpstreamConfig::new(REGISTRY).at(format!("http://{}/contract", server.host()));
    (config.requests_per_second, config.bytes_per_second) = (Some(50), Some(10_000_000));
    let (found, _directory) = ask(config, "shop").await;
    assert_eq!(found, Some(fixture.manifest));
}

//! Skopeo pulls from the registry what was stored, and images under their original names through a mirror and through the forward proxy.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Reference;
use content_store::{Digest, Store};
use registry_client::contract::Fixture;
use registry_proxy::{Options, UpstreamConfig, UpstreamSource, service};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use support::{Content, Server, Trusted};

/// Content with one image under the name `registry.example/team/app:1`; the digests of its blobs.
fn content() -> (Content, Vec<Digest>) {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let layer = content.store.put(&fixture.blobs[2]).unwrap();
    let image = Reference::new("registry.example", "team/app", "1").unwrap();
    let [config, manifest] = content.image(&image, &layer);
    (content, vec![layer.digest, config, manifest])
}

/// Copies an image with skopeo, and looks whether all of it arrived.
async fn copy(source: String, environment: Vec<(&'static str, String)>, arguments: Vec<String>, expected: &[Digest]) {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("oci:{}:app", directory.path().display());
    let copy = move || {
        let mut command = Command::new("skopeo");
        command.args(arguments).args(["copy", "-q", "--all", "--preserve-digests", &source, &target]);
        command.envs(environment).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(copy).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copied = Store::open(directory.path()).unwrap();
    for digest in expected {
        copied.verify(digest).unwrap();
    }
}

/// A registries.conf that says where images come from.
fn registries(directory: &Path, text: &str) -> Vec<String> {
    let path = directory.join("registries.conf");
    std::fs::write(&path, text).unwrap();
    vec!["--registries-conf".to_owned(), path.display().to_string()]
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_an_image() {
    let (content, blobs) = content();
    let server = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let host = server.host();
    let plain = registries(directory.path(), &format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"));
    copy(format!("docker://{host}/team/app:1"), Vec::new(), plain, &blobs).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_the_original_name_through_a_mirror_with_the_host_in_its_path() {
    let (content, blobs) = content();
    let upstream = Server::start(&content, None).await;
    let directory = tempfile::tempdir().unwrap();
    let (store, options) = (Store::open(&directory.path().join("store")).unwrap(), Options::default());
    let config = UpstreamConfig::new("registry.example").at(format!("http://{}", upstream.host()));
    let source = UpstreamSource::new(store, vec![config], &options).unwrap();
    let server = Server::over(service(vec![Arc::new(source)], options), None).await;
    let host = server.host();
    let text = format!(
        "[[registry]]\nlocation = \"registry.example\"\n[[registry.mirror]]\nlocation = \"{host}/registry.example\"\ninsecure = true\n"
    );
    let mirrored = registries(directory.path(), &text);
    copy("docker://registry.example/team/app:1".to_owned(), Vec::new(), mirrored, &blobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_the_original_name_through_the_forward_proxy() {
    let (content, blobs) = content();
    let trusted = Trusted::new();
    let address = support::forward(&content, &trusted).await;
    let environment = vec![
        ("HTTPS_PROXY", format!("http://{address}")),
        ("SSL_CERT_FILE", trusted.certificate.display().to_string()),
    ];
    copy("docker://registry.example/team/app:1".to_owned(), environment, Vec::new(), &blobs).await;
}

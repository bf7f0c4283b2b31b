//! The HTTPS client passes the contract suite against Debian's `docker-registry`.
#![allow(clippy::unwrap_used)]

#[path = "support/docker.rs"]
mod docker;

use docker::DockerRegistry;
use registry_client::contract::{Fixture, contract, write_contract};
use registry_client::{ACCEPT, Digest, Https, Mount, Options, Reference, Registry, Upload};

async fn fill(server: &DockerRegistry, fixture: &Fixture) {
    let registry = Https::new(Options::default()).unwrap();
    let image = Reference::new(&server.host, fixture.image.repository(), "1.4").unwrap();
    for blob in &fixture.blobs {
        let Upload::Session(session) = registry.start_upload(&image, None).await.unwrap() else { panic!("mounted") };
        let digest = Digest::of(blob);
        registry.finish_upload(&image, &session, &digest, blob.clone().into()).await.unwrap();
    }
    registry.put_manifest(&image, ACCEPT[1], fixture.manifest.clone()).await.unwrap();
    let index = image.with_tag("index").unwrap();
    registry.put_manifest(&index, ACCEPT[0], fixture.index_bytes.clone()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let server = DockerRegistry::start(directory.path()).await;
    let fixture = Fixture::new(&server.host);
    fill(&server, &fixture).await;
    let registry = Https::new(Options::default()).unwrap();
    contract(&registry, &fixture).await;
    write_contract(&registry, &fixture).await;
    let digest = Digest::of(&fixture.blobs[2]);
    let mount = Mount::new(&digest, fixture.image.repository());
    let other = Reference::new(&server.host, "other/place", "1").unwrap();
    assert_eq!(registry.start_upload(&other, Some(mount)).await.unwrap(), Upload::Mounted, "docker-registry mounts");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_lists_more_tags_than_fit_on_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let server = DockerRegistry::start(directory.path()).await;
    let fixture = Fixture::new(&server.host);
    fill(&server, &fixture).await;
    let tags = directory.path().join("data/docker/registry/v2/repositories/contract/shop/_manifests/tags");
    for number in 0..1500 {
        let link = tags.join(format!("t{number}/current"));
        std::fs::create_dir_all(&link).unwrap();
        std::fs::write(link.join("link"), Digest::of(&fixture.manifest).to_string()).unwrap();
    }
    let listed = Https::new(Options::default()).unwrap().tags(&fixture.image).await.unwrap();
    assert_eq!(listed.len(), 1502);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_works_as_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let server = DockerRegistry::start(directory.path()).await;
    fill(&server, &Fixture::new(&server.host)).await;
    let mirrors = [("registry.invalid".to_owned(), vec![format!("http://{}", server.host)])].into();
    let mut options = Options::default();
    options.mirrors = mirrors;
    let registry = Https::new(options).unwrap();
    let fixture = Fixture::new("registry.invalid");
    let manifest = registry_client::Registry::manifest(&registry, &fixture.image, &[]).await.unwrap();
    assert_eq!(manifest.bytes, fixture.manifest);
}

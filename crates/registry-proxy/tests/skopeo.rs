//! Skopeo pulls from the registry what was stored.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Reference;
use content_store::{MediaType, Store};
use registry_client::contract::Fixture;
use serde_json::json;
use std::process::Command;
use support::{Content, Server};

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_an_image() {
    let fixture = Fixture::new("registry.example");
    let content = Content::new(&fixture);
    let layer = content.store.put(&fixture.blobs[2]).unwrap();
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer.digest] } })
            .to_string();
    let config = content.store.put(config.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.digest, "size": config.size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": layer.size }],
    });
    let manifest = manifest.to_string();
    let image = Reference::new("registry.example", "team/app", "1").unwrap();
    content.name(&image, manifest.as_bytes(), MediaType::ImageManifest);
    let server = Server::start(&content, None).await;

    let directory = tempfile::tempdir().unwrap();
    let target = format!("oci:{}:app", directory.path().display());
    let source = format!("docker://{}/team/app:1", server.host());
    let copy = move || {
        Command::new("skopeo")
            .args(["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false", &source, &target])
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(copy).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copied = Store::open(directory.path()).unwrap();
    for digest in [layer.digest, config.digest, content_store::Digest::of(manifest.as_bytes())] {
        copied.verify(&digest).unwrap();
    }
    server.stop().await;
}

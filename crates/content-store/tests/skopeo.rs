//! Skopeo reads our names and keeps them when it writes into the same directory.
#![allow(clippy::unwrap_used)]

use content_store::{Descriptor, MediaType, NameKind, Store};
use serde_json::{Value, json};
use std::process::Command;

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn skopeo_reads_and_writes_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let layer = store.put(&[0; 10240]).unwrap();
    let diff_id = layer.digest;
    let config = store
        .put(json!({ "architecture": "amd64", "os": "linux", "config": { "Labels": { "made": "here" } }, "rootfs": { "type": "layers", "diff_ids": [diff_id] } }).to_string().as_bytes())
        .unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.digest, "size": config.size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": layer.size }],
    });
    let manifest = store.put(manifest.to_string().as_bytes()).unwrap();
    let name = "docker.io/library/shop:1.4";
    let descriptor = Descriptor::new(MediaType::ImageManifest, manifest.size, manifest.digest);
    store.set_name(NameKind::ClusterImage, name, &descriptor).unwrap();

    let ours = format!("oci:{}:{name}", directory.path().display());
    let seen: Value = serde_json::from_str(&skopeo(&["inspect", &ours])).unwrap();
    assert_eq!(seen["Digest"], manifest.digest.to_string());
    assert_eq!(seen["Labels"]["made"], "here");

    let theirs = format!("oci:{}:copied", directory.path().display());
    skopeo(&["copy", "-q", &ours, &theirs]);
    assert_eq!(store.resolve(NameKind::ClusterImage, name).unwrap(), Some(descriptor));
    assert_eq!(store.names().unwrap().len(), 1);
    store.remove_name(NameKind::ClusterImage, name).unwrap();
    store.collect_garbage().unwrap();
    skopeo(&["inspect", &theirs]);
    assert_eq!(store.blobs().unwrap().len(), 3, "what their entry reaches is kept");
}

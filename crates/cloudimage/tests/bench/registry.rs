//! Container images for tests: in a registry in memory, and in archives.

use cloudimage::format;
use content_store::Digest;
use registry_client::{Memory, Reference};
use serde_json::{Value, json};

pub fn name(repository: &str, reference: &str) -> Reference {
    Reference::new("docker.io", repository, reference).unwrap()
}

pub fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

pub fn config(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    serde_json::to_vec(
        &json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": layers } }),
    )
    .unwrap()
}

pub fn manifest(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<Value> = layers.iter().map(|layer| blob(format::LAYER_TAR, layer)).collect();
    // Odd spacing and an unknown field: it must stay as it is.
    let value = json!({ "schemaVersion": 2, "mediaType": format::MANIFEST, "config": blob(format::CONFIG, config), "layers": layers, "x-unknown": 1 });
    serde_json::to_vec_pretty(&value).unwrap()
}

/// Puts an image for one platform; gives its manifest.
pub fn put(registry: &Memory, repository: &str, tag: &str, architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let image = name(repository, tag);
    let config = config(architecture, layers);
    for layer in layers {
        registry.add_blob(&image, layer.to_vec());
    }
    registry.add_blob(&image, config.clone());
    let manifest = manifest(&config, layers);
    registry.add_manifest(&image, format::MANIFEST, manifest.clone());
    manifest
}

/// Puts an index over images of two platforms; gives it.
pub fn put_index(registry: &Memory, repository: &str, tag: &str) -> Vec<u8> {
    let entries: Vec<Value> = ["amd64", "arm64"]
        .into_iter()
        .map(|architecture| {
            let manifest =
                put(registry, repository, architecture, architecture, &[architecture.as_bytes(), b"shared layer"]);
            let mut entry = blob(format::MANIFEST, &manifest);
            entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
            entry
        })
        .collect();
    let index =
        serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": format::INDEX, "manifests": entries })).unwrap();
    registry.add_manifest(&name(repository, tag), format::INDEX, index.clone());
    index
}

pub fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn docker_archive(tag: &str, architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let config = config(architecture, layers);
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": names }]);
    let mut members =
        vec![("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap()), ("config.json".to_owned(), config)];
    members.extend(names.into_iter().zip(layers).map(|(name, layer)| (name, layer.to_vec())));
    let members: Vec<(&str, Vec<u8>)> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    tar(&members)
}

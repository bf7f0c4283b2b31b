//! Archives and directories of other registries are served where they lie.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::Digest;
use registry_proxy::contract::{Fixture, contract};
use registry_proxy::{ManifestReference, Options, ReadOnlySource, Repository};
use serde_json::json;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// An OCI layout with the content of the fixture, and a catalogue that names it.
fn layout(directory: &Path, fixture: &Fixture) {
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        write(&directory.join("blobs/sha256").join(digest.hex()), bytes);
        (digest, bytes.len())
    };
    for bytes in &fixture.blobs {
        blob(bytes);
    }
    let (digest, size) = blob(&fixture.manifest);
    let name = format!("registry.example/{}:{}", fixture.repository.path, fixture.tag);
    let catalogue = json!({ "images": [{ "reference": name, "digest": digest, "mediaType": fixture.media_type, "size": size, "more": 1 }] });
    let (config, _) = blob(catalogue.to_string().as_bytes());
    let kind = "application/vnd.sealer.container-images.v1+json";
    let artifact = json!({ "config": { "mediaType": kind, "digest": config, "size": 1 }, "layers": [] });
    let (artifact, _) = blob(artifact.to_string().as_bytes());
    let entry = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": artifact, "size": 1 });
    let (top, size) = blob(json!({ "manifests": [entry] }).to_string().as_bytes());
    let index = json!({ "manifests": [{ "mediaType": fixture.media_type, "digest": top, "size": size }] });
    write(&directory.join("index.json"), index.to_string());
}

/// The layout as a tar, by the system's program.
fn archive(fixture: &Fixture) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), fixture);
    let path = directory.path().join("image.tar");
    let status =
        Command::new("tar").arg("-cf").arg(&path).arg("-C").arg(directory.path().join("layout")).arg(".").status();
    assert!(status.unwrap().success());
    (directory, path)
}

#[tokio::test]
async fn an_archive_passes_the_contract() {
    let fixture = Fixture::default();
    let (_directory, path) = archive(&fixture);
    let source = ReadOnlySource::open(&path, &Options::default()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    contract(&*source, &fixture, |digest| {
        let all = fixture.blobs.iter().chain([&fixture.manifest]);
        let blob = all.into_iter().find(|blob| Digest::of(blob) == *digest).unwrap();
        let at = bytes.windows(blob.len()).position(|window| window == &blob[..]).unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start((at + blob.len() / 2) as u64)).unwrap();
        file.write_all(&[!blob[blob.len() / 2]]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_layout_stays_as_it_is() {
    let (directory, fixture) = (tempfile::tempdir().unwrap(), Fixture::default());
    layout(directory.path(), &fixture);
    write(&directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    // As other tools name images, without a kind.
    let name = json!({ "org.opencontainers.image.ref.name": "registry.example/other/app:2" });
    let (digest, size) = (Digest::of(&fixture.manifest), fixture.manifest.len());
    let entry = json!({ "mediaType": fixture.media_type, "digest": digest, "size": size, "annotations": name });
    write(&directory.path().join("index.json"), json!({ "manifests": [entry] }).to_string());
    let listing = || {
        let output = Command::new("find").arg(directory.path()).output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = listing();
    let source = ReadOnlySource::open(directory.path(), &Options::default()).unwrap();
    let repository = Repository::new(Some("registry.example"), "other/app");
    let found = source.manifest(&repository, &ManifestReference::Tag("2".to_owned())).await.unwrap().unwrap();
    assert_eq!(found.bytes, fixture.manifest);
    for bytes in &fixture.blobs {
        assert!(source.blob(&repository, &Digest::of(bytes)).await.unwrap().is_some());
    }
    assert_eq!(listing(), before);
}

#[tokio::test]
async fn the_directory_of_a_registry_is_served() {
    let (directory, fixture) = (tempfile::tempdir().unwrap(), Fixture::default());
    let root = directory.path().join("docker/registry/v2");
    let data = |digest: &Digest| root.join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex()).join("data");
    for bytes in fixture.blobs.iter().chain([&fixture.manifest]) {
        write(&data(&Digest::of(bytes)), bytes);
    }
    let tags = root.join("repositories/registry.example").join(&fixture.repository.path).join("_manifests/tags");
    write(&tags.join(&fixture.tag).join("current/link"), Digest::of(&fixture.manifest).to_string());
    write(&tags.join("gone/current/link"), Digest::of(b"gone").to_string());
    let source = ReadOnlySource::open(directory.path(), &Options::default()).unwrap();
    let tag = ManifestReference::Tag(fixture.tag.clone());
    let found = source.manifest(&fixture.repository, &tag).await.unwrap().unwrap();
    assert_eq!((found.media_type, found.digest), (None, Digest::of(&fixture.manifest)));
    assert_eq!(
        source.tags(&fixture.repository).await.unwrap(),
        Some(vec![fixture.tag.clone()]),
        "what is gone is no tag"
    );
    for bytes in &fixture.blobs {
        let blob = source.blob(&fixture.repository, &Digest::of(bytes)).await.unwrap().unwrap();
        assert_eq!(blob.size(), bytes.len() as u64);
    }
    let hub = root.join("repositories/library/nginx/_manifests/tags/1/current/link");
    write(&hub, Digest::of(&fixture.manifest).to_string());
    let again = ReadOnlySource::open(&root, &Options::default()).unwrap();
    let nginx = Repository::new(Some("docker.io"), "library/nginx");
    assert!(again.manifest(&nginx, &ManifestReference::Tag("1".to_owned())).await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        ReadOnlySource::open(&path, &Options::default()).unwrap_err().to_string()
    };
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0; 1000]].concat();
    assert!(refused(&zstd).contains("compressed"));
    assert!(refused(&[1; 1024]).contains("no tar"));
    assert!(refused(&[0; 1024]).contains("no index.json"));
    let error = ReadOnlySource::open(directory.path(), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("neither an OCI layout"), "{error}");
    let (_directory, whole) = archive(&Fixture::default());
    let bytes = std::fs::read(whole).unwrap();
    assert!(refused(&bytes[..bytes.len() / 2]).contains("cut off"));
}

//! Images of upstream sealer, which keep container images as files of docker's registry, carry them as ours do once used.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::BTreeMap;
use std::fs;

use bench::Bench;
use cloudimage::{BuildEvent, Images};
use content_store::Digest;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const ROOT: &str = "registry/docker/registry/v2";
const EXTENSION: &str = r#"{"buildClient":{"sealerVersion":"0.11.0","buildahVersion":"1.27"},"schemaVersion":"v1alpha1","type":"kube-installer","launch":{"cmds":["kubectl get node"]}}"#;

type Files = BTreeMap<String, Vec<u8>>;

fn tar(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn data(digest: &Digest) -> String {
    format!("{ROOT}/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex())
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// Puts a container image into the files of a registry; gives its manifest.
fn put(files: &mut Files, repository: &str, tag: &str, layer: &[u8]) -> Digest {
    let config = json!({ "architecture": "amd64", "os": "linux", "tag": tag }).to_string().into_bytes();
    let manifest = json!({ "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)] })
    .to_string()
    .into_bytes();
    let digest = Digest::of(&manifest);
    for bytes in [layer.to_vec(), config, manifest] {
        files.insert(data(&Digest::of(&bytes)), bytes);
    }
    let place = format!("{ROOT}/repositories/{repository}/_manifests");
    files.insert(format!("{place}/tags/{tag}/current/link"), digest.to_string().into_bytes());
    files.insert(format!("{place}/revisions/sha256/{}/link", digest.hex()), digest.to_string().into_bytes());
    files.insert(format!("{ROOT}/repositories/{repository}/_layers/sha256/x/link"), b"sha256:x".to_vec());
    digest
}

/// Puts an index over the image under another tag; the other platform that it lists is not there.
fn put_index(files: &mut Files, repository: &str, tag: &str, manifest: &Digest) -> Digest {
    let size = files[&data(manifest)].len();
    let platform = |name: &str| json!({ "os": "linux", "architecture": name });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json", "manifests": [
        { "mediaType": DOCKER_MANIFEST, "digest": Digest::of(b"absent"), "size": 6, "platform": platform("arm64") },
        { "mediaType": DOCKER_MANIFEST, "digest": manifest, "size": size, "platform": platform("amd64") } ] })
    .to_string()
    .into_bytes();
    let digest = Digest::of(&index);
    files.insert(data(&digest), index);
    let place = format!("{ROOT}/repositories/{repository}/_manifests/tags/{tag}/current/link");
    files.insert(place, digest.to_string().into_bytes());
    digest
}

/// Loads an image of upstream's with these layers.
fn load(images: &Images, directory: &std::path::Path, layers: &[Files], listed: &Value) {
    let layers: Vec<Vec<u8>> = layers.iter().map(tar).collect();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let history: Vec<Value> = (0..layers.len()).map(|at| json!({ "created_by": format!("step {at}") })).collect();
    let config =
        json!({ "os": "linux", "architecture": "amd64", "x-kept": 1, "config": { "Labels": { "of": "upstream" } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": history })
        .to_string()
        .into_bytes();
    let described: Vec<Value> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "x-kept": 1,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config), "layers": described,
        "annotations": { "sealer.image.extension": EXTENSION, "sealer.image.container.images": listed.to_string() } })
    .to_string()
    .into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "upstream:1" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    let mut archive = Files::from([("index.json".to_owned(), index)]);
    for blob in layers.into_iter().chain([config, manifest]) {
        archive.insert(format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob);
    }
    let path = directory.join("upstream.tar");
    fs::write(&path, tar(&archive)).unwrap();
    images.load(&path).unwrap();
}

fn rootfs() -> Files {
    Files::from([("etc/kubeadm.yml".to_owned(), b"kind: ClusterConfiguration\n".to_vec())])
}

fn listed() -> Value {
    json!([{ "image": "nginx:1.25", "appName": "", "platform": {} }, { "image": "registry.k8s.io/pause:3.9" }])
}

#[tokio::test]
async fn an_image_of_upstream_is_built_upon_with_what_it_carries() {
    let bench = Bench::new();
    let mut registry = Files::new();
    let nginx = put(&mut registry, "library/nginx", "1.25", b"layer of nginx");
    let pause = put(&mut registry, "pause", "amd64-3.9", b"layer of pause");
    let index = put_index(&mut registry, "pause", "3.9", &pause);
    load(bench.images(), &bench.path(""), &[rootfs(), registry], &listed());
    let before = bench.images().get("upstream:1").unwrap();
    assert!(before.catalogue().images.is_empty() && before.layers().len() == 2);

    bench.write("app.yaml", "kind: Deployment\n");
    bench.build("FROM upstream:1\nCOPY app.yaml manifests/\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let names: BTreeMap<&str, Digest> =
        image.catalogue().images.iter().map(|image| (image.reference.as_str(), image.digest)).collect();
    let expected = BTreeMap::from([
        ("docker.io/library/nginx:1.25", nginx),
        ("registry.k8s.io/pause:3.9", index),
        ("docker.io/library/pause:amd64-3.9", pause),
    ]);
    assert_eq!(names, expected);
    let pause = image.catalogue().image("registry.k8s.io/pause:3.9").unwrap();
    assert_eq!(pause.blobs.len(), 4, "index, manifest of the platform, config, layer");
    for blob in image.catalogue().blobs() {
        bench.images().content().verify(&blob.digest).unwrap();
    }
    assert_eq!(
        image.list_files().unwrap(),
        ["etc/kubeadm.yml", "manifests/app.yaml"],
        "the registry is no file any more"
    );
    assert_eq!((image.layers().len(), image.layers()[0].created_by.as_str()), (2, "step 0"));
    assert_eq!(image.launch_commands(&BTreeMap::new()), ["kubectl get node"]);
    assert_eq!(*bench.images().get("upstream:1").unwrap().index_digest(), *before.index_digest(), "the base stays");
    // Merged with its base, it is itself, and says in upstream's words what it carries.
    let merged = bench.images().merge(&["upstream:1", "shop:1.4"], "both:1", &[]).unwrap();
    assert_eq!((merged.carried_images, merged.conflicts.len()), (3, 0), "{merged:?}");
    let platform = "linux/amd64".parse().unwrap();
    let manifest: Value = serde_json::from_slice(&bench.images().raw("both:1", Some(&platform)).unwrap()).unwrap();
    let listed = manifest["annotations"]["sealer.image.container.images"].as_str().unwrap();
    assert!(listed.contains(r#"{"image":"registry.k8s.io/pause:3.9","platform":{"os":"linux""#), "{listed}");
    // Saved and loaded elsewhere, everything is there.
    let path = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &path).unwrap();
    let other = Bench::new();
    other.images().load(&path).unwrap();
    let all: [&str; 0] = [];
    assert_eq!(other.images().verify(&all, &|_, _| {}).unwrap().damaged, []);
}

#[tokio::test]
async fn the_name_of_an_image_that_is_run_moves_to_the_one_that_carries() {
    let bench = Bench::new();
    let mut registry = Files::from([("etc/other".to_owned(), b"x".to_vec())]);
    put(&mut registry, "library/nginx", "1.25", b"layer of nginx");
    load(bench.images(), &bench.path(""), &[rootfs(), registry], &listed());
    let images = bench.images();
    let imported = images.import_registry("upstream:1").unwrap().unwrap();
    assert_eq!((imported.images, imported.left_out.len()), (1, 0));
    images.adopt("upstream:1", &imported).unwrap();
    let image = images.get("upstream:1").unwrap();
    assert_eq!((*image.index_digest(), image.catalogue().images.len()), (imported.to, 1));
    assert_eq!(image.layers().len(), 2, "a layer with other files stays");
    assert!(images.import_registry("upstream:1").unwrap().is_none(), "once is enough");
    let again = images.import_registry(&imported.from.to_string()).unwrap();
    assert_eq!(again, Some(imported.clone()), "and the same comes out again");
    images.prune(cloudimage::PruneOptions::default()).unwrap();
    assert_eq!(images.verify(&["upstream:1"], &|_, _| {}).unwrap().damaged, []);
}

#[tokio::test]
async fn a_short_name_of_the_default_registry_moves_there() {
    let bench = Bench::new();
    let mut registry = Files::new();
    put(&mut registry, "library/nginx", "1.25", b"layer of nginx");
    load(bench.images(), &bench.path(""), &[rootfs(), registry], &listed());
    let images = bench.images().clone().with_default_registry("registry.example".parse().unwrap());
    images.tag("upstream:1", "registry.example/upstream:1").unwrap();
    images.remove(&["docker.io/library/upstream:1"], false).unwrap();
    let imported = images.import_registry("upstream:1").unwrap().unwrap();
    images.adopt("upstream:1", &imported).unwrap();
    let names: Vec<_> = images.list().unwrap().into_iter().map(|one| (one.name, one.digest)).collect();
    assert_eq!(names, [("registry.example/upstream:1".to_owned(), imported.to)]);
}

#[tokio::test]
async fn a_platform_that_came_later_is_imported_too() {
    let bench = Bench::new();
    let mut registry = Files::new();
    put(&mut registry, "library/nginx", "1.25", b"layer of nginx");
    load(bench.images(), &bench.path(""), &[rootfs(), registry], &listed());
    let (images, store) = (bench.images(), bench.images().content());
    let first = images.raw("upstream:1", Some(&"linux/amd64".parse().unwrap())).unwrap();
    let mut second: Value = serde_json::from_slice(&first).unwrap();
    second["x-kept"] = json!(2);
    let second = second.to_string().into_bytes();
    let entry = |bytes: &[u8], architecture: &str| {
        let mut entry = descriptor(MANIFEST, bytes);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let manifests = [entry(&first, "amd64"), entry(&second, "arm64")];
    let index = store.put(json!({ "schemaVersion": 2, "manifests": manifests }).to_string().as_bytes()).unwrap();
    let one = images.import_registry(&index.digest.to_string()).unwrap().unwrap();
    assert_eq!(one.images, 1);
    store.put(&second).unwrap();
    let both = images.import_registry(&index.digest.to_string()).unwrap().unwrap();
    assert_eq!(both.images, 2);
    let image = images.get_for(&both.to.to_string(), &"linux/arm64".parse().unwrap()).unwrap();
    assert_eq!(image.catalogue().images.len(), 1);
}

#[tokio::test]
async fn an_incomplete_image_is_left_out_and_a_corrupt_blob_refused() {
    let bench = Bench::new();
    let mut registry = Files::new();
    put(&mut registry, "library/nginx", "1.25", b"layer of nginx");
    put(&mut registry, "broken", "1", b"layer that is gone");
    registry.remove(&data(&Digest::of(b"layer that is gone")));
    load(bench.images(), &bench.path(""), &[rootfs(), registry.clone()], &json!(null));
    bench.build("FROM upstream:1\n").await.unwrap();
    assert_eq!(bench.images().get("shop:1.4").unwrap().catalogue().images.len(), 1);
    let warned = bench.events().into_iter().any(|event| {
        matches!(event, BuildEvent::Warning { message } if message.contains("upstream:1: broken:1 of its registry is left out"))
    });
    assert!(warned, "{:?}", bench.events());

    let bench = Bench::new();
    registry.insert(data(&Digest::of(b"layer of nginx")), b"other bytes".to_vec());
    load(bench.images(), &bench.path(""), &[rootfs(), registry], &listed());
    let said = bench.build("FROM upstream:1\n").await.unwrap_err().to_string();
    assert!(said.contains("it is corrupt") && said.contains(Digest::of(b"layer of nginx").hex().as_str()), "{said}");
}

#[tokio::test]
async fn what_is_deleted_above_is_not_imported() {
    let bench = Bench::new();
    let (mut below, mut above) = (Files::new(), Files::new());
    put(&mut below, "library/nginx", "1.25", b"layer of nginx");
    put(&mut below, "library/gone", "1", b"layer of gone");
    above.insert(format!("{ROOT}/repositories/library/.wh.gone"), Vec::new());
    put(&mut above, "library/nginx", "1.25", b"newer layer of nginx");
    load(bench.images(), &bench.path(""), &[rootfs(), below, above], &listed());
    let imported = bench.images().import_registry("upstream:1").unwrap().unwrap();
    let image = bench.images().get(&imported.to.to_string()).unwrap();
    let carried = &image.catalogue().images;
    assert_eq!(carried.len(), 1, "{carried:?}");
    assert!(carried[0].blobs.iter().any(|blob| blob.digest == Digest::of(b"newer layer of nginx")), "{carried:?}");
    assert_eq!(image.layers().len(), 1);
}

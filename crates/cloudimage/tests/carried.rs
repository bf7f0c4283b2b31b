//! Carried images reach the catalogue byte for byte, from archives and from registries.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use bench::Bench;
use bench::registry::{blob, config, docker_archive, manifest, put, put_index, tar};
use cloudimage::{BuildEvent, Error, Platform, format};
use content_store::Digest;
use registry_client::Memory;
use serde_json::{Value, json};

#[tokio::test]
async fn named_images_are_fetched_verbatim_for_the_platform() {
    let bench = Bench::new();
    let index = put_index(&bench.registry, "library/web", "1");
    let single = put(&bench.registry, "library/redis", "6.2", "amd64", &[b"redis layer", b"shared layer"]);
    bench.write("manifests/imageList", "web:1\n# the cache\nredis:6.2\n");
    let built = bench.build("FROM scratch\nCOPY manifests manifests\n").await.unwrap();
    assert_eq!(built.carried_images, 2);
    let image = bench.images().get("shop:1.4").unwrap();
    let catalogue = image.catalogue();
    let redis = catalogue.image("docker.io/library/redis:6.2").unwrap();
    assert_eq!(
        (redis.name.as_str(), redis.source.as_str(), redis.tag.as_deref()),
        ("redis:6.2", "manifests/imageList:3", Some("6.2"))
    );
    assert_eq!(redis.digest, Digest::of(&single));
    let web = catalogue.image("docker.io/library/web:1").unwrap();
    assert_eq!((web.digest, web.media_type.as_str()), (Digest::of(&index), format::INDEX));
    assert_eq!(web.platform.to_string(), "linux/amd64");
    let content = bench.images().content();
    assert_eq!(content.read_verified(&web.digest, 1 << 20).unwrap(), index, "documents stay byte for byte");
    assert!(content.contains(&Digest::of(b"amd64")) && !content.contains(&Digest::of(b"arm64")), "one platform only");
    check_format(&bench, &image);
    // What is here is not asked for again.
    let before = bench.registry.requested().len();
    let again = bench.build("FROM scratch\nCOPY manifests manifests\n").await.unwrap();
    assert_eq!((again.digest, again.new_bytes), (built.digest, 0));
    assert!(
        bench.registry.requested()[before..].iter().all(|asked| asked.starts_with("image ")),
        "{:?}",
        &bench.registry.requested()[before..]
    );
}

/// The documents are those of the design: index of a rootfs and an artifact manifest, no `artifactType` in descriptors.
fn check_format(bench: &Bench, image: &cloudimage::Image) {
    let content = bench.images().content();
    let read = |digest: &str| -> Value {
        serde_json::from_slice(&content.read_verified(&digest.parse().unwrap(), 1 << 20).unwrap()).unwrap()
    };
    let index = read(&image.index_digest().to_string());
    assert_eq!(index["mediaType"], format::INDEX);
    let [rootfs, artifact] = [0, 1].map(|at| index["manifests"][at].clone());
    assert_eq!(rootfs["platform"], json!({ "os": "linux", "architecture": "amd64" }));
    assert_eq!(artifact["platform"], json!({ "os": "unknown", "architecture": "unknown" }));
    assert_eq!(artifact["annotations"][format::ROOTFS_ANNOTATION], rootfs["digest"]);
    assert!(artifact.get("artifactType").is_none());
    let manifest = read(artifact["digest"].as_str().unwrap());
    assert_eq!(manifest["artifactType"], format::CONTAINER_IMAGES);
    assert_eq!(manifest["config"]["mediaType"], format::CONTAINER_IMAGES);
    let types: BTreeMap<&str, &str> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|blob| (blob["digest"].as_str().unwrap(), blob["mediaType"].as_str().unwrap()))
        .collect();
    for carried in image.catalogue().blobs() {
        let expected =
            if carried.is_document() { content_store::DOCUMENT_MEDIA_TYPE } else { carried.media_type.as_str() };
        assert_eq!(types[carried.digest.to_string().as_str()], expected);
    }
    assert_eq!(types.len(), image.catalogue().blobs().len());
    let rootfs = read(rootfs["digest"].as_str().unwrap());
    let extension: Value =
        serde_json::from_str(rootfs["annotations"]["sealer.image.extension"].as_str().unwrap()).unwrap();
    assert_eq!(
        (extension["schemaVersion"].as_str(), extension["type"].as_str()),
        (Some("v1alpha1"), Some("app-installer"))
    );
}

#[tokio::test]
async fn names_that_cannot_be_had_are_all_named_and_fail_the_build() {
    let bench = Bench::new();
    put(&bench.registry, "library/redis", "6.2", "amd64", &[b"redis layer"]);
    put(&bench.registry, "library/arm", "1", "arm64", &[b"arm layer"]);
    bench.write("manifests/imageList", "redis:6.2\nmissing:1\narm:1\nregistry.example.com/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
    let error = bench.build("FROM scratch\n").await.unwrap_err();
    let Error::Unfetchable(failed) = &error else { panic!("{error}") };
    assert_eq!(
        failed.iter().map(|one| one.image.source.clone()).collect::<Vec<_>>(),
        ["manifests/imageList:3", "manifests/imageList:2", "manifests/imageList:4"]
    );
    let message = error.to_string();
    assert!(message.starts_with("3 of the container images to carry cannot be had"), "{message}");
    assert!(
        message.contains("arm:1 is not built for linux/amd64; it has linux/arm64") && message.contains("missing:1"),
        "{message}"
    );
    assert!(bench.images().list().unwrap().is_empty());
}

#[tokio::test]
async fn an_interrupted_blob_continues_where_it_stopped() {
    let bench = Bench::new();
    let layer = vec![7; 3 << 20];
    put(&bench.registry, "library/big", "1", "amd64", &[&layer]);
    bench.registry.break_blob(&Digest::of(&layer));
    bench.write("manifests/imageList", "big:1\n");
    let broken = bench.build("FROM scratch\n").await;
    assert!(broken.is_err());
    bench.build("FROM scratch\n").await.unwrap();
    let fetched = bench.events().into_iter().filter_map(|event| match event {
        BuildEvent::Image { fetched, done: true, .. } => Some(fetched),
        _ => None,
    });
    assert!(fetched.max().unwrap() < layer.len() as u64, "the second attempt fetched everything again");
}

#[tokio::test]
async fn a_base_brings_its_images_along_even_offline() {
    let bench = Bench::new();
    put(&bench.registry, "library/redis", "6.2", "amd64", &[b"redis layer"]);
    bench.write("manifests/imageList", "redis:6.2\n");
    let options = cloudimage::BuildOptions::named("base:1");
    bench.build_with("FROM scratch\n", &options).await.unwrap();
    let mut offline = bench;
    offline.registry = Memory::default();
    offline.build("FROM base:1\n").await.unwrap();
    let image = offline.images().get("shop:1.4").unwrap();
    assert!(image.catalogue().image("docker.io/library/redis:6.2").is_some());
    assert!(
        offline
            .events()
            .iter()
            .any(|event| matches!(event, BuildEvent::Warning { message } if message.contains("base image")))
    );
}

#[tokio::test]
async fn the_list_of_a_base_counts_but_what_it_carries_is_not_fetched_again() {
    let bench = Bench::new();
    put(&bench.registry, "library/redis", "6.2", "amd64", &[b"redis layer"]);
    bench.write("list", "redis:6.2\n");
    let text = "FROM scratch\nCOPY list manifests/imageList\n";
    let options = cloudimage::BuildOptions::named;
    // A base that names an image without carrying it: no source looked at its files.
    let context = cloudimage::Context::open(&bench.context()).unwrap();
    let backends = cloudimage::Backends::new(&bench.sandbox, &bench.registry, &[]);
    let kubefile = kubefile::parse(text).unwrap();
    cloudimage::build(bench.images(), &kubefile, &context, &options("bare:1"), &backends, &|_| {}).await.unwrap();
    let redis =
        |name: &str| bench.images().get(name).unwrap().catalogue().image("docker.io/library/redis:6.2").cloned();
    assert!(redis("bare:1").is_none());
    bench.build("FROM bare:1\n").await.unwrap();
    assert_eq!(redis("shop:1.4").unwrap().source, "rootfs manifests/imageList:1");

    bench.build_with(text, &options("full:1")).await.unwrap();
    let before = bench.registry.requested().len();
    bench.build("FROM full:1\n").await.unwrap();
    assert_eq!(bench.registry.requested().len(), before, "the base carries it");
    assert!(redis("shop:1.4").is_some());
    bench.build("FROM full:1\nCOPY list manifests/imageList\n").await.unwrap();
    assert!(bench.registry.requested().len() > before, "this build names it: the tag may have moved");
}

#[tokio::test]
async fn archives_in_images_become_carried_images_and_leave_the_rootfs() {
    let bench = Bench::new();
    fs::create_dir(bench.context().join("images")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(bench.context().join("images").join(name), bytes).unwrap();
    write("registry.tar", &docker_archive("registry:2", "amd64", &[b"registry layer", b"second"]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&docker_archive("quay.io/a/b:1", "amd64", &[b"other layer"])).unwrap();
    write("other.tar.gz", &gzip.finish().unwrap());
    let layer = b"oci layer";
    let (config, manifest) = (config("amd64", &[layer]), manifest(&config("amd64", &[layer]), &[layer]));
    let mut entry = blob(format::MANIFEST, &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "pause:3.2" });
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": [entry] })).unwrap();
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let paths = [path(layer), path(&config), path(&manifest)];
    let members = [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json", index),
        (paths[0].as_str(), layer.to_vec()),
        (paths[1].as_str(), config.clone()),
        (paths[2].as_str(), manifest.clone()),
    ];
    write("oci.tar.zst", &zstd::encode_all(&tar(&members)[..], 1).unwrap());
    write("tools.tar", &tar(&[("tool", b"x".to_vec())]));
    write("readme.txt", b"x");
    // A name that an archive brings is not asked for.
    bench.write("manifests/imageList", "registry:2\n");
    let kubefile = "FROM scratch\nCOPY images images\nCMD echo\n";
    let built = bench.build(kubefile).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["images/readme.txt", "images/tools.tar"]);
    let names: Vec<&str> = image.catalogue().images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(names, ["docker.io/library/pause:3.2", "docker.io/library/registry:2", "quay.io/a/b:1"]);
    let pause = image.catalogue().image("docker.io/library/pause:3.2").unwrap();
    assert_eq!((pause.digest, pause.source.as_str()), (Digest::of(&manifest), "images/oci.tar.zst"));
    for carried in image.catalogue().blobs() {
        bench.images().content().verify(&carried.digest).unwrap();
    }
    assert!(bench.images().content().contains(&Digest::of(b"registry layer")), "layers are verbatim");
    let again = bench.build(kubefile).await.unwrap();
    assert_eq!((bench.cached(), again.digest), (vec![true], built.digest));
    assert!(bench.registry.requested().is_empty());
}

#[tokio::test]
async fn archives_are_told_by_content_and_what_is_not_taken_is_named() {
    let bench = Bench::new();
    let images = bench.context().join("images");
    fs::create_dir_all(images.join("sub")).unwrap();
    fs::create_dir_all(images.join("layout/blobs")).unwrap();
    fs::write(images.join("sub/no-extension"), docker_archive("registry:2", "amd64", &[b"registry layer"])).unwrap();
    fs::write(images.join("x.tar.xz"), b"\xfd7zXZ\0rest").unwrap();
    fs::write(images.join("x.tar.bz2"), b"BZh9rest").unwrap();
    fs::write(images.join("layout/oci-layout"), b"{}").unwrap();
    fs::write(images.join("layout/blobs/layer"), tar(&[("tool", b"x".to_vec())])).unwrap();
    fs::write(images.join("readme"), b"x").unwrap();
    std::os::unix::fs::symlink("sub/no-extension", images.join("link.tar")).unwrap();
    let warnings = || {
        let warning = |event| match event {
            BuildEvent::Warning { message } => Some(message),
            _ => None,
        };
        bench.events().into_iter().filter_map(warning).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        bench.build("FROM scratch\nCOPY images images\n").await.unwrap();
        let found = warnings();
        let no = "no image is taken from it: it is";
        assert_eq!(
            found,
            [
                format!("images/layout/oci-layout: {no} part of an OCI layout; pack that directory as one tar"),
                format!("images/link.tar: {no} a link; copy the archive itself"),
                format!("images/x.tar.bz2: {no} packed with xz or bzip2; pack it as tar, tar.gz or tar.zst"),
                format!("images/x.tar.xz: {no} packed with xz or bzip2; pack it as tar, tar.gz or tar.zst"),
            ],
            "also when an earlier build made the layer"
        );
    }
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.catalogue().images[0].source, "images/sub/no-extension");
}

#[tokio::test]
async fn a_corrupt_archive_is_refused_with_the_member_that_is_wrong() {
    let bench = Bench::new();
    fs::create_dir(bench.context().join("images")).unwrap();
    let mut archive = docker_archive("registry:2", "amd64", &[b"registry layer"]);
    let at = archive.windows(14).rposition(|window| window == b"registry layer").unwrap();
    archive[at] = b'R';
    fs::write(bench.context().join("images/registry.tar"), archive).unwrap();
    let message = bench.build("FROM scratch\nCOPY images images\n").await.unwrap_err().to_string();
    assert!(message.contains("images/registry.tar is refused: 0/layer.tar: it is corrupt"), "{message}");
}

#[test]
fn platforms_are_compared_as_registries_mean_them() {
    let platform = |text: &str| text.parse::<Platform>().unwrap();
    assert!(platform("linux/arm64/v8").serves(&platform("linux/arm64")));
    assert!(platform("linux/arm64").serves(&platform("linux/arm64/v8")));
    assert!(!platform("linux/arm/v6").serves(&platform("linux/arm/v7")));
    assert!(!platform("linux/amd64").serves(&platform("linux/arm64")));
    for text in ["linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/am d64"] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

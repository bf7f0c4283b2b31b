//! Skopeo, umoci and buildah read what we write, and we read what they write.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
#[path = "../../registry-client/tests/support/docker.rs"]
mod docker;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use bench::Bench;
use cloudimage::{Compression, PullOptions, PushOptions, unpack};
use docker::DockerRegistry;
use registry_client::{Https, Options};
use serde_json::Value;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {}: {}{}",
        arguments.join(" "),
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

async fn build(bench: &Bench, compression: Compression) {
    bench.write("bin/tool", "#!/bin/sh\n");
    fs::set_permissions(bench.context().join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("tool", bench.context().join("bin/link")).unwrap();
    fs::hard_link(bench.context().join("bin/tool"), bench.context().join("bin/hard")).unwrap();
    let long = "long/".repeat(30) + "name";
    bench.write(&long, "deep");
    bench.write("images/readme", "x");
    let options = bench.options_with(|options| options.compression = compression);
    bench.build_with("FROM scratch\nCOPY . .\nLABEL who=us\nCMD echo\n", &options).await.unwrap();
}

#[tokio::test]
async fn skopeo_reads_a_saved_image_by_name_and_umoci_unpacks_it() {
    // umoci of Debian 12 knows no zstd.
    for compression in [Compression::Gzip, Compression::None] {
        let bench = Bench::new();
        build(&bench, compression).await;
        let archive = bench.path("shop.tar");
        bench.images().save(&["shop:1.4"], &archive).unwrap();
        let layout = bench.path("layout");
        run(
            "skopeo",
            &[
                "copy",
                &format!("oci-archive:{}:shop:1.4", archive.display()),
                &format!("oci:{}:copy", layout.display()),
            ],
        );
        let inspected: Value =
            serde_json::from_str(&run("skopeo", &["inspect", &format!("oci-archive:{}:shop:1.4", archive.display())]))
                .unwrap();
        assert_eq!(
            (inspected["Labels"]["who"].as_str(), inspected["Architecture"].as_str()),
            (Some("us"), Some("amd64"))
        );
        let bundle = bench.path("bundle");
        run("umoci", &["unpack", "--image", &format!("{}:copy", layout.display()), &bundle.display().to_string()]);
        let ours = bench.path("rootfs");
        unpack(bench.images().content(), bench.images().get("shop:1.4").unwrap().layers(), &ours, &mut |_| {}).unwrap();
        assert_eq!(tree(&bundle.join("rootfs")), tree(&ours));
    }
}

#[tokio::test]
async fn skopeo_copies_the_whole_index_and_we_load_it_back_unchanged() {
    let bench = Bench::new();
    build(&bench, Compression::Zstd).await;
    let archive = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &archive).unwrap();
    let copy = bench.path("copy.tar");
    run(
        "skopeo",
        &[
            "copy",
            "--all",
            &format!("oci-archive:{}:shop:1.4", archive.display()),
            &format!("oci-archive:{}:shop:1.4", copy.display()),
        ],
    );
    let other = Bench::new();
    assert_eq!(other.images().load(&copy).unwrap(), ["docker.io/library/shop:1.4"]);
    let [before, after] = [&bench, &other].map(|bench| *bench.images().get("shop:1.4").unwrap().index_digest());
    assert_eq!(before, after);
}

#[tokio::test]
async fn an_archive_made_by_skopeo_is_a_carried_image() {
    let bench = Bench::new();
    build(&bench, Compression::Gzip).await;
    let archive = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &archive).unwrap();
    fs::create_dir_all(bench.context().join("images")).unwrap();
    let source = format!("oci-archive:{}:shop:1.4", archive.display());
    run(
        "skopeo",
        &[
            "copy",
            &source,
            &format!(
                "docker-archive:{}:registry.example.com/team/one:1",
                bench.context().join("images/one.tar").display()
            ),
        ],
    );
    run(
        "skopeo",
        &["copy", &source, &format!("oci-archive:{}:two:2", bench.context().join("images/two.tar").display())],
    );
    bench.build("FROM scratch\nCOPY images images\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let names: Vec<&str> = image.catalogue().images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(names, ["docker.io/library/two:2", "registry.example.com/team/one:1"]);
    assert_eq!(image.list_files().unwrap(), ["images/readme"]);
    // An image with carried images survives other programs too: one platform is the rootfs, all is everything.
    let carrying = bench.path("carrying.tar");
    bench.images().save(&["shop:1.4"], &carrying).unwrap();
    let source = format!("oci-archive:{}:shop:1.4", carrying.display());
    run("skopeo", &["copy", &source, &format!("oci:{}:one", bench.path("layout").display())]);
    run("skopeo", &["copy", "--all", &source, &format!("oci-archive:{}:shop:1.4", bench.path("all.tar").display())]);
    let other = Bench::new();
    other.images().load(&bench.path("all.tar")).unwrap();
    let loaded = other.images().get("shop:1.4").unwrap();
    assert_eq!(loaded.index_digest(), image.index_digest());
    assert_eq!(loaded.catalogue(), image.catalogue());
    for blob in loaded.catalogue().blobs() {
        other.images().content().verify(&blob.digest).unwrap();
    }
}

#[tokio::test]
async fn an_image_that_upstream_built_is_read_and_built_upon() {
    let bench = Bench::new();
    bench.write(
        "Dockerfile",
        "FROM scratch\nCOPY etc etc\nLABEL cluster.alpha.sealer.io/cluster-runtime-type=kubernetes\n",
    );
    bench.write("etc/kubeadm.yml", "kind: ClusterConfiguration\n");
    let extension = r#"{"buildClient":{"sealerVersion":"0.11.0","buildahVersion":"1.27"},"schemaVersion":"v1alpha1","type":"kube-installer","applications":null,"launch":{"cmds":["kubectl get node"],"app_names":null}}"#;
    let storage = bench.path("storage").display().to_string();
    let buildah = |arguments: &[&str]| {
        let state = bench.path("run").display().to_string();
        let global = ["--root", &storage, "--runroot", &state, "--storage-driver", "vfs"];
        run("buildah", &[&global[..], arguments].concat())
    };
    let annotation = format!("sealer.image.extension={extension}");
    let context = bench.context().display().to_string();
    buildah(&[
        "build",
        "--isolation",
        "chroot",
        "--format",
        "oci",
        "--annotation",
        &annotation,
        "-t",
        "upstream:1",
        &context,
    ]);
    let archive = bench.path("upstream.tar").display().to_string();
    buildah(&["push", "upstream:1", &format!("oci-archive:{archive}:upstream:1")]);
    bench.images().load(Path::new(&archive)).unwrap();
    let image = bench.images().get("upstream:1").unwrap();
    assert_eq!(image.launch_commands(&BTreeMap::new()), ["kubectl get node"]);
    assert_eq!(image.labels()["cluster.alpha.sealer.io/cluster-runtime-type"], "kubernetes");
    assert_eq!(image.read_files(&["etc/kubeadm.yml"], 1000).unwrap().len(), 1);
    assert!(image.layers()[0].media_type.ends_with("gzip"));
    bench.write("app.yaml", "kind: Deployment\n");
    bench.build("FROM upstream:1\nCOPY app.yaml manifests\nCMD kubectl apply -f manifests\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["etc/kubeadm.yml", "manifests/app.yaml"]);
    assert_eq!(image.launch_commands(&BTreeMap::new()), ["kubectl get node", "kubectl apply -f manifests"]);
    assert_eq!(image.extension().build_client.sealer_version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_what_we_pushed_to_a_layout_and_back_and_nothing_changes() {
    let bench = Bench::new();
    build(&bench, Compression::Gzip).await;
    // With a carried image, so that all kinds of manifests are on the way.
    let one = bench.path("one.tar");
    bench.images().save(&["shop:1.4"], &one).unwrap();
    fs::create_dir_all(bench.context().join("images")).unwrap();
    let target = bench.context().join("images/one.tar");
    run(
        "skopeo",
        &[
            "copy",
            &format!("oci-archive:{}:shop:1.4", one.display()),
            &format!("oci-archive:{}:one:1", target.display()),
        ],
    );
    let options = bench.options_with(|options| options.compression = Compression::Gzip);
    bench.build_with("FROM scratch\nCOPY . .\nCMD echo\n", &options).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.catalogue().images.len(), 1);

    let server = DockerRegistry::start(&bench.path("")).await;
    let registry = Https::new(Options::default()).unwrap();
    let name = format!("{}/team/shop:1.4", server.host);
    let pushed =
        bench.images().push(&registry, "shop:1.4", Some(&name), &PushOptions::default(), &|_| {}).await.unwrap();
    let (layout, back) =
        (format!("oci:{}:shop", bench.path("layout").display()), format!("docker://{}/back/shop:1.4", server.host));
    run("skopeo", &["copy", "--all", "--src-tls-verify=false", &format!("docker://{name}"), &layout]);
    run("skopeo", &["copy", "--all", "--dest-tls-verify=false", &layout, &back]);
    let raw = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &back]);
    assert_eq!(content_store::Digest::of(raw.as_bytes()), pushed.digest, "the index is the same, byte for byte");

    let other = Bench::new();
    let back = format!("{}/back/shop:1.4", server.host);
    let pulled = other.images().pull(&registry, &back, &PullOptions::default(), &|_| {}).await.unwrap();
    assert_eq!(pulled.digest, *image.index_digest());
    let arrived = other.images().get(&back).unwrap();
    assert_eq!(arrived.catalogue(), image.catalogue());
    for blob in arrived.catalogue().blobs() {
        other.images().content().verify(&blob.digest).unwrap();
    }
    // An ordinary client takes the rootfs by its platform, and finds none for another.
    let source = format!("docker://{name}");
    let rootfs = format!("oci:{}:rootfs", bench.path("rootfs-layout").display());
    run("skopeo", &["copy", "--override-arch", "amd64", "--src-tls-verify=false", &source, &rootfs]);
    let bundle = bench.path("bundle");
    run("umoci", &["unpack", "--image", &rootfs["oci:".len()..], &bundle.display().to_string()]);
    assert!(bundle.join("rootfs/bin/tool").is_file());
    let arguments = ["copy", "--override-arch", "s390x", "--src-tls-verify=false", &source, &rootfs];
    assert!(!Command::new("skopeo").args(arguments).output().unwrap().status.success());
}

/// Path, mode, size, links and target of everything below a directory.
fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            let metadata = path.symlink_metadata().unwrap();
            let target = fs::read_link(&path).map(|target| target.display().to_string()).unwrap_or_default();
            let (size, links) = if metadata.is_dir() { (0, 0) } else { (metadata.size(), metadata.nlink()) };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            lines.push(format!("{name} {:o} {size} {links} {} {target}", metadata.mode(), metadata.mtime()));
            if metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn skopeo_copies_an_image_for_two_platforms_whole_and_takes_one_out() {
    let bench = Bench::new();
    for arch in ["amd64", "arm64"] {
        let directory = bench.context().join("images").join(arch);
        fs::create_dir_all(&directory).unwrap();
        let archive = bench::registry::docker_archive("pause:3", arch, &[arch.as_bytes()]);
        fs::write(directory.join("pause.tar"), archive).unwrap();
    }
    let options = bench.options_with(|options| {
        options.platforms = cloudimage::Platform::parse_list("linux/amd64,linux/arm64").unwrap();
        options.compression = Compression::Gzip;
    });
    let kubefile = "FROM scratch\nCOPY images/$ARCH images\nCOPY <<who etc/\n$ARCH\nwho\n";
    let built = bench.build_with(kubefile, &options).await.unwrap();
    let archive = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &archive).unwrap();
    let source = format!("oci-archive:{}:shop:1.4", archive.display());
    let layout = |name: &str| bench.path(name).display().to_string();
    run("skopeo", &["copy", "--all", &source, &format!("oci:{}:all", layout("all"))]);
    let index: Value = serde_json::from_slice(&fs::read(bench.path("all/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], built.digest.to_string(), "nothing is changed on the way");
    run("skopeo", &["--override-arch", "arm64", "copy", &source, &format!("oci:{}:one", layout("one"))]);
    let one: Value = serde_json::from_str(&run("skopeo", &["inspect", &format!("oci:{}:one", layout("one"))])).unwrap();
    assert_eq!(one["Architecture"], "arm64");
    run("umoci", &["unpack", "--rootless", "--image", &format!("{}:one", layout("one")), &layout("bundle")]);
    assert_eq!(fs::read_to_string(bench.path("bundle/rootfs/etc/who")).unwrap(), "arm64\n");
    // What skopeo wrote is loaded as the same image, with the container images of both platforms.
    let other = Bench::new();
    let loaded = other.images().read_layout(&bench.path("all"), &|_, _| ()).unwrap().set_names().unwrap();
    assert_eq!(loaded.len(), 1);
    for arch in ["amd64", "arm64"] {
        let image = other.images().get_for(&loaded[0], &format!("linux/{arch}").parse().unwrap()).unwrap();
        assert_eq!((image.index_digest(), image.catalogue().images.len()), (&built.digest, 1), "{arch}");
    }
}

//! Archives go to and come from skopeo and buildah, and an image of upstream's is made with docker's own registry.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::Bench;
use cloudimage::{ArchiveFormat, Compression, Images, SaveOptions};
use content_store::Digest;
use serde_json::Value;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {}: {}", arguments.join(" "), text(&output.stderr));
    text(&output.stdout)
}

fn options(format: ArchiveFormat, compression: Option<Compression>) -> SaveOptions {
    let mut options = SaveOptions::default();
    (options.format, options.compression) = (format, compression);
    options
}

async fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("etc/file", "content");
    bench.write("etc/more", &"text ".repeat(5000));
    // Docker's manifests know no zstd.
    let options = bench.options_with(|options| options.compression = Compression::Gzip);
    bench.build_with("FROM scratch\nCOPY etc etc\nLABEL who=us\n", &options).await.unwrap();
    bench
}

#[tokio::test]
async fn skopeo_reads_every_form_and_we_read_what_it_writes() {
    let bench = bench().await;
    let path = |name: &str| bench.path(name).display().to_string();
    let forms = [
        (ArchiveFormat::DockerArchive, None, "docker-archive", "docker.tar"),
        (ArchiveFormat::OciArchive, Some(Compression::Gzip), "oci-archive", "oci.tar.gz"),
        (ArchiveFormat::OciArchive, Some(Compression::Zstd), "oci-archive", "oci.tar.zst"),
        (ArchiveFormat::OciDir, None, "oci", "layout"),
    ];
    for (format, compression, transport, name) in forms {
        let options = options(format, compression);
        bench.images().save_as(&["shop:1.4"], &bench.path(name), &options, &|_, _| ()).unwrap();
        let source = format!("{transport}:{}:shop:1.4", path(name));
        let inspected: Value = serde_json::from_str(&run("skopeo", &["inspect", &source])).unwrap();
        assert_eq!(inspected["Labels"]["who"], "us", "{name}");
        // And on to a docker-archive of its own, which comes back with the same files.
        let copy = path(&format!("copy-of-{name}"));
        run("skopeo", &["copy", &source, &format!("docker-archive:{copy}:registry.example.com/shop:2")]);
        let directory = tempfile::tempdir().unwrap();
        let images = Images::open(directory.path()).unwrap();
        assert_eq!(images.load(Path::new(&copy)).unwrap(), ["registry.example.com/shop:2"], "{name}");
        let (ours, theirs) =
            (bench.images().get("shop:1.4").unwrap(), images.get("registry.example.com/shop:2").unwrap());
        assert_eq!(cloudimage_diff(&ours, &theirs), Vec::<String>::new(), "{name}");
    }
}

fn cloudimage_diff(one: &cloudimage::Image, other: &cloudimage::Image) -> Vec<String> {
    cloudimage::diff(one, other).unwrap().files.into_iter().map(|file| file.path).collect()
}

/// Debian's `docker-registry` on loopback; it ends with the value.
struct DockerRegistry {
    host: String,
    child: Child,
}

impl DockerRegistry {
    fn start(directory: &Path, data: &Path) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\" }}\n",
            data.display()
        );
        let file = directory.join("config.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        let child = command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { host, child };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            #[expect(clippy::disallowed_methods, reason = "a test that waits for a program")]
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not answer");
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_registry_stored_is_carried() {
    let bench = bench().await;
    let archive = bench.path("one.tar");
    bench.images().save_as(&["shop:1.4"], &archive, &SaveOptions::default(), &|_, _| ()).unwrap();
    let registry = bench.context().join("registry");
    fs::create_dir(&registry).unwrap();
    let manifest = {
        let server = DockerRegistry::start(&bench.path(""), &registry);
        let source = format!("oci-archive:{}:shop:1.4", archive.display());
        for name in ["library/one:1", "team/two:2"] {
            let target = format!("docker://{}/{name}", server.host);
            run("skopeo", &["copy", "--dest-tls-verify=false", &source, &target]);
        }
        let target = format!("docker://{}/library/one:1", server.host);
        Digest::of(run("skopeo", &["inspect", "--raw", "--tls-verify=false", &target]).as_bytes())
    };
    // What upstream does with it: buildah, an annotation, the registry as a layer of its own.
    bench.write("Dockerfile", "FROM scratch\nCOPY etc etc\nCOPY registry registry\n");
    let (storage, state) = (bench.path("storage").display().to_string(), bench.path("run").display().to_string());
    let buildah = |arguments: &[&str]| {
        let global = ["--root", &storage, "--runroot", &state, "--storage-driver", "vfs"];
        run("buildah", &[&global[..], arguments].concat())
    };
    let extension = r#"sealer.image.extension={"buildClient":{"sealerVersion":"0.11.0","buildahVersion":"1.27"},"schemaVersion":"v1alpha1","type":"kube-installer"}"#;
    let listed = r#"sealer.image.container.images=[{"image":"one:1"},{"image":"quay.io/team/two:2"}]"#;
    let context = bench.context().display().to_string();
    let annotations = ["--annotation", extension, "--annotation", listed];
    let build = ["build", "--isolation", "chroot", "--format", "oci", "--layers", "-t", "upstream:1"];
    buildah(&[&build[..], &annotations, &[&context]].concat());
    let saved = bench.path("upstream.tar");
    buildah(&["push", "upstream:1", &format!("oci-archive:{}:upstream:1", saved.display())]);
    bench.images().load(&saved).unwrap();

    bench.build("FROM upstream:1\nLABEL made=here\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let names: Vec<&str> = image.catalogue().images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(names, ["docker.io/library/one:1", "quay.io/team/two:2"]);
    assert_eq!(image.catalogue().images[0].digest, manifest);
    assert_eq!(image.list_files().unwrap(), ["etc/file", "etc/more"]);
    assert_eq!(bench.images().verify(&["shop:1.4"], &|_, _| {}).unwrap().damaged, []);
}

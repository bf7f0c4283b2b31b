//! Containerd pulls from the registries of a cluster by the files that a plan writes: with a login, by plain HTTP, from outside.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "workflows/lab.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod lab;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use registry_client::contract::Fixture;
use sealer_core::Planned;
use sealer_core::clusterfile::{Cluster, ExternalRegistry, Role};
use sealer_core::content_store::{Blob, Descriptor, Digest, MediaType, NameKind, Store};
use sealer_core::host::{PullRequest, pull_over_stdio};
use sealer_core::registry_client::{Https, Options, Reference, Registry, Upload};
use sealer_core::registry_proxy::{Config, Event, TlsConfig};
use sealer_core::runtime::facts::HostFacts;
use sealer_core::runtime::{
    Action, Content, Facts, ImageContents, Kubeadm, Payload, Plan, Request, Runtime, Secrets, Step,
};
use sealer_core::serve::{ServeRequest, serve};
use serde_json::json;
use tempfile::TempDir;

const IMAGE: &str = "registry.invalid/team/app:1";
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOGIN: (&str, &str) = ("puller", "a:b \"c\" $d");

/// The one host of a cluster: the files of its plan below a directory, with its registry, until this is dropped.
struct Host {
    directory: TempDir,
    plan: Plan,
    port: u16,
}

impl Host {
    /// With the files that the plan for such a cluster writes, and an image in the content of its registry.
    fn of(shape: impl Fn(&mut Cluster)) -> Self {
        let port = free_port();
        let mut cluster = Cluster::new("shop", "shop:1");
        cluster.add_hosts(&Role::Master, [HOST]);
        (cluster.registry.domain, cluster.registry.port) = ("localhost".to_owned(), port);
        shape(&mut cluster);
        let secrets = Secrets::make(&cluster, Kubeadm.requirements().secrets).unwrap();
        let mut facts = Facts::default();
        let mut host = HostFacts::default();
        host.hostname = "one".to_owned();
        facts.hosts.insert(HOST, host);
        let mut image = ImageContents::named("shop:1");
        image.labels.insert("cluster.alpha.sealer.io/cluster-runtime-version".to_owned(), "v1.20.2".to_owned());
        let files = ["bin/kubeadm", "bin/kubectl", "bin/kubelet", "scripts/containerd.sh", "scripts/init-kube.sh"];
        image.files = files.map(str::to_owned).into();
        let payload = Payload::new(&image, &secrets);
        let plan = Kubeadm.plan(&Request::new(&cluster.into(), &facts, &payload)).unwrap();
        let host = Self { directory: tempfile::tempdir().unwrap(), plan, port };
        host.write_files();
        host
    }

    fn write_files(&self) {
        let steps = self.plan.steps.iter().map(|step: &Step| &step.action);
        let files = steps.filter_map(|action| if let Action::Write { files } = action { Some(files) } else { None });
        for file in files.flatten() {
            let path = self.path(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = String::from_utf8_lossy(&file.content);
            let text = text.replace("/var/lib/sealer", self.path("/var/lib/sealer").to_str().unwrap());
            std::fs::write(path, text).unwrap();
        }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.directory.path().join(absolute.trim_start_matches('/'))
    }

    fn content(&self) -> Store {
        Store::open(&self.path("/var/lib/sealer/data/shop/content")).unwrap()
    }

    /// Starts the registry as its systemd unit would.
    async fn serve(&self) {
        let (image, content) = (Image::new(), self.content());
        for blob in &image.blobs {
            content.put(blob).unwrap();
        }
        let descriptor = image.descriptor(&content);
        content.set_name(NameKind::CarriedImage, IMAGE, &descriptor).unwrap();
        let unit = std::fs::read_to_string(self.path("/etc/systemd/system/sealer-registry.service")).unwrap();
        let words: Vec<&str> =
            unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().split(' ').collect();
        assert_eq!(words[1..3], ["registry", "serve"]);
        let value = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
        let file = |name: &str| value(name).map(PathBuf::from);
        let mut config = Config::default();
        config.listen = value("--listen").unwrap().parse().unwrap();
        config.tls = file("--cert").zip(file("--key")).map(|(cert, key)| TlsConfig::files(cert, key));
        config.htpasswd = file("--htpasswd");
        config.names = vec![value("--name").unwrap().to_owned()];
        let (ready, mut listens) = tokio::sync::mpsc::unbounded_channel();
        let events = Arc::new(move |event| ready.send(event).unwrap_or_default());
        let request = ServeRequest { root: file("--root").unwrap(), config, events };
        tokio::spawn(async move { serve(&request, std::future::pending()).await.unwrap() });
        assert!(matches!(listens.recv().await, Some(Event::Serving { .. })));
    }
}

/// A container image of one layer.
struct Image {
    blobs: [Vec<u8>; 3],
}

impl Image {
    fn new() -> Self {
        let layer = b"a layer".to_vec();
        let of = |bytes: &[u8]| sealer_core::content_store::Digest::of(bytes).to_string();
        let config =
            json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [of(&layer)]}});
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": of(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": of(&layer), "size": layer.len()}],
        });
        Self { blobs: [layer, config, manifest.to_string().into_bytes()] }
    }

    fn descriptor(&self, content: &Store) -> Descriptor {
        let Blob { digest, size, .. } = content.put(&self.blobs[2]).unwrap();
        Descriptor::new(MediaType::ImageManifest, size, digest)
    }
}

/// A containerd of its own; it ends with the value.
struct Containerd {
    directory: TempDir,
    child: Child,
}

impl Containerd {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket")
        );
        std::fs::write(path("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(path("config.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        let containerd = Self { child: command.spawn().unwrap(), directory };
        for _ in 0..200 {
            if containerd.ctr(&["version"]).await.status.success() {
                return containerd;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("containerd does not answer");
    }

    async fn ctr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.directory.path().join("socket")).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Fetches an image as a host would that has these files.
    async fn fetch(&self, host: &Host, image: &str) -> Result<(), String> {
        let rules = host.path("/etc/containerd/certs.d");
        let output = self.ctr(&["content", "fetch", "--hosts-dir", rules.to_str().unwrap(), image]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What it has already is not asked for again.
        let images = String::from_utf8(self.ctr(&["images", "ls", "-q"]).await.stdout).unwrap();
        for known in images.lines() {
            self.ctr(&["images", "rm", "--sync", known]).await;
        }
        if output.status.success() { Ok(()) } else { Err(said) }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port()
}

fn with_login(cluster: &mut Cluster) {
    cluster.registry.username = Some(LOGIN.0.to_owned());
    cluster.registry.password = Some(LOGIN.1.into());
}

/// Takes the login out of the files by which containerd finds images.
fn without_header(host: &Host) {
    for name in ["_default".to_owned(), format!("localhost:{}", host.port)] {
        let path = host.path(&format!("/etc/containerd/certs.d/{name}/hosts.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> =
            text.lines().filter(|line| !line.contains(".header]") && !line.contains("Authorization")).collect();
        assert!(kept.len() < text.lines().count());
        std::fs::write(&path, kept.join("\n")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_with_and_without_login_by_tls_and_plain_http() {
    let containerd = Containerd::start().await;
    for (login, plain_http) in [(true, false), (true, true), (false, true), (false, false)] {
        let host = Host::of(|cluster| {
            cluster.registry.insecure = plain_http;
            if login {
                with_login(cluster);
            }
        });
        host.serve().await;
        for image in [IMAGE, &format!("localhost:{}/team/app:1", host.port)] {
            let fetched = containerd.fetch(&host, image).await;
            assert_eq!(fetched, Ok(()), "{image}, login {login}, plain HTTP {plain_http}");
        }
        if login {
            without_header(&host);
            let refused = containerd.fetch(&host, IMAGE).await.unwrap_err();
            let own = containerd.fetch(&host, &format!("localhost:{}/team/app:1", host.port)).await.unwrap_err();
            assert!(own.contains("401") || own.contains("authorization"), "{own} {refused}");
        }
    }
}

/// A byte stream whose other end has no content.
fn nothing_there(empty: &Store) -> tokio::io::DuplexStream {
    use sealer_core::registry_proxy::{ContentSource, Options, serve_http2_stream, service};
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let source = ContentSource::new(empty.clone(), &Options::default());
    tokio::spawn(serve_http2_stream(ours, service(vec![Arc::new(source)], Options::default())));
    theirs
}

/// What a host fetches from another one needs the login too; the file with it is gone afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_fetches_content_with_the_login() {
    for plain_http in [false, true] {
        let host = Host::of(|cluster| {
            cluster.registry.insecure = plain_http;
            with_login(cluster);
        });
        host.serve().await;
        let content = host.plan.steps.iter().find_map(|step| match &step.action {
            Action::Content(Content { authorization, .. }) => authorization.clone(),
            _ => None,
        });
        let sent = content.unwrap().expose().strip_prefix("Basic ").unwrap().to_owned();
        let login = host.path("/login.json");
        let address = SocketAddr::new(HOST, host.port);
        let config = json!({"auths": {address.to_string(): {"auth": sent}}});
        let request = |login: Option<PathBuf>| PullRequest {
            root: host.path("/other"),
            // Not a cluster image: what matters is whether it was given.
            image: host.content().put(&Image::new().blobs[2]).unwrap().digest,
            rootfs: host.path("/other/rootfs"),
            cluster: "shop".to_owned(),
            carried_images: false,
            platform: None,
            platforms: Vec::new(),
            from: vec![format!("{}://{address}", if plain_http { "http" } else { "https" })],
            ca: (!plain_http).then(|| host.path("/var/lib/sealer/data/shop/certs/ca.crt")),
            login,
        };
        let other = || Store::open(&host.path("/other/content")).unwrap();
        let manifest = request(None).image;
        let nothing = Store::open(&host.path("/nothing")).unwrap();
        pull_over_stdio(&request(None), nothing_there(&nothing)).await.unwrap_err();
        assert!(!other().blob_path(&manifest).exists(), "without the login nothing is given");
        std::fs::write(&login, config.to_string()).unwrap();
        pull_over_stdio(&request(Some(login.clone())), nothing_there(&nothing)).await.unwrap_err();
        assert!(other().blob_path(&manifest).exists() && !login.exists(), "plain HTTP {plain_http}");
    }
}

/// Debian's `docker-registry` outside the cluster, with users; it ends with the value.
struct Outside {
    host: String,
    child: Child,
}

impl Outside {
    async fn start(directory: &Path, users: &Path) -> Self {
        let host = format!("localhost:{}", free_port());
        let config = json!({
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": directory.join("data")}},
            "http": {"addr": host},
            "auth": {"htpasswd": {"realm": "outside", "path": users}},
        });
        let file = directory.join("config.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { host, child: command.spawn().unwrap() };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&registry.host).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not answer");
    }

    fn settings(&self) -> ExternalRegistry {
        let (domain, port) = self.host.split_once(':').unwrap();
        let mut external = ExternalRegistry::new(domain);
        (external.port, external.insecure) = (Some(port.parse().unwrap()), true);
        (external.username, external.password) = (Some(LOGIN.0.to_owned()), Some(LOGIN.1.into()));
        external
    }

    async fn push(&self, image: &Image) {
        let mut options = Options::default();
        options.basic_logins.insert(self.host.clone(), (LOGIN.0.to_owned(), LOGIN.1.to_owned().into()));
        let client = Https::new(options).unwrap();
        let place = Reference::new(&self.host, "team/app", "1").unwrap();
        for blob in &image.blobs[..2] {
            let Upload::Session(session) = client.start_upload(&place, None).await.unwrap() else { panic!("mounted") };
            let digest = Digest::of(blob);
            client.finish_upload(&place, &session, &digest, bytes::Bytes::from(blob.clone()).into()).await.unwrap();
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        client.put_manifest(&place, media_type, image.blobs[2].clone().into()).await.unwrap();
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its users are those that a registry on a master would have: the file is one as others write it.
#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_original_names_from_a_registry_outside() {
    let (directory, containerd) = (tempfile::tempdir().unwrap(), Containerd::start().await);
    let masters = Host::of(with_login);
    let users = masters.path("/var/lib/sealer/data/shop/certs/htpasswd");
    let outside = Outside::start(directory.path(), &users).await;
    outside.push(&Image::new()).await;
    let host = Host::of(|cluster| cluster.registry.external = Some(outside.settings()));
    for image in [IMAGE, &format!("{}/team/app:1", outside.host)] {
        assert_eq!(containerd.fetch(&host, image).await, Ok(()), "{image}");
    }
    assert!(!host.path("/etc/systemd/system/sealer-registry.service").exists(), "the master has none of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_outside_is_given_the_images_that_it_lacks() {
    let fixture = Fixture::new("registry.example");
    let (bench, directory, masters) =
        (lab::Bench::carrying(&fixture).await, tempfile::tempdir().unwrap(), Host::of(with_login));
    let users = masters.path("/var/lib/sealer/data/shop/certs/htpasswd");
    let outside = Outside::start(directory.path(), &users).await;
    let mut wanted = lab::listed();
    wanted.cluster.registry.external = Some(outside.settings());
    let repository = directory.path().join("data/docker/registry/v2/repositories/contract/shop");
    let lacks = |planned: &Planned| planned.plan.notes.iter().any(|note| note.contains("lacks 1 of the 1"));
    assert!(lacks(&bench.plan(&wanted).await.unwrap()));
    assert!(!repository.exists(), "a dry run pushes nothing");
    bench.apply(&wanted).await.unwrap();
    let tag = std::fs::read_to_string(repository.join("_manifests/tags/1.4/current/link")).unwrap();
    assert_eq!(tag, Digest::of(&fixture.manifest).to_string());
    wanted.cluster.registry.domain = "other.example".to_owned(); // So that it is asked again.
    assert!(!lacks(&bench.plan(&wanted).await.unwrap()));
}

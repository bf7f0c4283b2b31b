//! The registries that are compared, each with the same content, and what they cost.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::random;
use crate::error::{Error, Result};
use crate::program::{find, program, read, run_quietly};

/// Content, certificates and directories of a run.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) directory: PathBuf,
    pub(super) sealer: PathBuf,
    /// Size in MB and digest of each blob.
    pub(super) blobs: Vec<(u64, String)>,
    /// Digest of the manifest.
    pub(super) manifest: String,
}

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sealer,
    DockerRegistry,
    /// Static files; `limit` in MB/s makes it a slow upstream.
    Nginx,
}

/// A server that ends with its value.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) port: u16,
    tls: bool,
    child: Child,
}

/// Processor time and the most memory, of a server and its workers.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) megabytes: f64,
}

impl Site {
    /// Makes blobs of these sizes in MB and a manifest over the smallest, and puts all of it into the three servers' directories.
    pub(super) fn make(directory: &Path, sealer: PathBuf, sizes: &[u64]) -> Result<Self> {
        let mut site = Self { directory: directory.to_owned(), sealer, blobs: Vec::new(), manifest: String::new() };
        for megabytes in sizes {
            let path = site.path(&format!("blob-{megabytes}"));
            let digest = random(&path, *megabytes)?;
            site.blobs.push((*megabytes, digest));
        }
        site.write_manifest()?;
        run_quietly(
            program("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
                .arg(site.path("key.pem"))
                .arg("-out")
                .arg(site.path("cert.pem")),
        )?;
        for kind in [Kind::Sealer, Kind::DockerRegistry] {
            let server = Server::start(&site, kind, false)?;
            site.push(&server)?;
        }
        site.place_files()?;
        Ok(site)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write_manifest(&mut self) -> Result<()> {
        let (_, layer) = &self.blobs[0];
        let size = fs::metadata(self.path("blob-1")).map_err(Error::file("read", &self.directory))?.len();
        let entry = |media: &str| format!(r#"{{"mediaType":"{media}","digest":"{layer}","size":{size}}}"#);
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            entry("application/vnd.oci.image.config.v1+json"),
            entry("application/vnd.oci.image.layer.v1.tar"),
        );
        let path = self.path("manifest");
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        let told = read(program("sha256sum").arg(&path))?;
        self.manifest = format!("sha256:{}", told.split_whitespace().next().unwrap_or_default());
        Ok(())
    }

    /// Sends everything to a registry.
    fn push(&self, server: &Server) -> Result<()> {
        let url = server.url();
        for (megabytes, digest) in &self.blobs {
            let script = format!(
                "set -e; l=$(curl -fsS -X POST -D - -o /dev/null {url}/v2/bench/image/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p'); case $l in http*) ;; *) l={url}$l;; esac; case $l in *\\?*) s='&';; *) s='?';; esac; curl -fsS -X PUT -H 'Content-Type: application/octet-stream' -T {} \"$l${{s}}digest={digest}\"",
                self.path(&format!("blob-{megabytes}")).display()
            );
            run_quietly(Command::new("sh").args(["-c", &script]))?;
        }
        run_quietly(
            program("curl")
                .args(["-fsS", "-X", "PUT", "-H", "Content-Type: application/vnd.oci.image.manifest.v1+json", "-T"])
                .arg(self.path("manifest"))
                .arg(format!("{url}/v2/bench/image/manifests/1")),
        )
    }

    /// The paths of the API as files, for nginx.
    fn place_files(&self) -> Result<()> {
        let root = self.path("static/v2/bench/image");
        let place = |kind: &str, name: &str, source: &str| {
            let directory = root.join(kind);
            fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
            let target = directory.join(name);
            fs::hard_link(self.path(source), &target).map_err(Error::file("create", &target))
        };
        for (megabytes, digest) in &self.blobs {
            place("blobs", digest, &format!("blob-{megabytes}"))?;
        }
        place("manifests", &self.manifest, "manifest")?;
        place("manifests", "1", "manifest")
    }
}

impl Server {
    /// Starts a server over the site's content, and waits until it listens.
    pub(super) fn start(site: &Site, kind: Kind, tls: bool) -> Result<Self> {
        let port = free_port(site)?;
        let mut command = match kind {
            Kind::Sealer => {
                let mut command = program(&site.sealer);
                command.arg("--root").arg(site.path("sealer-root")).args(["registry", "serve", "--push", "--listen"]);
                command.arg(format!("127.0.0.1:{port}"));
                if tls {
                    command.arg("--cert").arg(site.path("cert.pem")).arg("--key").arg(site.path("key.pem"));
                }
                command
            }
            Kind::DockerRegistry => docker_registry(site, port, tls)?,
            Kind::Nginx => nginx(site, port, tls, None)?,
        };
        Self::spawn(&mut command, port, tls)
    }

    /// A registry of static files that sends each client so many MB a second at the most.
    pub(super) fn slow(site: &Site, megabytes: u32) -> Result<Self> {
        let port = free_port(site)?;
        Self::spawn(&mut nginx(site, port, false, Some(megabytes))?, port, false)
    }

    /// A cache without content before an upstream.
    pub(super) fn cache(site: &Site, upstream: &Server) -> Result<Self> {
        let port = free_port(site)?;
        let root = site.path("cache-root");
        if root.exists() {
            fs::remove_dir_all(&root).map_err(Error::file("remove", &root))?;
        }
        let mut command = program(&site.sealer);
        command.arg("--root").arg(root).args(["registry", "serve", "--listen"]).arg(format!("127.0.0.1:{port}"));
        command.arg("--upstream").arg(format!("bench.example=http://127.0.0.1:{}", upstream.port));
        Self::spawn(&mut command, port, false)
    }

    fn spawn(command: &mut Command, port: u16, tls: bool) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|source| Error::Start { program: name.clone(), source })?;
        let started = Self { port, tls, child };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(started);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::Machine { missing: format!("{name} does not listen on port {port}"), remedy: "try again".into() })
    }

    pub(super) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// What it cost until now.
    pub(super) fn cost(&self) -> Result<Cost> {
        let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap_or_default();
        let workers = workers.split_whitespace().filter_map(|pid| pid.parse().ok());
        let (mut ticks, mut kilobytes) = (0.0, 0.0);
        for pid in workers.chain([self.child.id()]) {
            let path = PathBuf::from(format!("/proc/{pid}/stat"));
            let stat = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            let after = stat.rsplit(") ").next().unwrap_or_default();
            let fields: Vec<f64> = after.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
            ticks += fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0);
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
            kilobytes += peak.unwrap_or(0.0);
        }
        // Linux counts processor time in hundredths of a second.
        Ok(Cost { seconds: ticks / 100.0, megabytes: kilobytes / 1000.0 })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's workers end with their master when it is asked to end.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port(site: &Site) -> Result<u16> {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
    Ok(free.map_err(Error::file("listen for", &site.directory))?.port())
}

fn docker_registry(site: &Site, port: u16, tls: bool) -> Result<Command> {
    let keys =
        format!(", tls: {{certificate: {}, key: {}}}", site.path("cert.pem").display(), site.path("key.pem").display());
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: inmemory}}}}\nhttp: {{addr: '127.0.0.1:{port}'{}}}\n",
        site.path("docker-root").display(),
        if tls { &keys } else { "" }
    );
    let path = site.path("registry.yaml");
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    let mut command = program(find("docker-registry").unwrap_or_else(|| PathBuf::from("docker-registry")));
    command.arg("serve").arg(path);
    Ok(command)
}

fn nginx(site: &Site, port: u16, tls: bool, limit: Option<u32>) -> Result<Command> {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| site.path(name).display().to_string());
    let keys = if tls { format!("ssl_certificate {cert}; ssl_certificate_key {key};") } else { String::new() };
    let pace = limit.map(|megabytes| format!("limit_rate {}k;", megabytes * 1000)).unwrap_or_default();
    let log = if limit.is_some() { format!("{} bytes", site.path("sent.log").display()) } else { "off".to_owned() };
    let text = format!(
        "daemon off; user root; worker_processes 2; error_log stderr crit; pid {directory}/nginx-{port}.pid;\nevents {{ worker_connections 1024; }}\nhttp {{ log_format bytes '$request_method $body_bytes_sent'; access_log {log}; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=100;\nserver {{ listen 127.0.0.1:{port} {ssl}; {keys} root {directory}/static; {pace}\ndefault_type application/vnd.oci.image.manifest.v1+json; location = /v2/ {{ return 200 '{{}}'; }} location ~ /blobs/ {{ default_type application/octet-stream; }} }} }}\n",
        directory = site.directory.display(),
        ssl = if tls { "ssl" } else { "" },
    );
    let path = site.path(&format!("nginx-{port}.conf"));
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    let mut command = program(find("nginx").unwrap_or_else(|| PathBuf::from("nginx")));
    command.arg("-p").arg(&site.directory).arg("-c").arg(path);
    Ok(command)
}

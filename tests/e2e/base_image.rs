//! A recipe that `sealer base-image` writes builds through a mirror and a registry on loopback, and its cluster comes up.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sealer_tests::machines::docker;
use sealer_tests::program::finish;
use sealer_tests::{Program, Stage};

use crate::cluster::{expect_ready, kubectl, step};

/// The images of the control plane: archive of the demo's base image, name that the recipe asks for.
const IMAGES: [(&str, &str); 6] = [
    ("kube-apiserver", "kube-apiserver:v1.20.2"),
    ("kube-controller-manager", "kube-controller-manager:v1.20.2"),
    ("kube-scheduler", "kube-scheduler:v1.20.2"),
    ("kube-proxy", "kube-proxy:v1.20.2"),
    ("pause", "pause:3.2"),
    ("etcd", "etcd:3.4.13-0"),
];

/// Makes the files of a mirror, by the name of each, from Debian's builds: $1 is the demo's base context, $2 the mirror.
/// Official archives of containerd begin with bin/; Debian's needs a library beside it. crictl is not in Debian: a stand-in
/// that agrees with everything.
const FILL: &str = r#"set -e
mkdir -p "$2/stage/usr/lib"; cd "$2"
cp "$1"/bin/kubeadm "$1"/bin/kubelet "$1"/bin/kubectl .
tar -xzf "$1/cri/containerd.tar.gz" -C stage
mv stage/usr/bin/runc runc.amd64
mv stage/usr/bin stage/bin
tar -czf containerd-static-1.7.34-linux-amd64.tar.gz -C stage bin usr
printf '#!/bin/sh\nexit 0\n' > crictl; chmod 755 crictl
tar -czf crictl-v1.20.0-linux-amd64.tar.gz crictl
tar -czf cni-plugins-linux-amd64-v1.7.1.tgz -C "$1/cni" .
"#;

/// Makes the context fit the mirror: its sums, the demo's network plugin, and no CoreDNS, which Debian does not have.
const FIT: &str = r#"set -e
cd "$3"
for url in $(grep -o '${[A-Z]*_URL}[^ ]*' Kubefile); do
    file=$(basename "$url" | sed 's/${ARCH}/amd64/g')
    sum=$(sha256sum "$2/$file" | cut -d ' ' -f 1)
    line=$(grep -nF "$url" Kubefile | cut -d : -f 1)
    sed -i "${line}s/sha256:[0-9a-f]*/sha256:$sum/" Kubefile
done
sed -i /coredns/d manifests/imageList
mkdir images; cp "$1/images/network.tar" images/; cp "$1/manifests/network.yaml" manifests/
printf 'COPY images images\nCMD kubectl apply -f manifests/network.yaml\n' >> Kubefile
"#;

#[test]
fn a_recipe_through_a_mirror_makes_a_cluster() {
    let stage = Stage::get();
    let base = stage.kubectl.ancestors().nth(2).unwrap();
    let work = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { work.path().join(name) };
    let (mirror, context) = (place("mirror"), place("kube"));
    shell(FILL, &[base, &mirror]);
    let files = serve(&mirror);
    let images = stage.program_at(&place("images"));
    let mut registry = images.start(&["registry", "serve", "--push", "--listen", "127.0.0.1:0"]);
    let address = listening(&images);
    for (archive, name) in IMAGES {
        let from = format!("oci-archive:{}/images/{archive}.tar", base.display());
        let to = format!("docker://{address}/registry.k8s.io/{name}");
        let copy = finish(Command::new("skopeo").args(["copy", "-q", "--dest-tls-verify=false", &from, &to]));
        copy.expect_code(0);
    }

    let program = stage.program_at(&place("root"));
    let kube = context.to_str().unwrap();
    let driver = ["--cni", "none", "--cgroup-driver", "cgroupfs"];
    program.succeed(&[&["base-image", "write", kube, "--version", "1.20.2"], &driver[..]].concat());
    let build = || build(&program, &files, &address, kube);
    build().expect_code(1).expect_stderr("kubeadm is not what the Kubefile asks for");
    shell(FIT, &[base, &mirror, &context]);
    step("the recipe builds", || {
        build().expect_code(0);
    });

    let cluster = ["--provider", "CONTAINER", "--masters", "1", "--cluster-name", "e2e-recipe"];
    step("its cluster comes up", || program.succeed(&[&["run", "kubernetes:v1.20.2"], &cluster[..]].concat()));
    let master = |script: &str| docker(&["exec", "e2e-recipe-master-0", "sh", "-c", script]);
    expect_ready(&master, 1);
    let images = kubectl(&master, "get pod -n kube-system -o jsonpath='{.items[*].spec.containers[*].image}'");
    assert!(images.contains("registry.k8s.io/kube-apiserver:v1.20.2"), "{images}");
    master("test -x /usr/bin/crictl && test -x /opt/cni/bin/bridge && test -x /usr/bin/runc");
    program.succeed(&["delete", "--yes", "-c", "e2e-recipe"]);
    registry.kill().unwrap();
    registry.wait().unwrap();
}

fn shell(script: &str, arguments: &[&Path]) {
    finish(Command::new("bash").args(["-c", script, "bash"]).args(arguments)).expect_code(0);
}

/// Builds the context; whatever the registry lacks is asked of a proxy that is not there, and of nobody outside.
fn build(program: &Program, files: &SocketAddr, registry: &str, kube: &str) -> sealer_tests::Outcome {
    let mirror = format!("registry.k8s.io=http://{registry}");
    let urls = ["KUBERNETES_URL", "GITHUB_URL"].map(|name| format!("{name}=http://{files}"));
    let arguments = ["build", "-q", "-t", "kubernetes:v1.20.2", "--registry-mirror", &mirror];
    let mut command = program.command(&arguments);
    for url in &urls {
        command.args(["--build-arg", url]);
    }
    finish(command.arg(kube).env("HTTPS_PROXY", "http://127.0.0.1:1"))
}

/// Where a registry that was started listens.
fn listening(program: &Program) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = program.background_log();
        if let Some(address) = log.lines().find_map(|line| line.strip_prefix("serving on ")) {
            return address.trim().to_owned();
        }
        assert!(Instant::now() < deadline, "the registry does not serve: {log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Serves the files of a directory by their names, whatever the path before.
fn serve(directory: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, directory) = (listener.local_addr().unwrap(), directory.to_owned());
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let name = request.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let _ = match fs::File::open(directory.join(name)) {
                Ok(mut file) => {
                    let length = file.metadata().unwrap().len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                    connection
                        .write_all(head.as_bytes())
                        .and_then(|()| std::io::copy(&mut file, &mut connection).map(drop))
                }
                Err(_) => {
                    connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                }
            };
        }
    });
    address
}

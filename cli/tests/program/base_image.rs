//! `sealer base-image`: contexts are written, and build through a mirror that has the right files and no others.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::support::{Outcome, Program};

/// A web server with the files that it is given, by path.
#[derive(Clone, Default)]
struct Mirror {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Mirror {
    fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, files) = (listener.local_addr().unwrap(), self.files.clone());
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let mut request = String::new();
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let mut lines = std::iter::from_fn(|| {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok().filter(|count| *count > 2).map(|_| line)
                });
                request.push_str(&lines.next().unwrap_or_default());
                lines.for_each(drop);
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = files.lock().unwrap().get(&path).cloned();
                let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
                let body = found.unwrap_or_default();
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = connection.write_all(head.as_bytes());
                if request.starts_with("GET") {
                    let _ = connection.write_all(&body);
                }
            }
        });
        address
    }
}

/// Builds the context in `kube` through a mirror; its container images are named and not carried.
fn build(program: &Program, mirror: SocketAddr, options: &[&str]) -> Outcome {
    let url = |name: &str, path: &str| format!("{name}=http://{mirror}/{path}");
    let urls = [url("KUBERNETES_URL", "k8s"), url("GITHUB_URL", "github"), url("RAW_URL", "raw")];
    let mut arguments = vec!["build", "-q", "-t", "kubernetes:1", "--build-mode", "lite"];
    urls.iter().for_each(|url| arguments.extend(["--build-arg", url]));
    arguments.extend(options);
    let kube = program.text("kube");
    program.call(&[arguments, vec![&kube]].concat())
}

/// The paths that a context asks of a mirror, as its Kubefile writes them, with the sums.
fn asked(kubefile: &str) -> Vec<(String, String)> {
    let adds = kubefile.lines().filter(|line| line.starts_with("ADD "));
    let of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let url = words[words.len() - 2].replace("${ARCH}", "amd64");
        let path = url.replace("${KUBERNETES_URL}", "/k8s").replace("${GITHUB_URL}", "/github");
        let (_, sum) = line.split_once("sha256:").unwrap();
        (path.replace("${RAW_URL}", "/raw"), sum[..64].to_owned())
    };
    adds.map(of).collect()
}

#[test]
fn a_recipe_builds_through_a_mirror_with_the_right_files_only() {
    let program = Program::new();
    let kube = program.text("kube");
    let write = ["base-image", "write", &kube, "--version", "1.20.2", "--arch", "amd64"];
    program.call(&write).code(0);
    program.call(&write).fails(2, &["is not empty"]);
    let path = program.path("kube/Kubefile");
    let kubefile = std::fs::read_to_string(&path).unwrap();
    let asked = asked(&kubefile);
    assert_eq!(asked.len(), 8, "{asked:?}");
    assert!(asked[0].0.ends_with("/k8s/release/v1.20.2/bin/linux/amd64/kubeadm"), "{asked:?}");

    // All files that a mirror lacks are named at once.
    let mirror = Mirror::default();
    let address = mirror.start();
    let outcome = build(&program, address, &[]);
    outcome.fails(1, &["8 files cannot be downloaded"]);
    for (path, _) in &asked {
        outcome.says(&[path]);
    }

    // A file with another sum stops the build, and both sums are named.
    for (path, _) in &asked {
        mirror.files.lock().unwrap().insert(path.clone(), path.clone().into_bytes());
    }
    build(&program, address, &[])
        .fails(1, &["kubeadm is not what the Kubefile asks for", &asked[0].1, "found sha256:"]);

    // With the sums of the mirror's files it builds, twice the same.
    let sums = asked.iter().map(|(path, sum)| (sum, sealer_core::content_store::Digest::of(path.as_bytes())));
    let right = sums.fold(kubefile, |text, (old, new)| text.replace(old, &new.hex()));
    let digest = |program: &Program| {
        let outcome = build(program, address, &[]);
        outcome.code(0);
        outcome.stdout.trim().to_owned()
    };
    std::fs::write(&path, &right).unwrap();
    let first = digest(&program);
    let other = Program::new();
    let kube = other.text("kube");
    other.call(&["base-image", "write", &kube, "--version", "v1.20.2", "--arch", "amd64"]).code(0);
    std::fs::write(other.path("kube/Kubefile"), &right).unwrap();
    assert_eq!(digest(&other), first);

    // The files of another processor are not there, and never taken for those of this one.
    build(&program, address, &["--platform", "linux/arm64"]).fails(1, &["cannot be downloaded", "/arm64/kubeadm"]);
}

#[test]
fn what_cannot_be_had_is_refused_and_nothing_is_written() {
    let program = Program::new();
    let kube = program.text("kube");
    let cases: [(&[&str], &str); 4] = [
        (&["--version", "1.20.99"], "no checksums are known of Kubernetes 1.20.99"),
        (&["--arch", "s390x"], "no files of Kubernetes"),
        (&["--version", "1.25", "--engine", "docker"], "removed dockershim"),
        (&["--version", "1.36", "--engine", "containerd:1.7.34"], "needs containerd 2.0 or later"),
    ];
    for (options, message) in cases {
        program.call(&[&["base-image", "write", &kube], options].concat()).fails(2, &[message]);
        assert!(!program.path("kube").exists());
    }
    let all = program.json(&["base-image", "list", "-o", "json"]);
    assert_eq!(all.as_array().unwrap().len(), 17);
    assert_eq!((&all[0]["minor"], &all[0]["versions"][2]), (&"1.20".into(), &"1.20.2".into()));
}

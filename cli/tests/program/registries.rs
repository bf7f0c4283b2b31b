//! `sealer push` and `pull`, and what is pulled because it is needed: from another machine that serves its images.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::support::Program;

/// A machine that serves its images; it ends with the value.
struct Served {
    host: String,
    child: Child,
}

impl Served {
    fn new(program: &Program) -> Self {
        let mut command = program.command(&["registry", "serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().strip_prefix("serving on ").unwrap().to_owned();
        Self { host, child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_image_of_another_machine_is_pulled_and_built_upon() {
    let (program, other) = (Program::new(), Program::new());
    let digest = program.build("shop:1.4");
    let served = Served::new(&program);
    let name = format!("{}/library/shop:1.4", served.host);

    other
        .call(&["pull", "--policy", "never", &name])
        .fails(1, &["is not in the store", &format!("sealer pull {name}")]);
    let pulled = other.json(&["pull", "-o", "json", &name]);
    assert_eq!((pulled["digest"].as_str(), pulled["name"].as_str()), (Some(&*digest), Some(&*name)));
    assert!(pulled["fetchedBytes"].as_u64().unwrap() > 0, "{pulled}");
    assert_eq!(pulled["platforms"][0]["os"], "linux");
    let again = other.call(&["pull", &name]);
    again.code(0);
    assert!(again.stdout.contains(&digest) && again.stdout.contains("already here"), "{}", again.stdout);
    assert_eq!(other.call(&["pull", "-q", &name]).stdout.trim(), digest);
    other.call(&["pull", "--platform", "linux/s390x", &name]).fails(1, &["not built for linux/s390x", "linux/amd64"]);
    other.call(&["pull", "--platform", "s390x", &name]).fails(2, &["--platform", "expected OS/ARCHITECTURE"]);

    let third = Program::new();
    third.write("context/Kubefile", format!("FROM {name}\nCMD echo more\n"));
    third.call(&["build", "-q", "-t", "more:1", "."]).code(0);
    assert!(third.call(&["inspect", "more:1"]).stdout.contains("kubectl apply -f manifests"));
}

#[test]
fn a_dry_run_pulls_without_a_name() {
    let (program, other) = (Program::with_kubernetes(), Program::new());
    let served = Served::new(&program);
    let name = format!("{}/library/kube:1", served.host);
    // It is understood as far as the host, which is not there.
    let planned = other.call(&["run", &name, "-m", "127.0.0.1", "--port", "1", "--dry-run"]);
    assert!(!planned.stderr.contains("is not in the store"), "{}", planned.stderr);
    assert_eq!(other.call(&["images", "-q"]).stdout, "");
    let served_again = other.call(&["pull", "-q", &name]);
    served_again.code(0);
    assert_eq!(other.call(&["images", "-q"]).stdout, served_again.stdout);
}

#[test]
fn what_cannot_be_pushed_or_pulled_is_named() {
    let program = Program::new();
    program.build("shop:1.4");
    let served = Served::new(&program);
    let to = format!("{}/library/shop:2", served.host);
    // It only serves.
    program.call(&["push", "shop:1.4", &to]).fails(1, &[&served.host]);
    program.call(&["push", "shop:1.4", "127.0.0.1:1/shop:1"]).fails(1, &["cannot reach 127.0.0.1:1", "hint:"]);
    program.call(&["pull", "127.0.0.1:1/shop:1"]).fails(1, &["cannot reach 127.0.0.1:1", "hint:"]);
    program.call(&["push", "nobody:1"]).fails(1, &["cluster image nobody:1 is not in the store"]);
    program.call(&["push", "--all=false", "shop:1.4", &to]).fails(2, &["is pushed whole"]);
    program.call(&["push", "shop:1.4", "A"]).fails(2, &["`A` is not a"]);
    program.call(&["pull", &format!("{}/library/nobody:1", served.host)]).fails(1, &["library/nobody:1 is not on"]);
    assert!(!program.path("home/.sealer").exists());
}

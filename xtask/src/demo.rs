//! Makes a cluster from nothing with an application on it: what a newcomer sees first.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::assets::{self, KUBERNETES};
use crate::cache::Cache;
use crate::dist;
use crate::error::{Error, Result};
use crate::machine::{self, Docker, Release};
use crate::output;
use crate::program::{program, read, run};
use crate::tidy::repository;

const CLUSTER: &str = "demo";
const APPLICATION: &str = "hello:1.0";
/// Port of the application on every node; demo-app/manifests/hello.yaml says the same.
const PORT: u16 = 30080;
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// What a first run goes through, and how long each phase takes on two idle cores. The first two run side by side.
const PHASES: &str = "\
the first time this takes about a quarter of an hour on 2 idle cores, later about two minutes:
    sealer, from source, not optimised       5 minutes of both cores  } side by side
    Kubernetes, from Debian's source         5 minutes of both cores  }
    node image, containerd, etcd and others  2 minutes                }
    base image and application               10 seconds
    cluster                                  1 minute
what is finished stays finished: after a failure, the same command resumes";

/// Makes the demo cluster; with `remove`, deletes it at the end.
pub(crate) fn demo(cache: &Cache, remove: bool) -> Result<()> {
    let start = Instant::now();
    machine::require_root()?;
    output::step(PHASES);
    let (built, made) = std::thread::scope(|scope| {
        let made = scope.spawn(|| prepare(cache));
        let built = timed("sealer is built", || dist::unoptimised(&repository().join("target/demo")));
        (built, made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (sealer, (docker, base, application)) = (built?, made?);
    forget_lost_cluster(&docker)?;
    output::step(&format!("everything is prepared after {}", output::spoken(start.elapsed())));

    let demo = Demo { sealer, kubectl: base.join("bin/kubectl") };
    timed("images are built", || {
        demo.sealer(&["build", "-t", &format!("kubernetes:{KUBERNETES}"), &base.display().to_string()])?;
        demo.sealer(&["build", "-t", APPLICATION, &application.display().to_string()])
    })?;
    let cluster = ["--provider", "CONTAINER", "--masters", "1", "--nodes", "1", "--cluster-name", CLUSTER];
    timed("cluster and application are up", || {
        demo.sealer(&[&["run", APPLICATION], &cluster[..]].concat())?;
        demo.show()
    })?;
    if remove {
        demo.sealer(&["delete", "--yes", "-c", CLUSTER])?;
        check_gone()?;
        drop(docker);
    } else {
        demo.say_how_to_go_on()?;
        docker.keep();
    }
    output::step(&format!("done in {}", output::spoken(start.elapsed())));
    Ok(())
}

/// Makes what the demo runs on: the engine, and the contexts of both images.
fn prepare(cache: &Cache) -> Result<(Docker, PathBuf, PathBuf)> {
    let docker = timed("a container engine answers", || Docker::ensure(cache))?;
    timed("the node image is there", || assets::node_image(cache, &docker, Release::Bookworm))?;
    let base = timed("the base image's files are there", || assets::base_context(cache, Release::Bookworm))?;
    let application = timed("the application's files are there", || assets::demo_context(cache))?;
    Ok((docker, base, application))
}

/// Does a phase and says how long it took.
fn timed<T>(done: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = act()?;
    output::step(&format!("{done} ({})", output::spoken(start.elapsed())));
    Ok(result)
}

/// The programs of a demo.
struct Demo {
    sealer: PathBuf,
    kubectl: PathBuf,
}

impl Demo {
    /// Shows the command line and runs it.
    fn sealer(&self, arguments: &[&str]) -> Result<()> {
        output::line(&format!("\n$ sealer {}", arguments.join(" ")));
        run(program(&self.sealer).args(arguments))
    }

    /// Shows nodes, pods, and what the application answers on each node.
    fn show(&self) -> Result<()> {
        self.kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=90s"])?;
        self.kubectl(&["rollout", "status", "deployment/hello", "--timeout=90s"])?;
        self.kubectl(&["get", "node,pod", "-A", "-o", "wide"])?;
        for address in self.node_addresses()? {
            output::line(&format!("\n$ curl http://{address}:{PORT}/"));
            output::line(&wait_for_answer(SocketAddr::new(address, PORT))?);
        }
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        output::line(&format!("\n$ kubectl {}", arguments.join(" ")));
        run(program(&self.kubectl).env("KUBECONFIG", kubeconfig()?).args(arguments))
    }

    fn node_addresses(&self) -> Result<Vec<IpAddr>> {
        let path = r#"jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}"#;
        let text = read(program(&self.kubectl).env("KUBECONFIG", kubeconfig()?).args(["get", "node", "-o", path]))?;
        text.split_whitespace()
            .map(|word| word.parse())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::Shape { what: "addresses of the nodes".into(), found: text.clone() })
    }

    fn say_how_to_go_on(&self) -> Result<()> {
        output::line(&format!(
            "\nLook around:\n  export KUBECONFIG={}\n  {} get pod -A\n  {} inspect {APPLICATION}\nDelete it:\n  {} delete -c {CLUSTER}",
            kubeconfig()?.display(),
            self.kubectl.display(),
            self.sealer.display(),
            self.sealer.display(),
        ));
        Ok(())
    }
}

/// Removes hosts of a demo cluster whose state is gone: nobody can log in to them any more.
fn forget_lost_cluster(docker: &Docker) -> Result<()> {
    if state()?.exists() {
        return Ok(());
    }
    docker.remove_labelled(&label())
}

/// Fails when the engine still has something of the deleted cluster.
fn check_gone() -> Result<()> {
    let filter = format!("label={}", label());
    let left = read(program("docker").args(["ps", "-aq", "--filter", &filter]))?
        + &read(program("docker").args(["network", "ls", "-q", "--filter", &filter]))?;
    if left.is_empty() && !state()?.join("Clusterfile").exists() {
        return Ok(());
    }
    Err(Error::Shape { what: "what is left of the deleted cluster".into(), found: left })
}

fn label() -> String {
    format!("io.sealer.cluster={CLUSTER}")
}

fn state() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").ok_or_else(|| Error::Machine {
        missing: "HOME is not set".into(),
        remedy: "set it: the state of clusters is kept below it".into(),
    })?;
    Ok(Path::new(&home).join(".sealer").join(CLUSTER))
}

fn kubeconfig() -> Result<PathBuf> {
    Ok(state()?.join("kubeconfig"))
}

/// Asks until the application answers; its rules reach a node a moment after its pods are ready.
fn wait_for_answer(address: SocketAddr) -> Result<String> {
    let end = Instant::now() + ANSWER_LIMIT;
    loop {
        match ask(address) {
            Ok(answer) => return Ok(answer),
            Err(problem) if Instant::now() >= end => {
                return Err(Error::Shape { what: format!("answer of http://{address}/"), found: problem.to_string() });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// The body of a successful answer to `GET /`.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let limit = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    body(&answer)
        .map(String::from)
        .ok_or_else(|| std::io::Error::other(answer.lines().next().unwrap_or("nothing").to_string()))
}

/// What follows the head of an answer whose status is 200.
fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_whitespace().nth(1).filter(|status| *status == "200").map(|_| body.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_counts() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nServer: x\r\n\r\nHello\n"), Some("Hello"));
        assert_eq!(body("HTTP/1.0 503 Busy\r\n\r\nHello\n"), None);
        assert_eq!(body(""), None);
    }
}

//! What does a newcomer see first: a cluster from nothing, an application on it, and the way back?

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::assets::{self, KUBERNETES};
use crate::cache::Cache;
use crate::dist::dist;
use crate::error::{Error, Result};
use crate::machine::{self, Docker};
use crate::output;
use crate::program::{program, read, run};
use crate::tidy::repository;

const CLUSTER: &str = "demo";
const APPLICATION: &str = "hello:1.0";
/// Port of the application on every node; demo-app/manifests/hello.yaml says the same.
const PORT: u16 = 30080;
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// Makes the demo cluster; with `remove`, deletes it at the end.
pub(crate) fn demo(cache: &Cache, remove: bool) -> Result<()> {
    let start = Instant::now();
    machine::require_root()?;
    let docker = Docker::ensure(cache)?;
    let sealer = dist(&repository().join("target/dist"))?;
    assets::node_image(cache, &docker)?;
    let base = assets::base_context(cache)?;
    let application = assets::demo_context(cache)?;
    forget_lost_cluster(&docker)?;
    let prepared = Instant::now();
    output::step(&format!("everything is prepared after {}", output::spoken(start.elapsed())));

    let demo = Demo { sealer, kubectl: base.join("bin/kubectl") };
    demo.sealer(&["build", "-t", &format!("kubernetes:{KUBERNETES}"), &base.display().to_string()])?;
    demo.sealer(&["build", "-t", APPLICATION, &application.display().to_string()])?;
    demo.sealer(&[
        "run",
        APPLICATION,
        "--provider",
        "CONTAINER",
        "--masters",
        "1",
        "--nodes",
        "1",
        "--cluster-name",
        CLUSTER,
    ])?;
    demo.show()?;
    output::step(&format!("cluster and application are up after {}", output::spoken(prepared.elapsed())));
    if remove {
        demo.sealer(&["delete", "-c", CLUSTER])?;
        check_gone()?;
        drop(docker);
    } else {
        demo.say_how_to_go_on()?;
        docker.keep();
    }
    output::step(&format!("done in {}", output::spoken(start.elapsed())));
    Ok(())
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
    let patience = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
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

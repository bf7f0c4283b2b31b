//! What is asked of every cluster that a test has made, and how its steps are shown.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sealer_tests::Program;
use serde_json::Value;

/// Does one step of a test and prints its name and how long it took.
pub(crate) fn step<T>(name: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    eprintln!("step {name} ...");
    let done = act();
    eprintln!("step {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
    done
}

/// Runs kubectl on a master, through whatever runs a shell script there.
pub(crate) fn kubectl(shell: &dyn Fn(&str) -> String, arguments: &str) -> String {
    shell(&format!("KUBECONFIG=/etc/kubernetes/admin.conf kubectl {arguments}"))
}

/// Expects this many nodes, all Ready.
pub(crate) fn expect_ready(shell: &dyn Fn(&str) -> String, count: usize) {
    let nodes: Value = serde_json::from_str(&kubectl(shell, "get node -o json")).unwrap();
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(nodes.len(), count, "nodes: {nodes:#?}");
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        assert_eq!(ready["status"], "True", "{}: {ready}", node["metadata"]["name"]);
    }
}

/// Waits until the demo application answers on its node port, from inside the cluster's network.
pub(crate) fn expect_hello(shell: &dyn Fn(&str) -> String, address: IpAddr) {
    let deadline = Instant::now() + Duration::from_secs(90);
    let address = SocketAddr::new(address, 30080);
    loop {
        let answer = shell(&format!("curl --silent --max-time 3 http://{address}/ || true"));
        if answer.contains("Hello from a cluster image") {
            return;
        }
        let pods = || {
            kubectl(
                shell,
                "get pod -A -o wide; KUBECONFIG=/etc/kubernetes/admin.conf kubectl get events -A | tail -n 20",
            )
        };
        assert!(Instant::now() < deadline, "the application does not answer: `{answer}`\n{}", pods());
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Expects that the application's image was pulled under its original name.
pub(crate) fn expect_original_name(shell: &dyn Fn(&str) -> String) {
    let images = kubectl(shell, "get pod -l app=hello -o jsonpath='{.items[*].spec.containers[*].image}'");
    assert!(images.contains("docker.io/example/hello:1.0"), "images of the application: {images}");
}

/// The journal of a cluster: which steps are finished.
pub(crate) fn finished_steps(program: &Program, cluster: &str) -> usize {
    let journal = program.state(cluster).join("journal.jsonl");
    std::fs::read_to_string(journal).map(|text| text.lines().count()).unwrap_or(0)
}

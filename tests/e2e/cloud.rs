//! "So many masters and nodes" become a cluster on Alibaba Cloud, through a jump host, and everything goes away again.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use cloud_double::{Options, Timing};
use sealer_tests::cloud::OPERATOR;
use sealer_tests::machines::docker;
use sealer_tests::program::{Outcome, finish};
use sealer_tests::stage::APP;
use sealer_tests::{Cloud, Program, Stage};
use serde_json::Value;

use crate::cluster::{expect_hello, expect_original_name, expect_ready};

const CLUSTER: &str = "e2e-cloud";
const MASTER: &str = "e2e-cloud-master-0";
const NODE: &str = "e2e-cloud-node-0";

/// The operator's machine.
struct Operator {
    program: Program,
    cloud: Cloud,
}

impl Operator {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(arguments);
        let endpoint = self.cloud.endpoint();
        command.env("SEALER_ALIYUN_ECS_ENDPOINT", &endpoint).env("SEALER_ALIYUN_VPC_ENDPOINT", &endpoint);
        command.env("ACCESSKEYID", "testid").env("ACCESSKEYSECRET", "testsecret");
        command.env("SEALER_ADMIN_CIDR", format!("{OPERATOR}/32"));
        command
    }

    fn call(&self, arguments: &[&str]) -> Outcome {
        finish(&mut self.command(arguments))
    }

    fn kubectl(&self, arguments: &[&str]) -> Outcome {
        finish(&mut self.kubectl_command(arguments))
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&Stage::get().kubectl);
        command.args(arguments).env_clear().env("HOME", self.program.home());
        command.env("KUBECONFIG", self.program.state(CLUSTER).join("kubeconfig"));
        command
    }

    /// Every state that the node has while `act` goes on, as the API server tells it.
    fn states_of_the_node(&self, act: impl FnOnce()) -> String {
        let path = self.program.home().join("states");
        let states = File::create(&path).unwrap();
        let mut watch = self
            .kubectl_command(&["get", "node", NODE, "--watch"])
            .stdin(Stdio::null())
            .stdout(states)
            .spawn()
            .unwrap();
        act();
        watch.kill().unwrap();
        watch.wait().unwrap();
        std::fs::read_to_string(path).unwrap()
    }
}

#[test]
fn counts_become_a_cluster_behind_one_public_address_and_nothing_is_left_of_it() {
    let stage = Stage::get();
    // The public address leads to the first master only some time after the cloud said so.
    let timing = Timing { eip: Duration::from_secs(5), ..Timing::A.scaled(0.2) };
    let options = Options { timing, ..Options::default() };
    let operator = Operator { program: stage.program(), cloud: Cloud::start(options, &stage.node_image) };
    let run = ["run", APP, "--masters", "1", "--nodes", "1", "--cluster-name", CLUSTER, "-o", "json"];

    let outcome = operator.call(&run);
    outcome.expect_code(0).expect_stderr(r#"{"kind":"waiting","hosts":["172.16.0.1","172.16.0.2"]"#);
    let applied: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(applied["outcome"], "changed");
    assert!(applied["nodes"].as_array().unwrap().iter().all(|node| node["ready"] == true), "{applied}");
    let shell = |script: &str| docker(&["exec", MASTER, "sh", "-c", script]);
    expect_ready(&shell, 2);

    // The machines are in a network of their own; only the first master can be reached, by its public address.
    for node in applied["nodes"].as_array().unwrap() {
        let address = SocketAddr::new(node["address"].as_str().unwrap().parse().unwrap(), 22);
        let direct = TcpStream::connect_timeout(&address, Duration::from_secs(2));
        assert!(direct.is_err(), "{address} can be reached without the jump host");
    }
    let known_hosts = std::fs::read_to_string(operator.program.state(CLUSTER).join("known_hosts")).unwrap();
    for address in ["203.0.113.10", "172.16.0."] {
        assert!(known_hosts.contains(address), "no host key of {address}:\n{known_hosts}");
    }

    // The administrator's kubeconfig works from here, and verifies whom it talks to.
    let kubeconfig = std::fs::read_to_string(operator.program.state(CLUSTER).join("kubeconfig")).unwrap();
    assert!(kubeconfig.contains("https://203.0.113.10:6443") && !kubeconfig.contains("insecure"), "{CLUSTER}");
    let nodes = operator.kubectl(&["get", "node", "-o", "name"]);
    nodes.expect_code(0);
    assert_eq!(nodes.stdout.lines().count(), 2, "{}", nodes.stdout);
    let node = applied["nodes"].as_array().unwrap().iter().find(|node| node["name"] == NODE);
    let node: IpAddr = node.unwrap()["address"].as_str().unwrap().parse().unwrap();
    expect_hello(&shell, node);
    expect_original_name(&shell);

    let again = operator.call(&run);
    again.expect_code(0);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["outcome"], &again["done"]), (&Value::from("unchanged"), &Value::from(0)));
    assert_eq!(operator.cloud.double.instances_made(), 2);

    larger_nodes(&operator);
    expect_ready(&shell, 2);
    expect_hello(&shell, node);

    operator.call(&["delete", "--yes", "-c", CLUSTER]).expect_code(0);
    assert_eq!(operator.cloud.still_running(), Vec::<String>::new());
    assert_eq!(operator.cloud.double.leftovers(), Vec::<String>::new());
    assert_eq!(operator.cloud.double.violations(), Vec::<String>::new());
    for name in [MASTER, NODE] {
        assert_eq!(docker(&["ps", "-aq", "--filter", &format!("name=^{name}$")]).trim(), "", "{name} is left");
    }
    assert!(!operator.program.state(CLUSTER).exists());
}

/// Nodes get more memory: pods leave the node before it stops, and may come back when it is there again.
fn larger_nodes(operator: &Operator) {
    let text = format!(
        "apiVersion: sealer.aliyun.com/v1alpha1\nkind: Cluster\nmetadata: {{name: {CLUSTER}}}\nspec:\n  image: {APP}\n  \
         provider: ALI_CLOUD\n  masters: {{count: 1}}\n  nodes: {{count: 1, cpu: 4, memory: 16}}\n"
    );
    let file = operator.program.home().join("Clusterfile");
    std::fs::write(&file, text).unwrap();
    operator.cloud.double.forget_calls();
    let states = operator.states_of_the_node(|| {
        let outcome = operator.call(&["apply", "-f", file.to_str().unwrap(), "-o", "json"]);
        outcome.expect_code(0).expect_stderr(r#""event":"resizing","host":"e2e-cloud-node-0""#);
    });
    assert!(states.contains("SchedulingDisabled"), "the node was not drained:\n{states}");
    let actions: Vec<String> = operator.cloud.double.calls().into_iter().map(|call| call.action).collect();
    let changed: Vec<&str> =
        actions.iter().map(String::as_str).filter(|action| !action.starts_with("Describe")).collect();
    assert_eq!(changed, ["StopInstances", "ModifyInstanceSpec", "StartInstances"], "{actions:?}");
    let nodes = operator.kubectl(&["get", "node", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!((nodes.code, nodes.stdout.trim()), (0, ""), "a node that takes no pods");
}

//! Measures planning and executing for many hosts that are not there: seconds, simulated seconds, memory.
//!
//! Started by `cargo xtask bench apply`. Scripts take the times that were seen on real hosts; the clock of the simulated
//! part is tokio's, so it says how well hosts work side by side and nothing about this machine.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clusterfile::{Cluster, Clusterfile, Host, Role};
use remote::Remote;
use remote::transcript::{Answer, Transcript, exit};
use runtime::facts::{ApiFacts, NodeFacts};
use runtime::{
    Action, ActionHandler, Error, ExecuteOptions, Facts, HostFacts, ImageContents, Journal, Kubeadm, Marker, Payload,
    Plan, Progress, Request, Runtime, Secrets, Step, execute, gather,
};

/// How long the scripts of a host take, by what they contain: seen with kubeadm 1.20 on two processors.
const TIMES: [(&str, u64); 5] = [
    ("Installs and starts the container engine", 4),
    ("Prepares the host for Kubernetes", 3),
    ("Makes this host the control plane", 20),
    ("Makes this host a node", 9),
    ("Succeeds when this host's node is Ready", 6),
];
/// How long content takes to a host.
const CONTENT: Duration = Duration::from_secs(12);

fn address(index: usize) -> IpAddr {
    IpAddr::from([10, 0, u8::try_from(index / 250).unwrap(), u8::try_from(index % 250).unwrap() + 1])
}

fn cluster(masters: usize, nodes: usize) -> Clusterfile {
    let mut cluster = Cluster::new("shop", "shop:1.4");
    let host = |index| Host::new(address(index), if index < masters { Role::Master } else { Role::Node });
    cluster.hosts = (0..masters + nodes).map(host).collect();
    cluster.into()
}

fn image() -> ImageContents {
    let mut image = ImageContents::named("shop:1.4");
    image.digest = format!("sha256:{}", "1".repeat(64));
    image.labels.insert("cluster.alpha.sealer.io/cluster-runtime-version".to_owned(), "v1.20.2".to_owned());
    let files = ["bin/kubeadm", "bin/kubectl", "bin/kubelet", "scripts/containerd.sh", "scripts/init-kube.sh"];
    image.files = files.map(str::to_owned).into();
    image
}

/// Bare hosts.
fn bare(wanted: &Clusterfile) -> Facts {
    let mut facts = Facts::default();
    for (index, host) in wanted.cluster.hosts.iter().enumerate() {
        let mut observed = HostFacts::default();
        observed.hostname = format!("host-{index}");
        facts.hosts.insert(host.address, observed);
    }
    facts
}

/// The hosts as they are when a plan was executed.
fn finished(wanted: &Clusterfile, plan: &Plan) -> Facts {
    let mut facts = bare(wanted);
    let mut api = ApiFacts::default();
    for step in plan.steps.iter().filter(|step| step.id.starts_with("finish@")) {
        let Action::Write { files } = &step.action else { continue };
        let marker: Marker = serde_json::from_slice(&files[0].content).unwrap();
        let mut node = NodeFacts::default();
        (node.name, node.ready, node.control_plane) = (step.id.clone(), true, marker.role == "master");
        api.nodes.insert(step.hosts[0], node);
        let host = facts.hosts.get_mut(&step.hosts[0]).unwrap();
        host.cluster = Some(marker.cluster.clone());
        host.marker = Some(marker);
    }
    facts.api = Some(api);
    facts
}

fn planned(wanted: &Clusterfile, facts: &Facts, secrets: &Secrets) -> Plan {
    let image = image();
    let payload = Payload::new(&image, secrets).with_launch(vec!["kubectl apply -f network.yaml".to_owned()]);
    Kubeadm.plan(&Request::new(wanted, facts, &payload)).unwrap()
}

/// Content that takes its time.
struct Delivery;

#[async_trait]
impl ActionHandler for Delivery {
    async fn perform(
        &self,
        _: &Step,
        _: IpAddr,
        _: Arc<dyn Remote>,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error> {
        tokio::time::sleep(CONTENT).await;
        Ok(())
    }
}

fn hosts(wanted: &Clusterfile) -> BTreeMap<IpAddr, Arc<dyn Remote>> {
    let host = |host: &Host| {
        let mut transcript = Transcript::new(host.address).answering("section time", 0, "@time\n 1\n@end\n", "");
        for (part, seconds) in TIMES {
            let takes = Duration::from_secs(seconds);
            transcript = transcript.with(Answer { part: part.to_owned(), takes, output: exit(0, "", ""), once: false });
        }
        (host.address, Arc::new(transcript) as Arc<dyn Remote>)
    };
    wanted.cluster.hosts.iter().map(host).collect()
}

/// Simulated seconds for making a cluster.
async fn executed(wanted: &Clusterfile, secrets: &Secrets) -> f64 {
    let plan = planned(wanted, &bare(wanted), secrets);
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(&directory.path().join("journal")).unwrap();
    let started = tokio::time::Instant::now();
    execute(&plan, &hosts(wanted), &Delivery, &journal, &ExecuteOptions::default(), &|_| ()).await.unwrap();
    started.elapsed().as_secs_f64()
}

/// The most memory that this process had, in MB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1000
}

fn row(what: &str, figure: &str, goal: &str) {
    println!("{what:<58} {figure:>10}  {goal}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let secrets = Secrets::make(&Cluster::new("shop", "shop:1.4"), Kubeadm::REQUIREMENTS.secrets).unwrap();
    let large = cluster(3, 97);
    let started = Instant::now();
    let plan = planned(&large, &bare(&large), &secrets);
    let text = plan.to_text();
    let creation = started.elapsed();
    row("plan of 3 masters and 97 nodes, printed", &format!("{} ms", creation.as_millis()), "< 1000 ms");
    let standing = finished(&large, &plan);
    let started = Instant::now();
    gather(&hosts(&large), "shop", &Kubeadm.requirements()).await.unwrap();
    let nothing = planned(&large, &standing, &secrets);
    assert!(nothing.is_empty() && text.lines().count() > 100);
    row("100 hosts asked and planned, nothing to do", &format!("{} ms", started.elapsed().as_millis()), "< 2000 ms");

    tokio::time::pause();
    let one = executed(&cluster(1, 1), &secrets).await;
    let eight = executed(&cluster(1, 8), &secrets).await;
    row("1 master and 1 node, simulated", &format!("{one:.0} s"), "");
    row("1 master and 8 nodes, simulated", &format!("{eight:.0} s"), &format!("{:.2} x, < 1.5 x", eight / one));
    let three = executed(&cluster(3, 1), &secrets).await;
    row("3 masters and 1 node, simulated", &format!("{three:.0} s"), "");
    let hundred = executed(&large, &secrets).await;
    row("3 masters and 97 nodes, simulated, 32 at once", &format!("{hundred:.0} s"), "");
    row("most memory of all of this", &format!("{} MB", peak_memory()), "< 200 MB");
}

//! Tests the CONTAINER provider on a real container engine that has the node image.
#![allow(clippy::unwrap_used)]

mod engine;

use std::sync::Mutex;

use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, RemoveImageOptions,
};
use clusterfile::{Cluster, MachineSpec, ProviderName};
use infra_provider::testing::contract;
use infra_provider::{Container, ContainerOptions, Context, Error, Provider, ProviderEvent, Release, Result};

use engine::{TestEngine, login};

fn wanted(name: &str, masters: u32, nodes: u32) -> Cluster {
    let mut cluster = Cluster::new(name, "shop:1.4");
    cluster.provider = ProviderName::CONTAINER;
    cluster.machines.masters = Some(MachineSpec::of(masters));
    cluster.machines.nodes = Some(MachineSpec::of(nodes));
    cluster
}

fn provider(change: impl FnOnce(&mut ContainerOptions)) -> Container {
    let mut options = ContainerOptions::new();
    change(&mut options);
    Container::new(options)
}

/// A provider, an engine without anything of the cluster, and a state directory.
struct Scene {
    provider: Container,
    engine: TestEngine,
    state: tempfile::TempDir,
    events: Mutex<Vec<ProviderEvent>>,
}

impl Scene {
    async fn new(cluster: &str) -> Self {
        let scene = Self {
            provider: Container::new(ContainerOptions::default()),
            engine: TestEngine::connect(),
            state: tempfile::tempdir().unwrap(),
            events: Mutex::default(),
        };
        // What an earlier run left when it was killed.
        scene.release(&wanted(cluster, 1, 0), Release::All).await;
        scene
    }

    async fn provision(&self, wanted: &Cluster, current: Option<&Cluster>) -> Result<Cluster> {
        self.events.lock().unwrap().clear();
        let events = |event| self.events.lock().unwrap().push(event);
        let context = Context::new(self.state.path(), &events);
        Ok(self.provider.provision(wanted, current, &context).await?.cluster)
    }

    async fn release(&self, cluster: &Cluster, hosts: Release) {
        self.provider.release(cluster, hosts, &Context::new(self.state.path(), &|_| ())).await.unwrap();
    }

    /// Releases everything and checks that nothing of the cluster is left.
    async fn finish(self, cluster: &Cluster) {
        self.release(cluster, Release::All).await;
        assert_eq!(self.engine.leftovers(&cluster.name).await, Vec::<String>::new());
        assert_eq!(std::fs::read_dir(self.state.path()).unwrap().count(), 0, "the key is gone");
    }

    fn happened(&self, what: fn(&ProviderEvent) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| what(event)).count()
    }
}

fn created(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::Creating { .. })
}

fn restarted(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::Restarting { .. })
}

#[tokio::test]
async fn the_contract_is_kept() {
    let name = "infra-contract";
    let scene = Scene::new(name).await;
    contract(&scene.provider, &wanted(name, 1, 1), &wanted(name, 1, 2), scene.state.path()).await;
    assert_eq!(scene.engine.leftovers(name).await, Vec::<String>::new());
}

#[tokio::test]
async fn hosts_are_machines_of_their_own() {
    let wanted = wanted("infra-machines", 1, 1);
    let scene = Scene::new(&wanted.name).await;
    let cluster = scene.provision(&wanted, None).await.unwrap();
    let mut identities = Vec::new();
    for host in &cluster.hosts {
        let command = "hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub; systemctl is-system-running; cat /proc/1/comm; \
                       stat -c '%a %u %g' /root/.ssh /root/.ssh/authorized_keys";
        let answer = login(host, command).await;
        let lines: Vec<String> = answer.lines().map(str::to_owned).collect();
        assert!(["running", "degraded"].contains(&lines[3].as_str()), "{answer}");
        assert_eq!(lines[4..], ["systemd", "700 0 0", "600 0 0"], "{answer}");
        identities.push(lines);
    }
    assert_eq!([&identities[0][0], &identities[1][0]], ["infra-machines-master-0", "infra-machines-node-0"]);
    assert_ne!(identities[0][1], identities[1][1], "machine ids differ");
    assert_ne!(identities[0][2], identities[1][2], "SSH host keys differ");
    assert_eq!(scene.happened(|event| matches!(event, ProviderEvent::Ready { .. })), 2);
    let other = cluster.hosts[1].address;
    login(&cluster.hosts[0], &format!("ping -c 1 -W 2 {other}")).await;
    scene.finish(&cluster).await;
}

#[tokio::test]
async fn what_is_broken_is_repaired() {
    let wanted = wanted("infra-repair", 1, 1);
    let scene = Scene::new(&wanted.name).await;
    let docker = &scene.engine.docker;
    let cluster = scene.provision(&wanted, None).await.unwrap();
    let (master, node) = ("infra-repair-master-0", "infra-repair-node-0");
    login(&cluster.hosts[1], "echo kept > /var/lib/mark; echo kept > /etc/mark").await;

    docker.kill_container(node, None::<KillContainerOptions>).await.unwrap();
    assert_eq!(scene.provision(&wanted, Some(&cluster)).await.unwrap(), cluster);
    assert_eq!((scene.happened(created), scene.happened(restarted)), (0, 1));
    assert_eq!(login(&cluster.hosts[1], "cat /var/lib/mark /etc/mark").await, "kept\nkept\n");

    docker.pause_container(node).await.unwrap();
    assert_eq!(scene.provision(&wanted, Some(&cluster)).await.unwrap(), cluster);

    // Gone, but not its volume; and in its place one that was created and never started.
    let options = RemoveContainerOptions { force: true, ..Default::default() };
    docker.remove_container(node, Some(options)).await.unwrap();
    scene.engine.create_unstarted(&wanted.name, "node", 0, cluster.hosts[1].address).await;
    assert_eq!(scene.provision(&wanted, Some(&cluster)).await.unwrap(), cluster);
    assert_eq!((scene.happened(created), scene.happened(restarted)), (1, 0));

    // The machine was restarted and somebody pruned networks before.
    for host in [master, node] {
        docker.kill_container(host, None::<KillContainerOptions>).await.unwrap();
    }
    docker.remove_network("sealer-infra-repair").await.unwrap();
    assert_eq!(scene.provision(&wanted, Some(&cluster)).await.unwrap(), cluster);
    assert_eq!((scene.happened(created), scene.happened(restarted)), (0, 2));

    // The key was lost with the state directory.
    std::fs::remove_dir_all(scene.state.path().join("ssh")).unwrap();
    assert_eq!(scene.provision(&wanted, None).await.unwrap(), cluster);
    for host in &cluster.hosts {
        assert_eq!(login(host, "echo in").await, "in\n");
    }
    scene.finish(&cluster).await;
}

#[tokio::test]
async fn strangers_are_named_and_left_alone() {
    let wanted = wanted("infra-strangers", 1, 1);
    let scene = Scene::new(&wanted.name).await;
    let stranger = "infra-strangers-node-0";
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    let _ = scene.engine.docker.remove_container(stranger, Some(options.clone())).await;
    let body = scene.engine.idle_container();
    let name = CreateContainerOptions { name: Some(stranger.to_owned()), ..Default::default() };
    scene.engine.docker.create_container(Some(name), body).await.unwrap();

    let error = scene.provision(&wanted, None).await.unwrap_err();
    assert!(matches!(&error, Error::NameTaken { host, .. } if host == stranger), "{error}");

    scene.engine.docker.start_container(stranger, None).await.unwrap();
    scene.engine.attach("sealer-infra-strangers", stranger).await;
    scene.release(&wanted, Release::All).await;
    assert_eq!(scene.engine.leftovers(&wanted.name).await, Vec::<String>::new());
    assert!(scene.engine.runs(stranger).await, "a container of somebody else is detached, not removed");
    scene.engine.docker.remove_container(stranger, Some(options)).await.unwrap();
}

#[tokio::test]
async fn a_missing_image_is_named_before_anything_is_made() {
    let wanted = wanted("infra-no-image", 1, 0);
    let mut scene = Scene::new(&wanted.name).await;
    let node_image = "sealer-node:no-such-tag".to_owned();
    scene.provider = provider(|options| options.node_image = node_image);
    let error = scene.provision(&wanted, None).await.unwrap_err();
    assert!(matches!(&error, Error::NodeImageMissing { image } if image == "sealer-node:no-such-tag"), "{error}");
    scene.finish(&wanted).await;
}

#[tokio::test]
async fn a_host_that_does_not_get_ready_is_described() {
    let wanted = wanted("infra-late", 1, 0);
    let mut scene = Scene::new(&wanted.name).await;
    let ready_within = std::time::Duration::ZERO;
    scene.provider = provider(|options| options.ready_within = ready_within);
    let error = scene.provision(&wanted, None).await.unwrap_err();
    assert!(matches!(&error, Error::NotReady { host, .. } if host == "infra-late-master-0"), "{error}");
    scene.provider = Container::new(ContainerOptions::default());
    let cluster = scene.provision(&wanted, None).await.unwrap();
    assert_eq!(scene.happened(created), 0, "the slow host is used, not made anew");
    scene.finish(&cluster).await;
}

#[tokio::test]
async fn a_host_that_stops_at_once_shows_its_last_words() {
    let wanted = wanted("infra-stops", 1, 0);
    let mut scene = Scene::new(&wanted.name).await;
    let node_image = "sealer-node:infra-stops".to_owned();
    scene.engine.image_with_init(&node_image, "#!/bin/sh\necho no power\nexit 3\n").await;
    scene.provider = provider(|options| options.node_image.clone_from(&node_image));
    let error = scene.provision(&wanted, None).await.unwrap_err();
    scene.finish(&wanted).await;
    TestEngine::connect().docker.remove_image(&node_image, None::<RemoveImageOptions>, None).await.unwrap();
    assert!(matches!(&error, Error::HostStopped { code: 3, .. }), "{error}");
    assert!(error.to_string().ends_with("(exit code 3)\n    no power"), "{error}");
}

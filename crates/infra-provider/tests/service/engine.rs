//! Inspects the engine and disturbs its containers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody, NetworkConnectRequest};
use bollard::query_parameters::{
    CommitContainerOptions, CreateContainerOptions, InspectContainerOptions, ListContainersOptions,
    ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, UploadToContainerOptions,
};
use clusterfile::Host;
use tokio::process::Command;
use tokio::time::timeout;

/// The engine, seen beside the provider.
pub(crate) struct TestEngine {
    pub(crate) docker: Docker,
}

impl TestEngine {
    pub(crate) fn connect() -> Self {
        let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
        Self { docker: Docker::connect_with_unix("/var/run/docker.sock", 60, &version).unwrap() }
    }

    /// Every container, network and volume that carries the cluster's label.
    pub(crate) async fn leftovers(&self, cluster: &str) -> Vec<String> {
        let label = vec![format!("io.sealer.cluster={cluster}")];
        let filters = Some(HashMap::from([("label".to_owned(), label)]));
        let containers = ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
        let containers = self.docker.list_containers(Some(containers)).await.unwrap();
        let networks = ListNetworksOptions { filters: filters.clone() };
        let networks = self.docker.list_networks(Some(networks)).await.unwrap();
        let volumes = self.docker.list_volumes(Some(ListVolumesOptions { filters })).await.unwrap();
        let containers = containers.into_iter().map(|container| format!("container {:?}", container.names));
        let networks = networks.into_iter().map(|network| format!("network {:?}", network.name));
        let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| format!("volume {}", volume.name));
        containers.chain(networks).chain(volumes).collect()
    }

    /// A container that does nothing and is not ours.
    pub(crate) fn idle_container(&self) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some("sealer-node:bookworm".to_owned()),
            entrypoint: Some(vec!["sleep".to_owned(), "600".to_owned()]),
            ..Default::default()
        }
    }

    /// What a run leaves that was killed between creating a host and starting it.
    pub(crate) async fn create_unstarted(&self, cluster: &str, role: &str, index: u32, address: IpAddr) {
        let labels = [
            ("io.sealer.cluster", cluster.to_owned()),
            ("io.sealer.role", role.to_owned()),
            ("io.sealer.index", index.to_string()),
            ("io.sealer.address", address.to_string()),
        ];
        let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
        let body = ContainerCreateBody { labels: Some(labels), ..self.idle_container() };
        let name = CreateContainerOptions { name: Some(format!("{cluster}-{role}-{index}")), ..Default::default() };
        self.docker.create_container(Some(name), body).await.unwrap();
    }

    /// The node image under another name, with another entry point.
    pub(crate) async fn image_with_init(&self, name: &str, script: &str) {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(script.len() as u64);
        archive.append_data(&mut header, "usr/local/bin/sealer-node-init", script.as_bytes()).unwrap();
        let body = bollard::body_full(archive.into_inner().unwrap().into());
        let container =
            self.docker.create_container(None::<CreateContainerOptions>, self.idle_container()).await.unwrap().id;
        let root = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
        self.docker.upload_to_container(&container, Some(root), body).await.unwrap();
        let (repo, tag) = name.split_once(':').unwrap();
        let options = CommitContainerOptions {
            container: Some(container.clone()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            ..Default::default()
        };
        self.docker.commit_container(options, ContainerConfig::default()).await.unwrap();
        self.docker.remove_container(&container, None::<RemoveContainerOptions>).await.unwrap();
    }

    pub(crate) async fn attach(&self, network: &str, container: &str) {
        let request = NetworkConnectRequest { container: container.to_owned(), ..Default::default() };
        self.docker.connect_network(network, request).await.unwrap();
    }

    pub(crate) async fn runs(&self, container: &str) -> bool {
        let inspected = self.docker.inspect_container(container, None::<InspectContainerOptions>).await.unwrap();
        inspected.state.unwrap().running == Some(true)
    }
}

/// Runs a command on a host through OpenSSH's client, exactly as the host says one logs in; returns its output.
pub(crate) async fn login(host: &Host, command: &str) -> String {
    let target = format!("{}@{}", host.ssh.user, host.address);
    let mut client = Command::new("ssh");
    client
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-i", host.ssh.private_key.as_deref().unwrap()])
        .args(["-p", &host.ssh.port.to_string(), &target, command])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(30), client.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{target}: {command}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

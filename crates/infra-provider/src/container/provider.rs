//! Implements `Provider` for CONTAINER.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::ListVolumesOptions;
use clusterfile::{Cluster, ProviderName, Ssh};
use futures_util::{FutureExt, StreamExt, stream};

use super::engine::{Engine, FoundContainer, failed, is_absent, of_cluster};
use super::host::{self, HostSetup};
use super::machine::{Machine, MachineRole, check_cluster_name, network_name};
use super::network;
use super::select::{Counts, assign, select};
use crate::{Context, Error, Provider, ProviderEvent, Provisioned, Release, Result, ssh_key};

/// How many hosts are brought up at the same time; more would only make each of them late.
const CONCURRENCY: usize = 8;

/// Options of the [`Container`] provider.
///
/// ```
/// use infra_provider::ContainerOptions;
///
/// let mut options = ContainerOptions::new();
/// options.node_image = "nodes.example.com/systemd:2".to_owned();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerOptions {
    /// The Unix socket of the engine's API.
    pub docker_socket: PathBuf,
    /// The image that hosts are made from: systemd, sshd, and `/usr/local/bin/sealer-node-init` as entry point.
    pub node_image: String,
    /// How long a host may take from its start until it is ready.
    pub ready_within: Duration,
}

impl ContainerOptions {
    /// The engine at `/var/run/docker.sock`, the image `sealer-node:bookworm`, 60 s until a host is ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            docker_socket: PathBuf::from("/var/run/docker.sock"),
            node_image: "sealer-node:bookworm".to_owned(),
            ready_within: Duration::from_secs(60),
        }
    }
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes hosts in the container engine of this machine: `<cluster>-master-0`, `<cluster>-node-0` and so on, each a
/// systemd machine with a fixed address in the cluster's own network, opened by a key made for the cluster.
///
/// `cpu` and `memory` of the wanted machines become limits; sizes of disks have no meaning here.
#[derive(Debug, Clone, Default)]
pub struct Container {
    options: ContainerOptions,
}

impl Container {
    /// A provider that talks to the engine named in `options`. Nothing is asked or changed yet.
    #[must_use]
    pub fn new(options: ContainerOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Provider for Container {
    fn name(&self) -> &ProviderName {
        &ProviderName::CONTAINER
    }

    fn owns_hosts(&self) -> bool {
        true
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned> {
        context.check_cancelled()?;
        check_cluster_name(&wanted.name)?;
        let counts = Counts::wanted(wanted);
        if counts.masters == 0 {
            return Err(Error::NoMasters { cluster: wanted.name.clone() });
        }
        let engine = Engine::connect(&self.options.docker_socket).await?;
        let found: Vec<(Machine, FoundContainer)> = machines(engine.containers(&wanted.name).await?)?;
        let used: Vec<_> = found.iter().map(|(machine, _)| machine.address).collect();
        let known: Vec<&Cluster> = std::iter::once(wanted).chain(current).collect();
        let selection = select(counts, found, &known);
        if !selection.missing.is_empty() {
            self.check_image(&engine).await?;
        }
        let key = ssh_key::ensure(context.state_dir, &wanted.name).await?;
        let subnet = network::ensure(&engine, wanted, &used, context.events).await?;
        let new = assign(&selection.missing, &subnet, &used)
            .ok_or_else(|| Error::SubnetFull { cluster: wanted.name.clone(), subnet: subnet.to_string() })?;
        for (machine, container) in selection.unclaimed {
            context.tell(ProviderEvent::Unclaimed { host: container.name, address: IpAddr::V4(machine.address) });
        }
        let setup = HostSetup {
            engine: &engine,
            cluster: wanted,
            image: &self.options.node_image,
            key: &key,
            ready_within: self.options.ready_within,
            context,
        };
        bring_up(&setup, &selection.kept, &new).await?;
        let machines = selection.kept.into_iter().map(|(machine, _)| machine).chain(new).collect();
        filled(wanted, machines, &key.private).map(Provisioned::from)
    }

    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<()> {
        let engine = Engine::connect(&self.options.docker_socket).await?;
        for (machine, container) in engine.containers(&cluster.name).await? {
            let address = machine.ok().map(|machine| IpAddr::V4(machine.address));
            let meant = match &hosts {
                Release::All => true,
                Release::Hosts(addresses) => address.is_some_and(|address| addresses.contains(&address)),
            };
            if meant {
                context.check_cancelled()?;
                engine.remove_container(&container.id, &container.name).await?;
                context.tell(ProviderEvent::Released { host: container.name, address });
            }
        }
        if hosts == Release::All {
            network::remove(&engine, &cluster.name, context.events).await?;
            remove_volumes(&engine, &cluster.name).await?;
            ssh_key::forget(context.state_dir).await?;
        }
        Ok(())
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        let counts = Counts::wanted(wanted);
        let mut lines = vec![format!("network {} (bridge, its own subnet)", network_name(&wanted.name))];
        for (duty, count, spec) in [
            (MachineRole::Master, counts.masters, &wanted.machines.masters),
            (MachineRole::Node, counts.nodes, &wanted.machines.nodes),
        ] {
            let size =
                |value: Option<u32>, unit: &str| value.map(|value| format!(", {value} {unit}")).unwrap_or_default();
            let cpu = size(spec.as_ref().and_then(|spec| spec.cpu), "CPU");
            let memory = size(spec.as_ref().and_then(|spec| spec.memory_gib), "GiB");
            lines.extend((0..count).map(|index| {
                let machine = Machine { duty, index, address: std::net::Ipv4Addr::UNSPECIFIED };
                let (host, image) = (machine.name(&wanted.name), &self.options.node_image);
                format!("host {host} ({}): container of {image}{cpu}{memory}", duty.as_str())
            }));
        }
        lines
    }
}

/// Makes `new` and revives `kept`. One that fails does not break off the others, so that the next run finds as much as
/// possible; the first failure is returned.
async fn bring_up(setup: &HostSetup<'_>, kept: &[(Machine, FoundContainer)], new: &[Machine]) -> Result<()> {
    let revived = kept.iter().map(|(machine, container)| host::revive(setup, *machine, container).boxed());
    let made = new.iter().map(|machine| host::make(setup, *machine).boxed());
    let results: Vec<Result<()>> =
        stream::iter(revived.chain(made).collect::<Vec<_>>()).buffered(CONCURRENCY).collect().await;
    results.into_iter().collect()
}

/// The containers with the hosts they are; an error where one is none.
fn machines(found: Vec<(Result<Machine>, FoundContainer)>) -> Result<Vec<(Machine, FoundContainer)>> {
    found.into_iter().map(|(machine, container)| Ok((machine?, container))).collect()
}

impl Container {
    async fn check_image(&self, engine: &Engine) -> Result<()> {
        let image = &self.options.node_image;
        match engine.docker.inspect_image(image).await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Err(Error::NodeImageMissing { image: image.clone() }),
            Err(error) => Err(failed("inspecting node image", image)(error)),
        }
    }
}

/// Removes what volumes are left when somebody removed a container by hand.
async fn remove_volumes(engine: &Engine, cluster: &str) -> Result<()> {
    let options = ListVolumesOptions { filters: Some(of_cluster(cluster)) };
    let list =
        engine.docker.list_volumes(Some(options)).await.map_err(failed("listing the volumes of cluster", cluster))?;
    for volume in list.volumes.unwrap_or_default() {
        let options = None::<bollard::query_parameters::RemoveVolumeOptions>;
        match engine.docker.remove_volume(&volume.name, options).await {
            Err(error) if !is_absent(&error) => {
                return Err(failed("removing volume", &volume.name)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `wanted` with exactly these machines as its hosts, opened by the key; what it says about one of them is kept.
fn filled(wanted: &Cluster, mut machines: Vec<Machine>, key: &Path) -> Result<Cluster> {
    let path = key.to_str().ok_or_else(|| Error::StatePath { path: key.to_owned() })?.to_owned();
    let ssh = Ssh::default().with_private_key(path);
    machines.sort_by_key(|machine| (machine.duty, machine.index));
    let mut cluster = wanted.clone();
    cluster.hosts.clear();
    cluster.ssh = ssh.clone();
    for machine in machines {
        let address = IpAddr::V4(machine.address);
        match wanted.host(address) {
            Some(host) => cluster.hosts.push(host.clone()),
            None => cluster.add_hosts(&machine.duty.as_str().into(), [address]),
        }
    }
    for host in &mut cluster.hosts {
        host.ssh = ssh.clone();
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use clusterfile::{MachineSpec, Role};
    use std::net::Ipv4Addr;

    fn wanted(masters: u32, nodes: u32) -> Cluster {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.provider = ProviderName::CONTAINER;
        cluster.machines.masters = Some(MachineSpec::of(masters));
        cluster.machines.nodes = Some(MachineSpec::of(nodes).with_size(None, Some(4)));
        cluster
    }

    #[test]
    fn a_dry_run_names_network_and_hosts() {
        let lines = Container::default().describe(&wanted(1, 2));
        assert_eq!(
            lines,
            [
                "network sealer-shop (bridge, its own subnet)",
                "host shop-master-0 (master): container of sealer-node:bookworm",
                "host shop-node-0 (node): container of sealer-node:bookworm, 4 GiB",
                "host shop-node-1 (node): container of sealer-node:bookworm, 4 GiB",
            ]
        );
    }

    #[test]
    fn hosts_are_filled_in_with_the_key_and_keep_what_was_said() {
        let machine = |duty, index, last| Machine { duty, index, address: Ipv4Addr::new(10, 213, 0, last) };
        let mut wanted = wanted(1, 1);
        wanted.env.set("K", "v");
        wanted.add_hosts(&Role::Node, ["10.213.0.3".parse().unwrap(), "10.213.0.9".parse().unwrap()]);
        wanted.hosts[0].labels.insert("disk".to_owned(), "fast".to_owned());
        let machines = vec![machine(MachineRole::Node, 0, 3), machine(MachineRole::Master, 0, 2)];
        let cluster = filled(&wanted, machines, Path::new("/state/ssh/id_ed25519")).unwrap();
        assert_eq!(cluster.masters().map(|host| host.address.to_string()).collect::<Vec<_>>(), ["10.213.0.2"]);
        assert_eq!(cluster.nodes().map(|host| host.address.to_string()).collect::<Vec<_>>(), ["10.213.0.3"]);
        assert_eq!(cluster.hosts[0].env.get("K"), Some("v"));
        assert_eq!(cluster.hosts[1].labels["disk"], "fast");
        for ssh in cluster.hosts.iter().map(|host| &host.ssh).chain([&cluster.ssh]) {
            assert_eq!((ssh.user.as_str(), ssh.port, &ssh.password), ("root", 22, &None));
            assert_eq!(ssh.private_key.as_deref(), Some("/state/ssh/id_ed25519"));
        }
    }

    #[tokio::test]
    async fn without_an_engine_the_socket_is_named() {
        let state = tempfile::tempdir().unwrap();
        let socket = state.path().join("docker.sock");
        let provider =
            Container::new(ContainerOptions { docker_socket: socket.clone(), ..ContainerOptions::default() });
        let error = provider.provision(&wanted(1, 0), None, &Context::new(state.path(), &|_| ())).await.unwrap_err();
        assert!(matches!(error, Error::NoEngine { .. }));
        assert!(error.to_string().contains(socket.to_str().unwrap()), "{error}");
        assert!(!state.path().join("ssh").exists(), "nothing may be left of a failed start");
    }

    #[tokio::test]
    async fn impossible_wishes_are_refused_before_anybody_is_asked() {
        let (provider, nowhere) = (Container::default(), Path::new("/nowhere"));
        let error = provider.provision(&wanted(0, 1), None, &Context::new(nowhere, &|_| ())).await.unwrap_err();
        assert!(matches!(error, Error::NoMasters { .. }));
        let mut named = wanted(1, 1);
        named.name = "My.Cluster".to_owned();
        let error = provider.provision(&named, None, &Context::new(nowhere, &|_| ())).await.unwrap_err();
        assert!(matches!(error, Error::ClusterName { .. }));
    }
}

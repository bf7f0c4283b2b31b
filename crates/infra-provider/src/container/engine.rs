//! Connects to the container engine and finds a cluster's containers and networks.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bollard::errors::Error as BollardError;
use bollard::models::ContainerSummaryStateEnum as State;
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptions, ListNetworksOptions, RemoveContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use super::isolation::{Isolation, bounding_set};
use super::machine::{CLUSTER_LABEL, Machine};
use super::subnet::{self, Subnet};
use crate::{Error, Result};

/// How long one request to the engine may take, in seconds.
const REQUEST_SECONDS: u64 = 120;

/// A connection to the engine, and what was learnt about the machine it runs on.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    /// How hosts get their rights; corrected when the engine refuses.
    isolation: Mutex<Isolation>,
    /// Where this machine's IPv4 routes lead.
    pub(super) routes: Vec<Subnet>,
    /// Whether `/lib/modules` exists, so that hosts can look into it.
    pub(super) modules: bool,
    /// Whether `/dev/kmsg` exists, which kubelet reads.
    pub(super) kmsg: bool,
}

/// A container found by its cluster label.
#[derive(Debug)]
pub(super) struct FoundContainer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: State,
}

/// A network of the cluster.
#[derive(Debug, Clone)]
pub(super) struct FoundNetwork {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) subnet: Option<Subnet>,
}

impl Engine {
    /// Connects to the engine at `socket`.
    pub(super) async fn connect(socket: &Path) -> Result<Self> {
        let no_engine = |source: crate::Cause| Error::NoEngine { socket: socket.to_owned(), source };
        // bollard would only say "client error (Connect)"; the kernel's own answer is what helps.
        let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
            ErrorKind::PermissionDenied => Error::EngineDenied { socket: socket.to_owned(), source },
            _ => no_engine(source.into()),
        })?;
        let daemon = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
        drop(stream);

        let path = socket.to_str().ok_or_else(|| no_engine("its path is not valid UTF-8".into()))?;
        let docker = Docker::connect_with_unix(path, REQUEST_SECONDS, API_DEFAULT_VERSION)
            .map_err(|source| no_engine(source.into()))?
            .negotiate_version()
            .await
            .map_err(|source| no_engine(source.into()))?;
        let info = docker.info().await.map_err(|source| no_engine(source.into()))?;
        if info.security_options.iter().flatten().any(|option| option.contains("name=rootless")) {
            return Err(Error::EngineRootless { socket: socket.to_owned() });
        }
        let observed = spawn_blocking(move || Observed::now(daemon));
        let observed = observed.await.map_err(|_| Error::Interrupted { act: "looking at this machine" })?;
        Ok(Self {
            docker,
            isolation: Mutex::new(Isolation::for_bounding_set(observed.capabilities)),
            routes: observed.routes,
            modules: observed.modules,
            kmsg: observed.kmsg,
        })
    }

    /// The way hosts get their rights, as far as is known by now.
    pub(super) fn isolation(&self) -> Isolation {
        self.isolation.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Remembers that a privileged start was refused.
    pub(super) fn restrict(&self) {
        *self.isolation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Isolation::restricted();
    }

    /// All containers that carry the label of `cluster`, running or not, and which host each is: an error where the
    /// other labels are not ours.
    pub(super) async fn containers(&self, cluster: &str) -> Result<Vec<(Result<Machine>, FoundContainer)>> {
        let options = ListContainersOptions { all: true, filters: Some(of_cluster(cluster)), ..Default::default() };
        let containers = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(failed("listing the hosts of cluster", cluster))?;
        let found = containers.into_iter().map(|container| {
            let id = container.id.unwrap_or_default();
            let name = container
                .names
                .iter()
                .flatten()
                .next()
                .map_or(id.clone(), |name| name.trim_start_matches('/').to_owned());
            let machine = Machine::from_labels(&name, &container.labels.unwrap_or_default());
            let state = container.state.unwrap_or(State::EMPTY);
            (machine, FoundContainer { id, name, state })
        });
        Ok(found.collect())
    }

    /// The networks that carry the label of `cluster`; normally one or none.
    pub(super) async fn networks(&self, cluster: &str) -> Result<Vec<FoundNetwork>> {
        self.list_networks(Some(of_cluster(cluster)), cluster).await
    }

    /// Every network of the engine.
    pub(super) async fn all_networks(&self, cluster: &str) -> Result<Vec<FoundNetwork>> {
        self.list_networks(None, cluster).await
    }

    async fn list_networks(&self, filters: Option<Filters>, cluster: &str) -> Result<Vec<FoundNetwork>> {
        let networks = self
            .docker
            .list_networks(Some(ListNetworksOptions { filters }))
            .await
            .map_err(failed("listing the networks for cluster", cluster))?;
        let found = networks.into_iter().map(|network| {
            let config = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            let subnet = config.iter().find_map(|config| config.subnet.as_deref()?.parse().ok());
            FoundNetwork { id: network.id.unwrap_or_default(), name: network.name.unwrap_or_default(), subnet }
        });
        Ok(found.collect())
    }

    /// The ids of the containers that are attached to a network right now.
    pub(super) async fn attached(&self, network: &FoundNetwork) -> Result<Vec<String>> {
        match self.docker.inspect_network(&network.id, None::<InspectNetworkOptions>).await {
            Ok(inspected) => Ok(inspected.containers.unwrap_or_default().into_keys().collect()),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(failed("inspecting network", &network.name)(error)),
        }
    }

    /// Removes a container by force, with its anonymous volumes. One that is gone already is no error.
    pub(super) async fn remove_container(&self, id: &str, name: &str) -> Result<()> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match self.docker.remove_container(id, Some(options)).await {
            Err(error) if !is_absent(&error) => Err(failed("removing host", name)(error)),
            _ => Ok(()),
        }
    }
}

/// Turns the engine's answer into an error that names the act and its object.
pub(super) fn failed(act: &'static str, object: &str) -> impl FnOnce(BollardError) -> Error + use<> {
    let object = object.to_owned();
    move |source| Error::Engine { act, object, source: source.into() }
}

/// Whether the engine says that the object does not exist.
pub(super) fn is_absent(error: &BollardError) -> bool {
    status(error) == Some(404)
}

/// The HTTP status the engine answered with.
pub(super) fn status(error: &BollardError) -> Option<u16> {
    match error {
        BollardError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub(super) type Filters = HashMap<String, Vec<String>>;

/// The filter that finds what belongs to `cluster`.
pub(super) fn of_cluster(cluster: &str) -> Filters {
    HashMap::from([("label".to_owned(), vec![format!("{CLUSTER_LABEL}={cluster}")])])
}

/// What is learnt from the machine's own files.
#[derive(Debug)]
struct Observed {
    capabilities: Option<u64>,
    routes: Vec<Subnet>,
    modules: bool,
    kmsg: bool,
}

impl Observed {
    fn now(daemon: Option<i32>) -> Self {
        // The process behind the socket is the engine, or the init that opened the socket for it; in another process
        // namespace it has no number here. Then the first start shows what is possible.
        let status = daemon.filter(|pid| *pid > 0).and_then(|pid| head(&PathBuf::from(format!("/proc/{pid}/status"))));
        Self {
            capabilities: status.as_deref().and_then(bounding_set),
            routes: head(Path::new("/proc/net/route")).map(|table| subnet::routed(&table)).unwrap_or_default(),
            modules: Path::new("/lib/modules").is_dir(),
            kmsg: Path::new("/dev/kmsg").exists(),
        }
    }
}

/// The first mebibyte of a text file, if it can be read.
fn head(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}

//! Holds what the workflows work with: stores, providers, runtimes, connections, credentials.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloudimage::{Image, ImageSource, Images, LinuxSandbox, Sandbox};
use clusterfile::{Cluster, ProviderName};
use infra_provider::Provider;
use registry_client::Registry;
use runtime::Runtime;

use crate::{Connector, Error, SshConnector, State};

/// The label by which an image names the runtime it wants (upstream sealer, v0.9 and later).
const RUNTIME_LABEL: &str = "cluster.alpha.sealer.io/cluster-runtime-type";

/// Annotation of a remembered Clusterfile: the runtime that made the cluster.
pub(crate) const RUNTIME_ANNOTATION: &str = "sealer.io/runtime";

/// Everything a [`Sealer`] must be told; nothing is read from environment or home.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where images and contents are kept, for example `/var/lib/sealer`.
    pub root: PathBuf,
    /// Where the states of clusters are kept, for example `~/.sealer`.
    pub state: PathBuf,
    /// The static sealer binary that is sent to hosts; by default this program.
    pub binary: Option<PathBuf>,
    /// How hosts are reached.
    pub ssh: SshSettings,
    /// How registries are reached.
    pub registry: registry_client::Options,
}

impl Settings {
    /// Settings with these two roots and defaults for the rest.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            state: state.into(),
            binary: None,
            ssh: SshSettings::default(),
            registry: registry_client::Options::default(),
        }
    }
}

/// How hosts are reached over SSH, apart from what the Clusterfile says.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// Private keys to try when the Clusterfile names none.
    pub keys: Vec<PathBuf>,
    /// Socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// Files of known host keys, read only, besides the cluster's own.
    pub known_hosts: Vec<PathBuf>,
    /// How long connecting and logging in may take.
    pub timeout: Duration,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self { keys: Vec::new(), agent: None, known_hosts: Vec::new(), timeout: Duration::from_secs(20) }
    }
}

/// The stores, providers and runtimes that the workflows use.
#[derive(Debug)]
pub struct Sealer {
    settings: Settings,
    images: Images,
    state: State,
    registry: Arc<dyn Registry>,
    sandbox: Arc<dyn Sandbox>,
    image_sources: Vec<Arc<dyn ImageSource>>,
    connector: Arc<dyn Connector>,
    providers: Vec<Arc<dyn Provider>>,
    runtimes: Vec<Arc<dyn Runtime>>,
}

impl Sealer {
    /// Opens the stores; registers the kubeadm runtime and the BAREMETAL provider.
    ///
    /// # Errors
    ///
    /// When a store cannot be opened or made, or the registry settings are wrong.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let images = Images::open(&settings.root)?;
        let registry: Arc<dyn Registry> = Arc::new(registry_client::Https::new(settings.registry.clone())?);
        Ok(Self {
            images,
            state: State::new(&settings.state),
            registry,
            sandbox: Arc::new(LinuxSandbox),
            image_sources: Vec::new(),
            connector: Arc::new(SshConnector::new(settings.ssh.clone())),
            providers: vec![Arc::new(infra_provider::BareMetal)],
            runtimes: vec![Arc::new(runtime::Kubeadm)],
            settings,
        })
    }

    /// Adds a provider; one of the same name that was there before is replaced.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.retain(|known| known.name() != provider.name());
        self.providers.push(provider);
        self
    }

    /// Adds a runtime; one of the same name that was there before is replaced.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtimes.retain(|known| known.name() != runtime.name());
        self.runtimes.push(runtime);
        self
    }

    /// Uses another way to reach registries.
    #[must_use]
    pub fn with_registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = registry;
        self
    }

    /// Runs the commands of RUN in another sandbox.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: Arc<dyn Sandbox>) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Adds a source that names container images to carry, besides the image lists of each build.
    #[must_use]
    pub fn with_image_source(mut self, source: Arc<dyn ImageSource>) -> Self {
        self.image_sources.push(source);
        self
    }

    /// Reaches hosts in another way.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = connector;
        self
    }

    /// The cluster images of this machine.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The states of clusters.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What this was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn registry(&self) -> &dyn Registry {
        self.registry.as_ref()
    }

    pub(crate) fn sandbox(&self) -> &dyn Sandbox {
        self.sandbox.as_ref()
    }

    pub(crate) fn image_sources(&self) -> impl Iterator<Item = &dyn ImageSource> {
        self.image_sources.iter().map(AsRef::as_ref)
    }

    pub(crate) fn connector(&self) -> &dyn Connector {
        self.connector.as_ref()
    }

    /// The program that is sent to hosts.
    pub(crate) fn binary(&self) -> Result<PathBuf, Error> {
        match &self.settings.binary {
            Some(binary) => Ok(binary.clone()),
            None => std::env::current_exe().map_err(|source| Error::State {
                act: "find",
                path: PathBuf::from("/proc/self/exe"),
                source,
            }),
        }
    }

    /// The name of the registered provider that a user means; upper and lower case do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProvider`] when there is none.
    pub fn provider_name(&self, given: &str) -> Result<ProviderName, Error> {
        let names = || self.providers.iter().map(|provider| provider.name());
        names().find(|name| name.as_str().eq_ignore_ascii_case(given)).cloned().ok_or_else(|| {
            let known: Vec<&str> = names().map(ProviderName::as_str).collect();
            let known = match known.split_last() {
                Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                _ => known.concat(),
            };
            Error::UnknownProvider { given: given.to_owned(), known }
        })
    }

    pub(crate) fn provider_for(&self, cluster: &Cluster) -> Result<&dyn Provider, Error> {
        let known = self.providers.iter().find(|provider| *provider.name() == cluster.provider);
        known.map(AsRef::as_ref).ok_or_else(|| Error::NoProvider { kind: cluster.provider.to_string() })
    }

    pub(crate) fn runtime_for(&self, image: &Image) -> Result<&dyn Runtime, Error> {
        let name = image.labels().get(RUNTIME_LABEL).map_or("kubernetes", String::as_str);
        let known = self.runtimes.iter().find(|runtime| runtime.name() == name);
        known.map(AsRef::as_ref).ok_or_else(|| Error::NoRuntime { image: image.name(), runtime: name.to_owned() })
    }

    /// The runtime that made a cluster, as its Clusterfile remembers.
    pub(crate) fn runtime_of(&self, cluster: &Cluster) -> Result<&dyn Runtime, Error> {
        let name = cluster.annotations.get(RUNTIME_ANNOTATION).map_or("kubernetes", String::as_str);
        let known = self.runtimes.iter().find(|runtime| runtime.name() == name);
        known
            .map(AsRef::as_ref)
            .ok_or_else(|| Error::NoRuntime { image: cluster.image.clone(), runtime: name.to_owned() })
    }
}

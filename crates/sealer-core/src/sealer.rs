//! Holds what the workflows work with: stores, providers, runtimes, connections, credentials.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloudimage::{ImageSource, Images, LinuxSandbox, Sandbox};
use content_store::DefaultRegistry;
use registry_client::Registry;

use crate::Error;
#[cfg(feature = "cluster")]
use crate::plugins::Plugins;

/// Everything a [`Sealer`] must be told; nothing is read from environment or home.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where images and contents are kept, for example `/var/lib/sealer`.
    pub root: PathBuf,
    /// Where the states of clusters are kept, for example `~/.sealer`.
    pub state: PathBuf,
    /// The static sealer binary that is sent to hosts; by default this program.
    pub binary: Option<PathBuf>,
    /// Static sealer binaries for hosts with another processor than `binary` is for; what each is for is read from it.
    pub foreign_binaries: Vec<PathBuf>,
    /// Directories that the commands of RUN see empty, besides `root` and `state`: the caller's home.
    pub hidden_from_run: Vec<PathBuf>,
    /// How hosts are reached.
    pub ssh: SshSettings,
    /// How registries are reached.
    pub registry: registry_client::Options,
    /// Where image names without a registry are looked for, after the images of this machine.
    pub default_registry: DefaultRegistry,
}

impl Settings {
    /// Settings with these two roots and defaults for the rest.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            state: state.into(),
            binary: None,
            foreign_binaries: Vec::new(),
            hidden_from_run: Vec::new(),
            ssh: SshSettings::default(),
            registry: registry_client::Options::default(),
            default_registry: DefaultRegistry::default(),
        }
    }

    fn private_directories(&self) -> impl Iterator<Item = PathBuf> {
        self.hidden_from_run.iter().chain([&self.root, &self.state]).cloned()
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
    /// What happens with host keys that the files do not know.
    #[cfg(feature = "cluster")]
    pub strict_host_key: remote::StrictHostKey,
    /// How long connecting and logging in may take.
    pub timeout: Duration,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            agent: None,
            known_hosts: Vec::new(),
            #[cfg(feature = "cluster")]
            strict_host_key: remote::StrictHostKey::default(),
            timeout: Duration::from_secs(20),
        }
    }
}

/// The stores, providers and runtimes that the workflows use.
#[derive(Debug)]
pub struct Sealer {
    settings: Settings,
    images: Images,
    registry: Arc<dyn Registry>,
    /// The same without mirrors: what is pushed must be at the registry itself.
    registry_itself: Arc<dyn Registry>,
    sandbox: Arc<dyn Sandbox>,
    image_sources: Vec<Arc<dyn ImageSource>>,
    #[cfg(feature = "cluster")]
    pub(crate) plugins: Plugins,
}

impl Sealer {
    /// Opens the stores. With the feature `cluster`, the provider BAREMETAL and the runtime kubeadm are registered.
    ///
    /// # Errors
    ///
    /// When a store cannot be opened or made, or the registry settings are wrong.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let images = Images::open(&settings.root)?.with_default_registry(settings.default_registry.clone());
        let registry: Arc<dyn Registry> = Arc::new(registry_client::Https::new(settings.registry.clone())?);
        let mut without_mirrors = settings.registry.clone();
        without_mirrors.mirrors.clear();
        Ok(Self {
            images,
            registry,
            registry_itself: Arc::new(registry_client::Https::new(without_mirrors)?),
            sandbox: Arc::new(LinuxSandbox::hiding(settings.private_directories())),
            image_sources: Vec::new(),
            #[cfg(feature = "cluster")]
            plugins: Plugins::new(&settings),
            settings,
        })
    }

    /// Sends another static binary to hosts; see [`Settings::binary`].
    #[must_use]
    pub fn with_binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.settings.binary = Some(binary.into());
        self
    }

    /// Sends this static binary to hosts of the processor that it is for; see [`Settings::foreign_binaries`].
    #[must_use]
    pub fn with_foreign_binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.settings.foreign_binaries.push(binary.into());
        self
    }

    /// Uses another way to reach registries, to read and to write; it must answer for itself, not for mirrors.
    #[must_use]
    pub fn with_registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry_itself = registry.clone();
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

    /// The cluster images of this machine.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// What this was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// Registries as they are, whatever their mirrors have.
    pub(crate) fn registry_itself(&self) -> &dyn Registry {
        self.registry_itself.as_ref()
    }

    #[cfg(feature = "build")]
    pub(crate) fn sandbox(&self) -> &dyn Sandbox {
        self.sandbox.as_ref()
    }

    #[cfg(feature = "build")]
    pub(crate) fn image_sources(&self) -> impl Iterator<Item = &dyn ImageSource> {
        self.image_sources.iter().map(AsRef::as_ref)
    }
}

//! The providers, runtimes and connections that a [`Sealer`] works with; vendors add theirs here.

use std::path::PathBuf;
use std::sync::Arc;

use cloudimage::Image;
use clusterfile::{Cluster, ProviderName};
use infra_provider::Provider;
use runtime::{ActionHandler, Runtime};

use crate::{Connector, Error, Sealer, Settings, SshConnector, State};

/// The label by which an image names the runtime it wants (upstream sealer, v0.9 and later).
pub(crate) const RUNTIME_LABEL: &str = "cluster.alpha.sealer.io/cluster-runtime-type";

/// Annotation of a remembered Clusterfile: the runtime that made the cluster.
pub(crate) const RUNTIME_ANNOTATION: &str = "sealer.io/runtime";

/// What a [`Sealer`] knows about clusters.
#[derive(Debug)]
pub(crate) struct Plugins {
    state: State,
    connector: Arc<dyn Connector>,
    providers: Vec<Arc<dyn Provider>>,
    runtimes: Vec<Arc<dyn Runtime>>,
    action_handler: Option<Handler>,
}

/// Performs the custom steps of a vendor's runtime.
struct Handler(Arc<dyn ActionHandler>);

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

impl Plugins {
    /// The provider of hosts that exist, and the runtime of kubeadm. This is the only place that names a runtime.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            state: State::new(&settings.state),
            connector: Arc::new(SshConnector::new(settings.ssh.clone())),
            providers: vec![Arc::new(infra_provider::BareMetal)],
            runtimes: vec![Arc::new(runtime::Kubeadm)],
            action_handler: None,
        }
    }
}

impl Sealer {
    /// Adds a provider; one of the same name that was there before is replaced.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.plugins.providers.retain(|known| known.name() != provider.name());
        self.plugins.providers.push(provider);
        self
    }

    /// Adds a runtime; one of the same name that was there before is replaced.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.plugins.runtimes.retain(|known| known.name() != runtime.name());
        self.plugins.runtimes.push(runtime);
        self
    }

    /// Performs the custom steps of a runtime that was added.
    #[must_use]
    pub fn with_action_handler(mut self, handler: Arc<dyn ActionHandler>) -> Self {
        self.plugins.action_handler = Some(Handler(handler));
        self
    }

    pub(crate) fn action_handler(&self) -> Option<&dyn ActionHandler> {
        self.plugins.action_handler.as_ref().map(|handler| handler.0.as_ref())
    }

    /// Reaches hosts in another way.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.plugins.connector = connector;
        self
    }

    /// The states of clusters.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.plugins.state
    }

    pub(crate) fn connector(&self) -> &dyn Connector {
        self.plugins.connector.as_ref()
    }

    /// The program that is sent to hosts.
    pub(crate) fn binary(&self) -> Result<PathBuf, Error> {
        match &self.settings().binary {
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
        let names = || self.plugins.providers.iter().map(|provider| provider.name());
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
        let known = self.plugins.providers.iter().find(|provider| *provider.name() == cluster.provider);
        known.map(AsRef::as_ref).ok_or_else(|| Error::NoProvider { kind: cluster.provider.to_string() })
    }

    pub(crate) fn runtime_for(&self, image: &Image) -> Result<&dyn Runtime, Error> {
        let name = image.labels().get(RUNTIME_LABEL).map_or("kubernetes", String::as_str);
        let known = self.plugins.runtimes.iter().find(|runtime| runtime.name().as_str() == name);
        known.map(AsRef::as_ref).ok_or_else(|| Error::NoRuntime { image: image.name(), runtime: name.to_owned() })
    }

    /// The runtime that made a cluster, as its Clusterfile remembers.
    pub(crate) fn runtime_of(&self, cluster: &Cluster) -> Result<&dyn Runtime, Error> {
        let name = cluster.annotations.get(RUNTIME_ANNOTATION).map_or("kubernetes", String::as_str);
        let known = self.plugins.runtimes.iter().find(|runtime| runtime.name().as_str() == name);
        known
            .map(AsRef::as_ref)
            .ok_or_else(|| Error::NoRuntime { image: cluster.image.clone(), runtime: name.to_owned() })
    }
}

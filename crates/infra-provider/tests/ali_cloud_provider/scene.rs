//! Sets up a test of the provider: a test double, a state directory, paused time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_double::{Double, Options};
use clusterfile::{Cluster, MachineSpec, ProviderName};
use http::{Request, Response};
use infra_provider::ali_cloud::api::{AccessKey, Credentials, Transport, TransportFailure, WallClock};
use infra_provider::ali_cloud::{AliCloud, AliCloudOptions};
use infra_provider::{Context, PendingUpdate, Provider, ProviderEvent, Provisioned, Release, Result};
use tempfile::TempDir;
use tokio::time::timeout;

/// The stand-in as the provider reaches it.
#[derive(Clone)]
struct Wire(Double);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request<Bytes>, after: Duration) -> Result<Response<Bytes>, TransportFailure> {
        let host = "double".to_owned();
        match timeout(after, self.0.handle(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(lost)) => Err(TransportFailure::Interrupted { host, source: lost.into() }),
            Err(_) => Err(TransportFailure::TimedOut { host, after }),
        }
    }
}

/// The time of day at which every test begins.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_000_000)
}

/// Options of a stand-in whose clock is right.
pub(crate) fn cloud() -> Options {
    Options { wall_start: start(), ..Options::default() }
}

/// A cloud and an operator's machine.
pub(crate) struct Scene {
    pub(crate) double: Double,
    pub(crate) state: TempDir,
    began: SystemTime,
    origin: tokio::time::Instant,
    pub(crate) events: Mutex<Vec<ProviderEvent>>,
    remembered: Mutex<Option<Cluster>>,
}

impl Scene {
    pub(crate) fn new(options: Options) -> Self {
        let began = options.wall_start;
        Self {
            double: Double::new(options),
            state: tempfile::tempdir().unwrap(),
            began,
            origin: tokio::time::Instant::now(),
            events: Mutex::default(),
            remembered: Mutex::default(),
        }
    }

    pub(crate) fn wire(&self) -> Arc<dyn Transport> {
        Arc::new(Wire(self.double.clone()))
    }

    /// The right time of day.
    pub(crate) fn clock(&self) -> WallClock {
        WallClock::starting_at(self.began + self.origin.elapsed())
    }

    pub(crate) fn provider(&self) -> AliCloud {
        self.provider_with(|_| ())
    }

    pub(crate) fn provider_with(&self, change: impl FnOnce(&mut AliCloudOptions)) -> AliCloud {
        let mut options = AliCloudOptions::new(self.wire());
        options.credentials = Some(Credentials::Key(AccessKey::new("testid", "testsecret")));
        options.clock = self.clock();
        options.admin_cidrs = vec!["203.0.113.7/32".to_owned()];
        change(&mut options);
        AliCloud::new(options)
    }

    pub(crate) async fn provision(&self, wanted: &Cluster) -> Result<Cluster> {
        self.provision_by(&self.provider(), wanted).await
    }

    pub(crate) async fn provision_by(&self, provider: &AliCloud, wanted: &Cluster) -> Result<Cluster> {
        let Provisioned { cluster, updates, .. } = self.provisioned_by(provider, wanted).await?;
        assert_eq!(updates, [], "nothing is to be changed");
        Ok(cluster)
    }

    /// Hosts, and machines that have another size.
    pub(crate) async fn provisioned(&self, wanted: &Cluster) -> Result<Provisioned> {
        self.provisioned_by(&self.provider(), wanted).await
    }

    async fn provisioned_by(&self, provider: &AliCloud, wanted: &Cluster) -> Result<Provisioned> {
        let events = |event| self.events.lock().unwrap().push(event);
        let provisioned = provider.provision(wanted, None, &Context::new(self.state.path(), &events)).await?;
        *self.remembered.lock().unwrap() = Some(provisioned.cluster.clone());
        Ok(provisioned)
    }

    /// Changes one machine; nobody has drained its host.
    pub(crate) async fn update(&self, cluster: &Cluster, update: &PendingUpdate) -> Result<()> {
        let events = |event| self.events.lock().unwrap().push(event);
        self.provider().update(cluster, update.host, &Context::new(self.state.path(), &events)).await
    }

    /// The host has its pods back.
    pub(crate) async fn updated(&self, cluster: &Cluster, update: &PendingUpdate) -> Result<()> {
        let context = Context::new(self.state.path(), &|_| ());
        self.provider().updated(cluster, update.host, &context).await
    }

    /// Hosts of the wanted size, changed one after the other.
    pub(crate) async fn resize(&self, wanted: &Cluster) -> Result<Cluster> {
        let Provisioned { cluster, updates, .. } = self.provisioned(wanted).await?;
        for update in updates {
            self.update(&cluster, &update).await?;
            self.updated(&cluster, &update).await?;
        }
        Ok(cluster)
    }

    pub(crate) async fn delete(&self, cluster: &Cluster) -> Result<()> {
        self.release(cluster, Release::All).await
    }

    pub(crate) async fn release(&self, cluster: &Cluster, hosts: Release) -> Result<()> {
        let events = |event| self.events.lock().unwrap().push(event);
        self.provider().release(cluster, hosts, &Context::new(self.state.path(), &events)).await
    }

    /// Frees what can be found of the cluster by its name alone.
    pub(crate) async fn find_and_delete(&self, name: &str) -> Result<()> {
        let events = |event| self.events.lock().unwrap().push(event);
        let context = Context::new(self.state.path(), &events);
        match self.provider().find(name, &context).await? {
            Some(found) => self.provider().release(&found, Release::All, &context).await,
            None => Ok(()),
        }
    }

    /// The disk of the operator's machine is lost.
    pub(crate) fn lose_state(&mut self) {
        self.state = tempfile::tempdir().unwrap();
    }

    /// The record of the cloud is lost; keys and Clusterfile are not.
    pub(crate) fn lose_record(&self) {
        let _ = std::fs::remove_file(self.state.path().join("ali-cloud.json"));
    }

    /// The cluster as its caller saved it: as it was returned last, if it ever was.
    pub(crate) fn saved(&self) -> Option<Cluster> {
        self.remembered.lock().unwrap().clone()
    }

    /// Nothing is left of what was made, and nothing of the user's was touched.
    pub(crate) fn assert_empty(&self, when: &str) {
        assert_eq!(self.double.leftovers(), [""; 0], "left over, {when}:\n{}", self.log().join("\n"));
        assert_eq!(self.double.violations(), [""; 0], "{when}");
    }

    /// Actions and verdicts so far, a line each.
    pub(crate) fn log(&self) -> Vec<String> {
        let line =
            |call: &cloud_double::Call| format!("{:.2} {} {:?}", call.at.as_secs_f64(), call.action, call.verdict);
        self.double.calls().iter().map(line).collect()
    }
}

/// So many masters and nodes.
pub(crate) fn wanted(masters: u32, nodes: u32) -> Cluster {
    let mut cluster = Cluster::new("shop", "shop:1.4");
    cluster.provider = ProviderName::ALI_CLOUD;
    cluster.machines.masters = Some(MachineSpec::of(masters));
    cluster.machines.nodes = (nodes > 0).then(|| MachineSpec::of(nodes));
    cluster
}

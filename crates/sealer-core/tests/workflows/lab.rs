//! A Sealer whose hosts are directories, whose provider counts its calls, and whose runtime runs a script or two.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use registry_client::Memory;
use registry_client::contract::Fixture;
use sealer_core::cloudimage::Platform;
use sealer_core::clusterfile::{Cluster, Clusterfile, Host, MachineSpec, ProviderName, Role};
use sealer_core::infra_provider::testing::Counting;
use sealer_core::runtime::{
    self, Access, Content, Custom, Facts, Finding, HostChange, ImageContents, Marker, MarkerState, Plan, PlannedHost,
    Request, Requirements, Runtime, RuntimeName, Step,
};
use sealer_core::testing::Directories;
use sealer_core::{
    Applied, ApplyOptions, BuildRequest, Consent, Error, Event, Planned, Sealer, Settings, Wanted, build,
};
use tempfile::TempDir;

/// Installs every host that is not finished and can be asked, drains those whose machines change, and removes those that
/// leave: on the host where it can be reached, and otherwise on a master.
#[derive(Debug)]
pub(crate) struct Lab(RuntimeName);

impl Runtime for Lab {
    fn name(&self) -> &RuntimeName {
        &self.0
    }
    fn requirements(&self) -> Requirements {
        Requirements::default().with_admin_kubeconfig("/etc/kubernetes/admin.conf")
    }
    fn supports(&self, _: &Clusterfile, _: &ImageContents) -> Result<(), runtime::Error> {
        Ok(())
    }
    fn preflight(&self, request: &Request<'_>) -> Vec<Finding> {
        let full = |facts: &Facts, host: &IpAddr| facts.hosts[host].disk_free == 0;
        let hosts = request.facts.hosts.keys().filter(|host| full(request.facts, host));
        hosts.map(|host| Finding::new(*host, "the disk is full", "free some space")).collect()
    }
    fn plan(&self, request: &Request<'_>) -> Result<Plan, runtime::Error> {
        let mut plan = Plan::new(&request.cluster().name);
        let image = request.payload.image;
        let rootfs = runtime::paths::rootfs(&request.cluster().name);
        let asked = |host: &&Host| request.facts.hosts.contains_key(&host.address);
        for host in request.cluster().hosts.iter().filter(asked).filter(|host| !request.is_finished(host.address)) {
            let [content, install, finish] =
                ["content", "install", "finish"].map(|id| format!("{id}@{}", host.address));
            let only = [host.address];
            plan.hosts.push(PlannedHost::new(host.address, HostChange::Join, "node"));
            let mut delivered = Content::new(&image.digest, &rootfs, request.image_for(host.address).rootfs_bytes);
            if host.is_master() {
                let others = image.others.iter().map(|other| &other.platform);
                delivered = delivered.with_carried_images().with_platforms(others);
            }
            plan.steps.push(Step::content(content, only, delivered));
            plan.steps.push(Step::run(install, only, "true install"));
            plan.steps.push(Step::write(finish, only, vec![Marker::new(request, host, MarkerState::Ready).file()]));
        }
        for update in request.updates {
            let (host, id) = ([update.host], |step: &str| format!("{step}@{}", update.host));
            plan.hosts.push(PlannedHost::new(update.host, HostChange::Alter, "node"));
            plan.steps.push(Step::run(id("drain"), host, "true drain"));
            let change = Custom::new(Custom::MACHINE_CHANGE, &update.summary);
            plan.steps.push(Step::custom(id("machine"), host, change).after([id("drain")]));
            plan.steps.push(Step::run(id("uncordon"), host, "true uncordon").after([id("machine")]));
        }
        for (host, _) in request.leaving() {
            let data = runtime::paths::data(&request.cluster().name);
            plan.hosts.push(PlannedHost::new(host, HostChange::Leave, "node"));
            plan.steps.push(Step::run(format!("remove@{host}"), [host], format!("true remove; rm -rf {data}")));
        }
        let master = request.cluster().masters().map(|host| host.address).find(|host| request.was_finished(*host));
        for host in request.facts.unreachable.keys().filter(|host| request.cluster().host(**host).is_none()) {
            plan.hosts.push(PlannedHost::new(*host, HostChange::Leave, "node"));
            let drain = request.drain;
            let script = format!("true forget {host} within {} force {}", drain.timeout_seconds, drain.force);
            plan.steps.extend(master.map(|master| Step::run(format!("forget@{host}"), [master], script)));
        }
        Ok(plan)
    }
    fn access(&self, _: &Request<'_>) -> Result<Access, runtime::Error> {
        Ok(Access::none())
    }
}

/// Everything that a test works with.
pub(crate) struct Bench {
    pub(crate) sealer: Sealer,
    pub(crate) hosts: Directories,
    pub(crate) provider: Arc<Counting>,
    pub(crate) events: Mutex<Vec<Event>>,
    /// Removed when the test ends.
    pub(crate) directory: TempDir,
}

impl Bench {
    /// With an image `lab:1` for the runtime above.
    pub(crate) async fn new() -> Self {
        Self::with_image("lab").await
    }

    /// With an image `lab:1` for a runtime of this name.
    pub(crate) async fn with_image(runtime: &str) -> Self {
        Self::of(runtime, None, Vec::new()).await
    }

    /// With an image `lab:1` that carries this container image.
    pub(crate) async fn carrying(carried: &Fixture) -> Self {
        Self::of("lab", Some(carried), Vec::new()).await
    }

    /// With an image `lab:1` for these platforms, in whose rootfs `who` names the one that it is for.
    pub(crate) async fn with_platforms(runtime: &str, platforms: Vec<Platform>) -> Self {
        Self::of(runtime, None, platforms).await
    }

    async fn of(runtime: &str, carried: Option<&Fixture>, platforms: Vec<Platform>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("context/scripts")).unwrap();
        std::fs::write(path("context/scripts/a.sh"), "true").unwrap();
        std::fs::write(path("binary"), "#!/bin/sh\n").unwrap();
        let (hosts, provider) = (Directories::new(path("hosts")), Arc::new(Counting::default()));
        let sealer = Sealer::open(Settings::new(path("root"), path("state"))).unwrap();
        let sealer = sealer.with_connector(Arc::new(hosts.clone())).with_provider(provider.clone());
        let sealer = sealer.with_runtime(Arc::new(Lab("lab".parse().unwrap()))).with_binary(path("binary"));
        let mut kubefile = String::new();
        let registry = Memory::default();
        if let Some(carried) = carried {
            carried.fill(&registry);
            std::fs::create_dir_all(path("context/manifests")).unwrap();
            std::fs::write(path("context/manifests/imageList"), carried.image.to_string()).unwrap();
            kubefile = "COPY manifests manifests\n".to_owned();
        }
        let sealer = sealer.with_registry(Arc::new(registry));
        let label = format!("LABEL cluster.alpha.sealer.io/cluster-runtime-type={runtime}");
        let who = "COPY <<who ./\n$ARCH\nwho\n";
        let kubefile = format!("FROM scratch\n{label}\nCOPY scripts scripts\n{who}{kubefile}");
        let mut request = BuildRequest::new(kubefile, path("context"));
        request.options.platforms = platforms;
        request.options.tag = Some("lab:1".to_owned());
        build(&sealer, &request, &|_| ()).await.unwrap();
        Self { sealer, hosts, provider, events: Mutex::default(), directory }
    }

    /// Without consent: no host may leave.
    pub(crate) async fn apply(&self, wanted: &Clusterfile) -> Result<Applied, Error> {
        self.apply_by(wanted.clone(), &ApplyOptions::default()).await
    }

    /// Hosts may leave.
    pub(crate) async fn change(&self, wanted: impl Into<Wanted>) -> Result<Applied, Error> {
        self.apply_by(wanted, &agreed()).await
    }

    pub(crate) async fn apply_by(&self, wanted: impl Into<Wanted>, options: &ApplyOptions) -> Result<Applied, Error> {
        let tell = |event| self.events.lock().unwrap().push(event);
        sealer_core::apply(&self.sealer, wanted, options, &tell).await
    }

    pub(crate) async fn plan(&self, wanted: &Clusterfile) -> Result<Planned, Error> {
        sealer_core::plan(&self.sealer, wanted.clone(), &ApplyOptions::default(), &|_| ()).await
    }

    pub(crate) async fn delete(&self, ignore_unreachable: bool) -> Result<sealer_core::Deleted, Error> {
        let mut apply = agreed();
        apply.ignore_unreachable = ignore_unreachable;
        let options = sealer_core::DeleteOptions { apply, ..Default::default() };
        sealer_core::delete(&self.sealer, "shop", &options, &|_| ()).await
    }

    /// What deleting would do.
    pub(crate) async fn plan_delete(&self, ignore_unreachable: bool) -> Result<Planned, Error> {
        let mut options = sealer_core::DeleteOptions::default();
        options.apply.ignore_unreachable = ignore_unreachable;
        sealer_core::plan_delete(&self.sealer, "shop", &options, &|_| ()).await
    }

    /// The whole file that is remembered of the cluster.
    pub(crate) fn file(&self) -> Clusterfile {
        self.sealer.state().clusterfile("shop").unwrap().unwrap()
    }

    /// Addresses of the hosts that are remembered.
    pub(crate) fn hosts(&self) -> Vec<IpAddr> {
        self.remembered().unwrap().hosts.iter().map(|host| host.address).collect()
    }

    /// What is remembered of the cluster.
    pub(crate) fn remembered(&self) -> Option<Cluster> {
        self.sealer.state().clusterfile("shop").unwrap().map(|file| file.cluster)
    }

    pub(crate) fn is_installed(&self, host: IpAddr) -> bool {
        self.hosts.of(host).join("data/shop/host.json").is_file()
    }
}

/// Options of an operator who lets any host go.
pub(crate) fn agreed() -> ApplyOptions {
    let mut options = ApplyOptions::default();
    options.consent = Consent::given();
    options
}

pub(crate) fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// A master and a node that exist.
pub(crate) fn listed() -> Clusterfile {
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.add_hosts(&Role::Master, [address(1)]);
    cluster.add_hosts(&Role::Node, [address(2)]);
    cluster.into()
}

/// A master and nodes that the counting provider makes: 192.0.2.1 and so on.
pub(crate) fn counted(nodes: u32) -> Clusterfile {
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.provider = ProviderName::CONTAINER;
    cluster.machines.masters = Some(MachineSpec::of(1));
    cluster.machines.nodes = Some(MachineSpec::of(nodes));
    cluster.into()
}

pub(crate) fn made(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

//! How does a vendor make an installer of their own: own provider, own runtime, own command?
//!
//! `cargo run --example custom-installer -- inventory`, and every command of sealer besides.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // A program, not a library.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use sealer::sealer_core::clusterfile::{Cluster, ProviderName, Role};
use sealer::sealer_core::infra_provider::{self, Context, Provider, Provisioned, Release};
use sealer::sealer_core::runtime::{
    self, Access, Content, Demands, Finding, HostChange, ImageContents, Marker, MarkerState, Plan, PlannedHost,
    Request, Requirements, Run, Runtime, RuntimeName, Step,
};

/// Machines that stand in our rack; the first are masters.
const RACK: [&str; 3] = ["10.1.0.11", "10.1.0.12", "10.1.0.13"];

/// Gives machines of the rack where a Clusterfile lists none.
#[derive(Debug)]
struct Rack;

#[async_trait]
impl Provider for Rack {
    fn name(&self) -> &ProviderName {
        &ProviderName::BAREMETAL
    }

    fn owns_hosts(&self) -> bool {
        false
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        _current: Option<&Cluster>,
        _context: &Context<'_>,
    ) -> infra_provider::Result<Provisioned> {
        let mut cluster = wanted.clone();
        let mut free = RACK.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        if cluster.hosts.is_empty() {
            cluster.add_hosts(&Role::Master, free.by_ref().take(1));
            cluster.add_hosts(&Role::Node, free);
        }
        Ok(cluster.into())
    }

    async fn release(&self, _cluster: &Cluster, _hosts: Release, _context: &Context<'_>) -> infra_provider::Result<()> {
        Ok(()) // The rack stays.
    }

    fn describe(&self, _wanted: &Cluster) -> Vec<String> {
        RACK.iter().map(|address| format!("use {address}")).collect()
    }
}

/// Runs one program on every host: not Kubernetes, but a cluster to its vendor.
#[derive(Debug)]
struct Appliance {
    name: RuntimeName,
}

impl Appliance {
    fn new() -> Self {
        Self { name: "appliance".parse().expect("it is a name") }
    }

    /// Brings the image to hosts that do not have it, starts it, and marks them as done.
    fn install(request: &Request<'_>, plan: &mut Plan) {
        let image = request.payload.image;
        let rootfs = runtime::paths::rootfs(&request.cluster().name);
        let hosts = &request.cluster().hosts;
        for host in hosts.iter().filter(|host| !request.is_finished(host.address)) {
            let step = |id: &str| format!("{id}@{}", host.address);
            let content = Content::new(&image.digest, &rootfs, image.rootfs_bytes);
            let start = Run::new(format!("cd {rootfs} && sh scripts/start.sh")).timeout_seconds(120).show_output();
            plan.hosts.push(PlannedHost::new(host.address, HostChange::Join, "node"));
            plan.steps.extend([
                Step::content(step("content"), [host.address], content).titled("bring content"),
                Step::run(step("start"), [host.address], start).titled("start the appliance"),
                Step::write(
                    step("finish"),
                    [host.address],
                    vec![Marker::new(request, host, MarkerState::Ready).file()],
                ),
            ]);
        }
    }

    /// Stops it on hosts that are not wanted any more, and takes everything away.
    fn remove(request: &Request<'_>, plan: &mut Plan) {
        let data = runtime::paths::data(&request.cluster().name);
        for (host, _) in request.leaving() {
            let script = format!("cd {data}/rootfs && sh scripts/stop.sh; rm -rf {data}");
            plan.hosts.push(PlannedHost::new(host, HostChange::Leave, "node"));
            plan.steps.push(Step::run(format!("remove@{host}"), [host], script).titled("stop the appliance"));
        }
    }
}

impl Runtime for Appliance {
    fn name(&self) -> &RuntimeName {
        &self.name
    }

    fn requirements(&self) -> Requirements {
        Requirements::default()
    }

    fn supports(&self, _cluster: &Cluster, _image: &ImageContents) -> Result<(), runtime::Error> {
        Ok(())
    }

    fn preflight(&self, request: &Request<'_>) -> Vec<Finding> {
        runtime::preflight(request, &Demands::default())
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, runtime::Error> {
        let mut plan = Plan::new(&request.cluster().name);
        Self::install(request, &mut plan);
        Self::remove(request, &mut plan);
        plan.summary = format!("{} hosts change", plan.hosts.len());
        Ok(plan)
    }

    fn access(&self, _request: &Request<'_>) -> Result<Access, runtime::Error> {
        Ok(Access::none())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("inventory") {
        println!("{}", RACK.join("\n"));
        return ExitCode::SUCCESS;
    }
    sealer::run_with(arguments, &|sealer| sealer.with_provider(Arc::new(Rack)).with_runtime(Arc::new(Appliance::new())))
}

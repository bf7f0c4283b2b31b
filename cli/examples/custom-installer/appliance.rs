//! A runtime: one program on every host, and no Kubernetes at all.

use sealer::sealer_core::clusterfile::{Clusterfile, Host};
use sealer::sealer_core::runtime::{
    self, Access, Content, Demands, Finding, HostChange, ImageContents, Marker, MarkerState, Plan, PlannedHost,
    Request, Requirements, Run, Runtime, RuntimeName, Step,
};

/// Runs one program on every host: not Kubernetes, but a cluster to its vendor.
#[derive(Debug)]
pub(crate) struct Appliance {
    name: RuntimeName,
}

impl Appliance {
    pub(crate) fn new() -> Self {
        Self { name: "appliance".parse().expect("it is a name") }
    }

    /// Brings the image to hosts that do not have it, starts it, and marks them as done.
    fn install(request: &Request<'_>, plan: &mut Plan) {
        let image = request.payload.image;
        let rootfs = runtime::paths::rootfs(&request.cluster().name);
        // Hosts that cannot be asked are left out; the next call finds them unfinished.
        let asked = |host: &&Host| request.facts.hosts.contains_key(&host.address);
        let hosts = request.cluster().hosts.iter().filter(asked);
        for host in hosts.filter(|host| !request.is_finished(host.address)) {
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

    fn supports(&self, _wanted: &Clusterfile, _image: &ImageContents) -> Result<(), runtime::Error> {
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

//! The plan that makes a cluster of bare hosts, or finishes one that was begun.

use clusterfile::Host;

use super::config::{self, Documents};
use super::files;
use super::networks::Networks;
use super::version::Version;
use crate::host::{ClusterNetwork, ContainerEngine, ControlPlane, Script, Setup, id};
use crate::{Error, Plan, Request, Step};

/// The image's own script that prepares a host for Kubernetes.
const PREPARE: Script = Script::new(include_str!("scripts/prepare.sh"));

/// Plans a cluster. Hosts that are done are left alone; a cluster that is done gives an empty plan.
pub(super) fn plan(request: &Request<'_>) -> Result<Plan, Error> {
    let create = Create::new(request)?;
    let mut plan = Plan::new(&request.cluster().name);
    if !create.setup.is_initialized() {
        // No pods have to leave, and nothing is installed yet that a restart could disturb.
        create.setup.add_updates(&mut plan);
    }
    // While the API is away with a machine that changes, nothing can be said about the other hosts.
    let returning = request.updates.iter().any(|update| update.begun);
    if !(returning && request.facts.api.is_none() && create.setup.is_initialized()) {
        create.add_hosts(&mut plan)?;
    }
    if create.setup.is_initialized() {
        create.setup.add_updates(&mut plan);
    }
    Ok(plan)
}

/// All that the steps are made of.
#[derive(Debug)]
pub(super) struct Create<'a> {
    pub(super) setup: Setup<'a>,
    pub(super) version: Version,
    pub(super) networks: Networks,
    /// For everything that is the same on all hosts.
    documents: Documents,
}

impl<'a> Create<'a> {
    fn new(request: &Request<'a>) -> Result<Self, Error> {
        let payload = request.payload;
        let control_plane = ControlPlane::of(request.cluster())?;
        super::supports::complete(payload.image)?;
        let engine = ContainerEngine::of_image(payload.image)?;
        let version = config::version(payload.image, &config::asked(request.wanted, payload.image)?)?;
        version.config_api()?;
        let setup = Setup {
            request: *request,
            control_plane,
            engine,
            network: ClusterNetwork::default(),
            functions: super::FUNCTIONS,
            kubeconfig: super::ADMIN_KUBECONFIG,
            version: version.to_string(),
        };
        let mut create = Self {
            setup,
            version,
            networks: Networks::of(request.wanted, payload.image)?,
            documents: Documents::default(),
        };
        create.documents = create.documents_for(create.setup.entry())?;
        create.networks.check(request.cluster(), &create.documents)?;
        create.setup.network = create.documents.network();
        Ok(create)
    }

    /// Adds the steps for all hosts that are not as wanted.
    fn add_hosts(&self, plan: &mut Plan) -> Result<(), Error> {
        let request = &self.setup.request;
        let todo: Vec<&Host> = request.not_done().collect();
        if todo.is_empty() {
            return Ok(());
        }
        let entry = self.setup.entry();
        let (initialize, join): (Vec<&Host>, Vec<&Host>) = todo.iter().partition(|host| host.address == entry.address);
        plan.summary = self.setup.summary(&todo);
        // What joins is said of a host, not that its machine changes before.
        plan.hosts.retain(|planned| todo.iter().all(|host| host.address != planned.address));
        for host in &todo {
            plan.hosts.push(self.setup.planned(host));
            plan.steps.extend(self.prepare(host)?);
        }
        let initialize = !initialize.is_empty();
        let gate = if initialize { self.init()? } else { self.token()? };
        let gate_id = gate.id.clone();
        plan.steps.push(gate);
        if initialize && !self.carries_coredns() {
            plan.notes.push("the image carries no coredns: pods cannot find services by their names".to_owned());
        }
        let joining: Vec<Step> =
            join.iter().map(|host| Ok(self.join(host)?.after([&gate_id]))).collect::<Result<_, Error>>()?;
        let mut joined: Vec<String> = joining.iter().map(|step| step.id.clone()).collect();
        plan.steps.extend(joining);
        plan.steps.extend(self.setup.labels(&todo, &joined)?);
        if initialize {
            // The network may be among what is launched, so nodes become Ready only afterwards.
            let launch = self.setup.launch(&joined);
            if !launch.is_empty() {
                joined.clear();
            }
            plan.steps.extend(launch);
        }
        plan.steps.push(self.setup.wait_ready(&joined)?);
        for host in todo.iter().rev() {
            plan.steps.push(self.setup.finish(host)?);
        }
        Ok(())
    }

    /// Everything on a host before kubeadm.
    fn prepare(&self, host: &Host) -> Result<Vec<Step>, Error> {
        let api = self.version.config_api()?;
        let documents = self.documents_for(host)?;
        let cluster = &self.setup.cluster().name;
        let secrets = self.setup.request.payload.secrets;
        let own = if host.is_master() {
            files::control_plane(cluster, secrets, &documents.init_file(api))?
        } else {
            files::join(cluster, secrets, &documents.join_file(api))
        };
        let mut steps = self.setup.prepare(host, own)?;
        let run = self.setup.run(host, PREPARE);
        steps.push(Step::run(id("init-kube", host.address), [host.address], run).titled("kubernetes"));
        Ok(steps)
    }

    fn carries_coredns(&self) -> bool {
        let images = &self.setup.request.payload.image.carried_images;
        images.iter().filter_map(|name| config::image_parts(name)).any(|(_, image, _)| image == "coredns")
    }

    /// Parts of `kubeadm init` that the image has nothing for.
    pub(super) fn phases_to_skip(&self) -> Vec<&'static str> {
        if self.carries_coredns() { Vec::new() } else { vec!["addon/coredns"] }
    }
}
